import { monitorEventLoopDelay } from 'node:perf_hooks'

/** How long the event loop was kept from its timers while something ran. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: 1 })

  start(): void {
    this.#histogram.enable()
  }

  stop(): void {
    this.#histogram.disable()
  }

  /** ms; 99 of 100 looks, of which there is one each millisecond in which the loop is free, came sooner. */
  get p99(): number {
    return this.#histogram.percentile(99) / 1e6
  }
}

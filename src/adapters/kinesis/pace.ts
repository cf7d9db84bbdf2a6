import { abortedError, type Environment, sleep } from '../../core/environment.ts'

/** What Kinesis allows of each shard. */
const callsPerSecond = 5
const second = 1_000
/** Clocks of two machines do not run alike. */
const slack = 10
/** At most so many times slower than it may be. */
const slowest = 8

/**
 * Spreads calls to one shard over time, for all readers of this process. Other processes have their share of the same limit:
 * when Kinesis refuses a call, everybody here slows down, and gets faster again with each call that succeeds.
 */
export class Pace {
  /** When the last calls were made. */
  readonly #calls: number[] = []
  #factor = 1
  #last: Promise<unknown> = Promise.resolve()

  /** Resolves when the next call may be made, first come first served. Rejects with `aborted`. */
  turn(environment: Environment, signal: AbortSignal): Promise<void> {
    const turn = this.#last.then(async () => {
      for (let delay = this.#delay(environment); delay > 0; delay = this.#delay(environment))
        await sleep(environment, delay, signal)
      if (signal.aborted) throw abortedError(signal)
      this.#calls.push(environment.monotonic())
      if (this.#calls.length > callsPerSecond) this.#calls.shift()
    })
    this.#last = turn.catch(() => {})
    return turn
  }

  refused(): void {
    this.#factor = Math.min(slowest, this.#factor * 2)
  }

  allowed(): void {
    this.#factor = this.#factor < 1.2 ? 1 : this.#factor * 0.7
  }

  #delay(environment: Environment): number {
    let at = this.#calls.length < callsPerSecond ? -Infinity : this.#calls[0]! + second + slack
    if (this.#factor > 1) {
      const apart = (second / callsPerSecond) * this.#factor * (1 + environment.random() / 4)
      at = Math.max(at, (this.#calls.at(-1) ?? -Infinity) + apart)
    }
    return at - environment.monotonic()
  }
}

const paces = new Map<string, { readonly pace: Pace; users: number }>()

/** The one of this process for what the name stands for; `release` it once. */
export function paceOf(name: string): { readonly pace: Pace; release(): void } {
  let entry = paces.get(name)
  if (!entry) paces.set(name, (entry = { pace: new Pace(), users: 0 }))
  entry.users++
  const { pace } = entry
  let released = false
  return {
    pace,
    release() {
      if (released) return
      released = true
      if (--entry.users === 0) paces.delete(name)
    }
  }
}

import type { Environment } from '../core/environment.ts'

/** What is remembered of gaps: minutes of a process that can hardly do anything. */
const mostGaps = 100

/**
 * Time in which this process could have done something, ms. While the event loop stands still, or the machine sleeps, nobody
 * can make progress, and nobody is to blame for it: of a gap between two ticks at most `longest` counts. Never goes back,
 * and does not see a wall clock that is set.
 */
export class AwakeClock {
  readonly #environment: Environment
  readonly #longest: number
  #awake = 0
  #tickedAt: number
  /** The newest last: when it was over, monotonic ms, and what does not count of it. */
  #gaps: { readonly end: number; readonly lost: number }[] = []

  constructor(environment: Environment, longest: number) {
    this.#environment = environment
    this.#longest = longest
    this.#tickedAt = environment.monotonic()
  }

  now(): number {
    return this.#awake + Math.min(this.#environment.monotonic() - this.#tickedAt, this.#longest)
  }

  /** To be called more often than every `longest` ms. @returns how long it was since the last call, ms */
  tick(): number {
    const now = this.#environment.monotonic()
    const gap = now - this.#tickedAt
    this.#awake += Math.min(gap, this.#longest)
    this.#tickedAt = now
    if (gap > this.#longest) this.#gaps = [...this.#gaps.slice(1 - mostGaps), { end: now, lost: gap - this.#longest }]
    return gap
  }

  /** When it was that this process had yet to be awake for so long until now: monotonic ms. */
  ago(milliseconds: number): number {
    const now = this.#environment.monotonic()
    let at = now - milliseconds - Math.max(0, now - this.#tickedAt - this.#longest)
    for (const { end, lost } of this.#gaps.toReversed()) {
      if (end <= at) break
      at -= lost
    }
    return at
  }

  /** Milliseconds since the epoch of a point of this clock. */
  wall(at: number): number {
    return Math.round(this.#environment.now() - (this.now() - at))
  }
}

import type { Environment } from '../core/environment.ts'

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
    return gap
  }

  /** Milliseconds since the epoch of a point of this clock. */
  wall(at: number): number {
    return Math.round(this.#environment.now() - (this.now() - at))
  }
}

/** Which share of the attempts failed lately: over the last one to two of these, ms. */
const bucket = 30_000

/** A sliding share in two buckets: constant memory, no timers. Pure. */
export class FailureRate {
  #attempts = [0, 0]
  #failed = [0, 0]
  #startedAt = -Infinity

  /** @param now monotonic ms */
  add(attempts: number, failed: number, now: number): void {
    this.#turn(now)
    this.#attempts[1]! += attempts
    this.#failed[1]! += failed
  }

  /** 0 to 1; 0 when nothing was attempted. */
  share(now: number): number {
    this.#turn(now)
    const attempts = this.#attempts[0]! + this.#attempts[1]!
    return attempts === 0 ? 0 : Math.min(1, (this.#failed[0]! + this.#failed[1]!) / attempts)
  }

  #turn(now: number): void {
    const age = now - this.#startedAt
    if (age < bucket) return
    const recent = age < 2 * bucket
    this.#attempts = [recent ? this.#attempts[1]! : 0, 0]
    this.#failed = [recent ? this.#failed[1]! : 0, 0]
    this.#startedAt = now
  }
}

/** A share over the last one to two of these, ms. */
const long = 30_000
const short = 5_000
/** One failure among a few attempts is no rate. */
const fewest = 2

/**
 * Which share of the attempts failed lately: in the last 30 to 60 seconds, or in the last 5 to 10 where that is more. So it rises
 * within seconds, and falls within a minute. Constant memory, no timers. Pure.
 */
export class FailureRate {
  readonly #long = new Buckets(long)
  readonly #short = new Buckets(short)

  /** @param now monotonic ms */
  add(attempts: number, failed: number, now: number): void {
    this.#long.add(attempts, failed, now)
    this.#short.add(attempts, failed, now)
  }

  /** 0 to 1; 0 when nothing was attempted. */
  share(now: number): number {
    const recent = this.#short.failed(now) >= fewest ? this.#short.share(now) : 0
    return Math.max(this.#long.share(now), recent)
  }
}

/** A sliding share in two buckets. */
class Buckets {
  readonly #length: number
  #attempts = [0, 0]
  #failed = [0, 0]
  #startedAt = -Infinity

  constructor(length: number) {
    this.#length = length
  }

  add(attempts: number, failed: number, now: number): void {
    this.#turn(now)
    this.#attempts[1]! += attempts
    this.#failed[1]! += failed
  }

  failed(now: number): number {
    this.#turn(now)
    return this.#failed[0]! + this.#failed[1]!
  }

  share(now: number): number {
    const failed = this.failed(now)
    const attempts = this.#attempts[0]! + this.#attempts[1]!
    return attempts === 0 ? 0 : Math.min(1, failed / attempts)
  }

  #turn(now: number): void {
    const age = now - this.#startedAt
    if (age < this.#length) return
    const recent = age < 2 * this.#length
    this.#attempts = [recent ? this.#attempts[1]! : 0, 0]
    this.#failed = [recent ? this.#failed[1]! : 0, 0]
    this.#startedAt = now
  }
}

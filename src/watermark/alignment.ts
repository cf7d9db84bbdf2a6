/** Who is ahead waits no longer than this for somebody who does not get on, ms. */
export const alignmentPatience = 30_000

/**
 * Decides whether who is ahead in event time waits for the slowest: else a fast partition fills windows, joins and sessions with what
 * can only be finished when the slow one comes there. Bounded: for one that has stopped nobody waits for ever. Pure.
 */
export class Alignment {
  readonly #maxSkew: number
  #slowest: number | undefined
  #since = 0

  /** @param maxSkew how far ahead is too far, ms */
  constructor(maxSkew: number) {
    this.#maxSkew = maxSkew
  }

  /** @param slowest the least watermark of those who have something to do; `undefined`: nobody has */
  see(slowest: number | undefined, monotonic: number): void {
    if (slowest === this.#slowest) return
    this.#slowest = slowest
    this.#since = monotonic
  }

  waits(watermark: number, monotonic: number): boolean {
    const slowest = this.#slowest
    // Of one who has not said how far it is nobody knows whether it is behind.
    if (slowest === undefined || slowest === -Infinity) return false
    return watermark - slowest > this.#maxSkew && monotonic - this.#since < alignmentPatience
  }
}

import type { Estimate } from '../core/topic.ts'

/** A partition must have been silent for so long before its silence is taken for news, ms. */
export const restful = 1_000

/**
 * Guesses how far the event time of foreign producers has come in one partition: they promise nothing, so what it says may turn
 * out wrong, and everything that rests on it is marked so. Never goes back. Pure.
 */
export class Estimator {
  readonly #kind: Estimate
  readonly #lateness: number
  #newest: number

  /** @param newest of the last commit; `-Infinity`: nothing has come yet */
  constructor(kind: Estimate, lateness: number, newest: number) {
    this.#kind = kind
    this.#lateness = kind === 'monotone' ? 0 : lateness
    this.#newest = newest
  }

  /** The largest time that the guess rests on: part of the commit. */
  get newest(): number {
    return this.#newest
  }

  /** Something foreign is here, or is declared to be: the watermark of the partition is a guess. */
  get speaks(): boolean {
    return this.#newest !== -Infinity
  }

  get watermark(): number {
    return this.#newest - this.#lateness
  }

  /** Silence is news to it: it must be asked now and then although nothing comes. */
  get goesOn(): boolean {
    return this.#kind === 'wall-clock'
  }

  /**
   * A record of a foreign producer is processed. True when the guess rose.
   *
   * @param brokerTime when the broker got it, ms since the epoch
   * @param latest what is beyond it comes of a wrong clock, and says nothing
   */
  seen(eventTime: number, brokerTime: number, latest: number): boolean {
    const byBroker = this.#kind === 'broker-time' || this.#kind === 'wall-clock'
    return this.#raise(byBroker ? brokerTime : eventTime, latest)
  }

  /** Nothing has come for `silence` ms, and nothing waits. True when the guess rose. */
  silent(silence: number, now: number): boolean {
    return this.goesOn && silence >= restful && this.#raise(now, now)
  }

  #raise(time: number, latest: number): boolean {
    if (time <= this.#newest || time > latest) return false
    this.#newest = time
    return true
  }
}

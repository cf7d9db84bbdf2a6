import { StreamError } from '../../core/errors.ts'
import type { FetchedPartition } from './fetch.ts'

/**
 * Notices a transaction that nobody ends. The broker shows nothing behind an open transaction, and ends one itself when its
 * time-out is over; but it can lose track of one (KAFKA-12671, KIP-664, KIP-890, a partition that had no leader when the end was
 * written), and then shows nothing for ever, without an error. Of one partition.
 */
export class StableEnd {
  #stable = -1
  #since = 0

  /**
   * @param patience ms; no transaction of ours may be open for so long
   * @param now ms of a monotonic clock
   * @returns what to tell, once in `patience`
   */
  overdue(answer: FetchedPartition, from: number, patience: number, now: number): StreamError | undefined {
    const { topic, partition, lastStable, highWatermark } = answer
    if (from < lastStable || lastStable >= highWatermark) {
      this.#stable = -1
      return undefined
    }
    if (this.#stable !== lastStable) {
      this.#stable = lastStable
      this.#since = now
      return undefined
    }
    const open = now - this.#since
    if (open < patience) return undefined
    this.#since = now
    return new StreamError(
      'timeout',
      `a transaction at offset ${lastStable} of ${topic}/${partition} has not ended for ${Math.round(open / 1000)} s and hides the ` +
        `${highWatermark - lastStable} offsets from there on: if its producer is gone, look for it with ` +
        `'kafka-transactions.sh find-hanging' and end it with 'kafka-transactions.sh abort'`,
      { adapter: 'kafka', retryable: true }
    )
  }
}

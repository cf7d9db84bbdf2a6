import type { Position } from '../core/record.ts'
import { silence } from '../watermark/index.ts'

/** Least time between two conclusions on a partition that is never quiet, ms. */
const pause = 1_000

/**
 * What the reader of a partition can conclude about what has not come: when it was at the end of the partition, or when nothing has come
 * for long. Times are monotonic ms, but for how long it is quiet: that is counted while the process is awake.
 */
export class PartitionEnd {
  /** Nothing has come since then, and nothing is waiting. */
  #quietSince: number | undefined
  /** Where the partition ended, when its last record was received; that record is not processed yet. */
  #ahead: { readonly position: Position; readonly at: number } | undefined
  /** All that was in the partition by then is processed. */
  #reachedAt = -Infinity
  #concludedAt = -Infinity

  /** @param behind records behind `last` in the partition; `undefined` when nobody knows */
  received(last: Position, behind: number | undefined, now: number): void {
    this.#quietSince = undefined
    // The first end that is seen is processed first: a busy partition has a new one each time.
    if (behind === 0) this.#ahead ??= { position: last, at: now }
  }

  /** How long nothing has come, ms. @param awake now, of the clock that stands still with the process @param isIdle nothing waits to be processed */
  quiet(awake: number, isIdle: boolean): number {
    this.#quietSince = isIdle ? (this.#quietSince ?? awake) : undefined
    return this.#quietSince === undefined ? 0 : awake - this.#quietSince
  }

  /**
   * What was said to be in the partition before this moment, and is not processed, is not there; `undefined`: no news.
   *
   * @param position last processed
   */
  conclude(
    now: number,
    quiet: number,
    position: Position | undefined,
    compare: (left: Position, right: Position) => number
  ): number | undefined {
    if (this.#ahead && position !== undefined && compare(position, this.#ahead.position) >= 0) {
      this.#reachedAt = this.#ahead.at
      this.#ahead = undefined
    }
    if (quiet >= silence) return now - silence
    if (this.#reachedAt < this.#concludedAt + pause) return undefined
    this.#concludedAt = this.#reachedAt
    // A record may be on its way for long after its producer has named it.
    return this.#reachedAt - silence
  }
}

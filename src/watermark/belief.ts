import type { TopicMembership } from './membership.ts'

interface Reached {
  /** While this read of the vitals was the newest one that had begun. */
  readonly read: number
  watermark: number
}

/**
 * How far a watermark may rise while the vitals are older than a round: as far as had been reached when the last of their reads
 * began that came to the end. Whoever that read does not name has joined since, and writes nothing older.
 */
export class Belief {
  /** Three at most: of the read that is under way, of the last one that ended, and of one before. */
  held: Reached[] = []

  /** @param lowest of all producers that are known */
  reached(lowest: number, { readsBegun, readsEnded }: TopicMembership): number {
    const newest = this.held.at(-1)
    if (newest?.read === readsBegun) newest.watermark = lowest
    else this.held.push({ read: readsBegun, watermark: lowest })
    const ripe = this.held.findLastIndex(({ read }) => read < readsEnded)
    if (ripe < 0) return -Infinity
    this.held = this.held.slice(ripe)
    return Math.min(this.held[0]!.watermark, lowest)
  }
}

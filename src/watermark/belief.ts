import type { TopicMembership } from './membership.ts'

interface Reached {
  /** While this read of the vitals was the newest one that had begun. */
  readonly read: number
  readonly watermark: number
}

/**
 * How far a watermark may rise while the vitals are older than a round: as far as had been reached when the last of their reads
 * began that came to the end. Whoever that read does not name has joined since, and writes nothing older.
 */
export class Belief {
  now: Reached = { read: Infinity, watermark: -Infinity }
  before: Reached = this.now

  /** @param lowest of all producers that are known */
  reached(lowest: number, { readsBegun, readsEnded }: TopicMembership): number {
    if (this.now.read !== readsBegun) this.before = this.now
    this.now = { read: readsBegun, watermark: lowest }
    return this.before.read < readsEnded ? Math.min(this.before.watermark, lowest) : -Infinity
  }
}

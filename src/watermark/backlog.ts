import type { TopicMembership } from './membership.ts'
import type { PartitionTracker } from './partition-tracker.ts'

/**
 * How far the reader of one partition is behind what its producers have reported to be there: in records, and in time. It
 * needs no word of the broker. Pure; of foreign producers it knows nothing.
 */
export class Backlog {
  /** Records that were reported and are not processed here. */
  records: number = 0
  /** Since when the oldest of them has been waiting, monotonic ms; `undefined` when there are none. */
  since: number | undefined
  /** Producer -> one of its sequences that was reported and is not reached yet, and when it was. */
  readonly #marks = new Map<string, { readonly sequence: number; readonly at: number }>()

  update(tracker: PartitionTracker, membership: TopicMembership, partition: number, now: number): void {
    let records = 0
    let since: number | undefined
    for (const [producer, member] of membership.members) {
      const waiting = tracker.waiting(producer, member.last.get(partition) ?? 0)
      if (waiting === 0) {
        this.#marks.delete(producer)
        continue
      }
      records += waiting
      let mark = this.#marks.get(producer)
      // One sample at a time: when it is reached, the next one starts with the newest.
      if (!mark || tracker.waiting(producer, mark.sequence) === 0)
        this.#marks.set(producer, (mark = { sequence: member.last.get(partition)!, at: now }))
      if (since === undefined || mark.at < since) since = mark.at
    }
    this.records = records
    this.since = since
  }
}

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
  /** Producer -> sequences of its that were reported and are not reached yet, and when each was: the oldest first. */
  readonly #marks = new Map<string, Mark[]>()

  update(tracker: PartitionTracker, membership: TopicMembership, partition: number, now: number): void {
    let records = 0
    let since: number | undefined
    for (const [producer, member] of membership.members) {
      const last = member.last.get(partition) ?? 0
      const waiting = tracker.waiting(producer, last)
      if (waiting === 0) {
        this.#marks.delete(producer)
        continue
      }
      records += waiting
      let marks = this.#marks.get(producer)
      if (!marks) this.#marks.set(producer, (marks = []))
      while (marks.length > 0 && tracker.waiting(producer, marks[0]!.sequence) === 0) marks.shift()
      if ((marks.at(-1)?.sequence ?? 0) < last) {
        // Bounded: without some in between, it seems to wait for less long, never for longer.
        if (marks.length >= mostMarks) marks.splice(1, 1)
        marks.push({ sequence: last, at: now })
      }
      if (since === undefined || marks[0]!.at < since) since = marks[0]!.at
    }
    this.records = records
    this.since = since
  }
}

interface Mark {
  readonly sequence: number
  readonly at: number
}

/** Most sequences of a producer that are timed at once. */
const mostMarks = 16

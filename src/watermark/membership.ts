import type { ProducerId } from '../core/stamp.ts'
import type { Vitals } from './vitals.ts'

/** What is known of one producer of one topic. */
export interface Member {
  readonly task: string
  readonly durable: boolean
  readonly watermark: number
  readonly last: ReadonlyMap<number, number>
  readonly closed: boolean
  /** It will say no more, and that is no end: once all of it is processed it does not count. */
  readonly left: boolean
  /** Its silence no longer holds the watermark: a plain producer that has not reported for the lease. */
  readonly lifted: boolean
  /** When its last report was read, monotonic ms of the reader. */
  readonly heardAt: number
}

/** Who writes to a topic. Reports merge upwards: neither a watermark nor a sequence ever goes back. */
export class TopicMembership {
  readonly members: Map<ProducerId, Member> = new Map()
  /** Counts changes, so that readers can tell at a glance. */
  version = 0
  /** The vitals have been read to their end at least once. */
  complete = false

  report(vitals: Vitals, topic: string, now: number): void {
    const output = vitals.outputs.get(topic)
    if (!output) return
    const known = this.members.get(vitals.producer)
    const last = new Map(known?.last)
    for (const [partition, sequence] of output.last) last.set(partition, Math.max(sequence, last.get(partition) ?? 0))
    const watermark = Math.max(output.watermark, known?.watermark ?? -Infinity)
    this.members.set(vitals.producer, {
      task: vitals.task,
      durable: vitals.durable,
      watermark,
      last,
      closed: watermark === Infinity,
      left: vitals.state === 'left' || known?.left === true,
      lifted: false,
      heardAt: now
    })
    this.version++
  }

  /**
   * Lifts the hold of plain producers that were silent since `before`. The only place where time is trusted. True when that
   * changed something.
   */
  liftSilent(before: number): boolean {
    const { version } = this
    for (const [producer, member] of this.members) {
      if (member.durable || member.closed || member.lifted || member.heardAt >= before) continue
      this.members.set(producer, { ...member, lifted: true })
      this.version++
    }
    return this.version > version
  }

  /** The vitals were read to their end. */
  markComplete(): void {
    if (this.complete) return
    this.complete = true
    this.version++
  }

  /** Every producer has ended, and there was one. */
  get ended(): boolean {
    return this.members.size > 0 && [...this.members.values()].every(member => member.closed && !member.left)
  }
}

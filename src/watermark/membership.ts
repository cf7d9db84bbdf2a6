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
  /** Since when its reports say the same. */
  readonly since: number
}

/**
 * How long silence lasts until something is concluded from it, ms: a plain producer that does not report is gone; a record
 * that a partition has not brought will not come. The only two places where time is trusted: what comes later is late, and
 * counted, never dropped.
 */
export const silence = 30_000

function isSame(known: Member, watermark: number, last: ReadonlyMap<number, number>): boolean {
  if (known.watermark !== watermark || known.last.size !== last.size) return false
  for (const [partition, sequence] of last) if (known.last.get(partition) !== sequence) return false
  return true
}

/** Who writes to a topic. Reports merge upwards: neither a watermark nor a sequence ever goes back. */
export class TopicMembership {
  readonly members: Map<ProducerId, Member> = new Map()
  /** Counts changes, so that readers can tell at a glance. */
  version = 0
  /** The vitals have been read to their end at least once. */
  complete = false
  /** Who is not known by now is gone: of plain producers that were met before and have not been heard. */
  strangersLifted = false

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
      // What is only passed on is no sign of life.
      lifted: known !== undefined && now <= known.heardAt && known.lifted,
      heardAt: Math.max(now, known?.heardAt ?? -Infinity),
      since: known && isSame(known, watermark, last) ? known.since : now
    })
    this.version++
  }

  /**
   * Lifts the hold of plain producers that were silent since `before`. True when that changed something.
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

  /**
   * The same for plain producers whose reports nobody remembers, which happens on a queue: they have ended while nobody was
   * listening. True when that changed something.
   */
  liftStrangers(): boolean {
    if (this.strangersLifted) return false
    this.strangersLifted = true
    this.version++
    return true
  }

  /** The vitals were read to their end. */
  markComplete(): void {
    if (this.complete) return
    this.complete = true
    this.version++
  }

  /** Something may have been missed: somebody unheard of may owe us the past. */
  markIncomplete(): void {
    if (!this.complete) return
    this.complete = false
    this.version++
  }

  /** Every producer has ended, and there was one. */
  get ended(): boolean {
    return this.members.size > 0 && [...this.members.values()].every(member => member.closed && !member.left)
  }
}

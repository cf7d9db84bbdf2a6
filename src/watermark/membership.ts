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

/**
 * A round of vitals, ms. Who joins a topic that others write to waits for so long between its announcement and its first record;
 * and who has not read the vitals to their end for so long does not raise a watermark. So a watermark never passes the
 * first records of a producer that the reader has not heard of (docs/decisions/0016).
 */
export const round = 1_000

function isSame(known: Member, watermark: number, last: ReadonlyMap<number, number>): boolean {
  if (known.watermark !== watermark || known.last.size !== last.size) return false
  for (const [partition, sequence] of last) if (known.last.get(partition) !== sequence) return false
  return true
}

/** A plain producer, not heard since `before`, that still counts. */
function isGone({ durable, closed, lifted, heardAt }: Member, before: number): boolean {
  return !durable && !closed && !lifted && heardAt < before
}

/** Who writes to a topic. Reports merge upwards: neither a watermark nor a sequence ever goes back. */
export class TopicMembership {
  readonly members: Map<ProducerId, Member> = new Map()
  /** Counts changes, so that readers can tell at a glance. */
  version = 0
  /** The vitals have been read to their end, and nothing was missed since: nobody unheard of owes us the past. */
  complete = false
  #isStale = false
  #freshUntil = Infinity
  #staleSince: number | undefined
  /** Who is not known by now is gone: of plain producers that were met before and have not been heard. */
  strangersLifted = false
  readonly #hasPast: boolean

  /** @param hasPast what was said before is kept for those who come later: not so on a queue */
  constructor(hasPast: boolean = true) {
    this.#hasPast = hasPast
  }

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

  /** Is there a plain producer whose silence since `before` would lift its hold? */
  isSilent(before: number): boolean {
    for (const member of this.members.values()) if (isGone(member, before)) return true
    return false
  }

  /**
   * Lifts the hold of plain producers that were silent since `before`. True when that changed something. Call it only with all that
   * was said by `before` + {@link silence} taken in.
   */
  liftSilent(before: number): boolean {
    const { version } = this
    for (const [producer, member] of this.members) {
      if (!isGone(member, before)) continue
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

  /**
   * Nobody who is here has told of it: whoever could has ended, and others that we do not know of may have ended with it, whose records are still
   * to come. Until {@link liftStrangers}.
   */
  isUntold(producer: ProducerId): boolean {
    return !this.#hasPast && !this.strangersLifted && !this.members.has(producer)
  }

  /** Reads of the vitals that have begun; and which of them was the last one to come to the end. */
  readsBegun = 0
  readsEnded = 0

  /** That was too long ago: somebody may have joined since. */
  get stale(): boolean {
    return this.#isStale
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

  /**
   * The last read that began came to the end of the vitals. True when watermarks that had to wait may rise.
   *
   * @param began when that was, monotonic ms
   */
  readEnded(began: number, now: number): boolean {
    const had = this.#isStale
    this.readsEnded = this.readsBegun
    this.#freshUntil = began + round
    // Noticed anew, if it is old already.
    this.#staleSince = undefined
    this.lookAt(now)
    if (had && this.#isStale) this.version++
    return had
  }

  /**
   * Notices that the vitals have not been read for a round. Who hears nothing for as long as {@link silence} from then on goes on without: vitals
   * that are lost for good must not stop the time of a pipeline. A process that was stopped has noticed nothing, and waits all of it.
   *
   * @param now monotonic ms
   */
  lookAt(now: number): void {
    this.#staleSince = now > this.#freshUntil ? (this.#staleSince ?? now) : undefined
    const isStale = this.#staleSince !== undefined && now - this.#staleSince < silence
    if (this.#isStale === isStale) return
    this.#isStale = isStale
    this.version++
  }

  /** Every producer has ended, and there was one. */
  get ended(): boolean {
    return this.members.size > 0 && [...this.members.values()].every(member => member.closed && !member.left)
  }
}

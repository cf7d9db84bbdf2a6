import { decodePart, eventTimeOf, type BoundTopic } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { sizeOf, type Position, type RawRecord, type StreamRecord } from '../core/record.ts'
import { decodeStamp, type Stamp } from '../core/stamp.ts'
import type { AwakeClock } from '../health/index.ts'
import type { Skip } from '../exactly-once/index.ts'
import type { StartAt } from '../spec/index.ts'
import type { RecordMarks } from '../state/index.ts'
import {
  fates,
  PartitionTracker,
  silence,
  Tally,
  type Counts,
  type TallySnapshot,
  type TopicMembership,
  type TrackerSnapshot
} from '../watermark/index.ts'
import { stalledAt, tellLost } from './gaps.ts'
import { PartitionEnd } from './partition-end.ts'
import { isSkipped } from './skips.ts'

export type MutableCounts = { -readonly [Name in keyof Counts]: Counts[Name] }

/** Records of one batch with their stamps, decoded once. */
export interface InputBatch {
  readonly records: readonly RawRecord[]
  readonly stamps: readonly (Stamp | undefined)[]
}

/** One partition of one topic at one task: what is queued, what is processed, how far time has come. */
export class PartitionInput {
  readonly bound: BoundTopic
  readonly partition: number
  readonly tracker: PartitionTracker
  /** Last processed in this life of the task, committed or not. */
  position: Position | undefined
  queuedBytes: number = 0
  /** The reader stands where this input goes on: what it gives is ours. */
  started: boolean = false
  /** Told to the reader: no more for now. */
  paused: boolean = false
  /** It is too far ahead of the others: what is queued stays so for now. */
  waits: boolean = false
  /** Where it begins, as long as it has no position; `undefined`: where the group stands. */
  start: StartAt | undefined
  /** What of it is not processed. */
  skips: readonly Skip[] = []
  readonly membership: TopicMembership
  /** What became of its records, by spans of event time. */
  readonly tally: Tally
  readonly #marks: RecordMarks
  readonly #end = new PartitionEnd()
  #queue: InputBatch[] = []
  #inHand = false

  /**
   * @param marks of the task: what is processed of records without a stamp
   * @param tally of the last commit
   */
  constructor(
    bound: BoundTopic,
    partition: number,
    membership: TopicMembership,
    position: Position | undefined,
    snapshot: TrackerSnapshot | undefined,
    marks: RecordMarks,
    tally?: TallySnapshot
  ) {
    this.bound = bound
    this.partition = partition
    this.position = position
    this.membership = membership
    this.#marks = marks
    this.tracker = new PartitionTracker(partition, bound.topic.lateness, snapshot, bound.topic.estimate)
    this.tally = new Tally(bound.topic.interval, fates.length, tally)
  }

  get queued(): boolean {
    return this.#queue.length > 0
  }

  /** There is something to do, or it is being done. */
  get busy(): boolean {
    return this.queued || this.#inHand
  }

  /** There is something to take. */
  get ready(): boolean {
    return this.queued && !this.waits
  }

  /** @param behind records behind them in the partition, where that is known @param now monotonic ms */
  push(records: readonly RawRecord[], behind: number | undefined, now: number): void {
    this.#end.received(records.at(-1)!.position, behind, now)
    this.#queue.push({ records, stamps: records.map(stampOf) })
    for (const record of records) this.queuedBytes += sizeOf(record)
  }

  /** What was taken is done, but for the rest: that is first in line again. */
  putBack(batch: InputBatch | undefined): void {
    this.#inHand = false
    if (!batch) return
    this.#queue.unshift(batch)
    for (const record of batch.records) this.queuedBytes += sizeOf(record)
  }

  /** @param most records of it: the rest stays */
  take(most: number = Infinity): InputBatch | undefined {
    let batch = this.#queue.shift()
    this.#inHand = batch !== undefined
    if (batch && batch.records.length > most) {
      const { records, stamps } = batch
      this.#queue.unshift({ records: records.slice(most), stamps: stamps.slice(most) })
      batch = { records: records.slice(0, most), stamps: stamps.slice(0, most) }
    }
    if (batch) for (const record of batch.records) this.queuedBytes -= sizeOf(record)
    return batch
  }

  /** Does the batch name a producer that nobody has announced to us? Then the membership must be read anew first. */
  hasStranger(batch: InputBatch): boolean {
    let last = ''
    for (const stamp of batch.stamps) {
      if (stamp === undefined || stamp.producer === last) continue
      last = stamp.producer
      if (this.tracker.isStranger(last)) return true
    }
    return false
  }

  /**
   * The record as a handler sees it. Throws `bad-record`.
   *
   * @param watermark when it came
   */
  decode(raw: RawRecord, stamp: Stamp | undefined, watermark: number = this.tracker.watermark): StreamRecord {
    const { bound, partition, tracker } = this
    if (isNumbered(stamp) && tracker.isForgotten(stamp.producer)) throw forgotten(stamp, bound)
    const key = decodePart(bound, 'key', raw.key, raw.headers)
    const value = decodePart(bound, 'value', raw.value, raw.headers)
    const eventTime = stamp?.eventTime ?? eventTimeOf(bound, key, value, raw)
    const late = eventTime < watermark || stamp?.late === true
    const { position, headers } = raw
    const { name, called = name } = bound.topic
    return { topic: called, partition, position, key, value, headers, eventTime, late }
  }

  /**
   * Step 4: a repeat is dropped and acknowledged with the next commit; a hole on an ordered log is a loss, and told. Both
   * are counted in `counts`.
   */
  isRepeat(raw: RawRecord, stamp: Stamp | undefined, task: string, counts: MutableCounts): boolean {
    const { tracker, bound, partition } = this
    const numbered = isNumbered(stamp)
    const verdict = numbered ? tracker.judge(stamp) : this.#isMarked(raw) || this.isBehind(raw) ? 'duplicate' : 'new'
    // Refused by `decode`: it is no record for the handler.
    if (verdict === 'new' || verdict === 'forgotten') return false
    const place = { task, topic: bound.topic.name, partition }
    if (verdict === 'duplicate' || !numbered) {
      counts.duplicates++
      diagnose('record-duplicate', { ...place, position: raw.position })
      return true
    }
    // Where order is not kept, the missing ones may still come: the tracker waits for them.
    if (bound.adapter.capabilities.order === 'none') return false
    const gap = { producer: stamp.producer, from: tracker.expected(stamp.producer), to: stamp.sequence - 1 }
    // A reader that starts behind the start of a producer has missed nothing.
    if (gap.from > 1 && !bound.compacted) {
      if (bound.topic.gaps === 'stall') throw stalledAt(place, gap)
      tellLost(place, gap, counts)
    }
    tracker.skipTo(gap.producer, gap.to)
    return false
  }

  /** Where order is not kept: gives up what has been missing for so long as the topic says. True when something was. */
  passOver(clock: AwakeClock, task: string, counts: MutableCounts): boolean {
    const { tracker, bound, partition } = this
    const { gaps } = bound.topic
    if (typeof gaps !== 'object' || bound.adapter.capabilities.order !== 'none') return false
    const given = tracker.giveUp(clock.now(), gaps.skipAfter)
    for (const gap of given) tellLost({ task, topic: bound.topic.name, partition }, gap, counts)
    return given.length > 0
  }

  /** Is it processed already? Changes nothing, and says nothing of holes. */
  isKnown(raw: RawRecord, stamp: Stamp | undefined): boolean {
    return isNumbered(stamp) ? this.tracker.judge(stamp) === 'duplicate' : this.#isMarked(raw) || this.isBehind(raw)
  }

  /** On a log: a reader that goes back gives it once more (protocol F5). Its position must not become ours. */
  isBehind({ position }: RawRecord): boolean {
    const { adapter } = this.bound
    if (this.position === undefined || adapter.capabilities.positions !== 'log') return false
    return adapter.comparePositions(position, this.position) <= 0
  }

  /** Is it to be left out? */
  isSkipped({ position, timestamp }: RawRecord, stamp: Stamp | undefined): boolean {
    if (this.skips.length === 0) return false
    return isSkipped(this.skips, position, stamp?.eventTime ?? timestamp, this.bound.adapter)
  }

  /** The record is done. On a queue one without a stamp is known by its identity when it comes again. */
  mark(raw: RawRecord, stamp: Stamp | undefined, environment: Environment): void {
    if (raw.identity === undefined || isNumbered(stamp)) return
    this.#marks.add(this.#markOf(raw.identity), environment.monotonic())
  }

  /** What became of the record: it counts once. @param by -1 takes back */
  count(fate: (typeof fates)[number], eventTime: number, by?: -1): void {
    this.tally.add(eventTime, fates.indexOf(fate), by)
  }

  #isMarked({ identity }: RawRecord): boolean {
    return identity !== undefined && this.#marks.has(this.#markOf(identity))
  }

  #markOf(identity: string): string {
    return `${this.bound.topic.name} ${identity}`
  }

  /** A record is processed. True when the watermark rose. */
  processed(
    raw: RawRecord,
    stamp: Stamp | undefined,
    record: StreamRecord | undefined,
    environment: Environment
  ): boolean {
    if (stamp) return this.tracker.processed(stamp)
    if (!record) return false
    return this.tracker.processedForeign(
      record.eventTime,
      raw.timestamp,
      environment.now() + this.bound.topic.maxFuture
    )
  }

  /**
   * Takes in what the vitals say, the silence, and that the partition was read to its end. True when the watermark rose.
   *
   * @param clock while this process stood still it heard nothing: that is no silence
   */
  learn(environment: Environment, clock: AwakeClock): boolean {
    const { tracker, bound, position } = this
    const { capabilities, comparePositions } = bound.adapter
    const now = environment.monotonic()
    this.membership.lookAt(now)
    const rose = tracker.learn(this.membership)
    const quiet = this.#end.quiet(clock.now(), this.started && !this.queued)
    // Only a log has an end behind which nothing is missing.
    const last = capabilities.positions === 'log' ? position : undefined
    const before = this.#end.conclude(now, quiet, last, (left, right) => comparePositions(left, right))
    const waived = before !== undefined && tracker.waive(Math.min(before, clock.ago(silence)))
    return (tracker.lookIn !== undefined && tracker.silent(quiet, environment.now())) || waived || rose
  }
}

/** Refusing loses nothing where bad records are parked; taking it for new could double it. */
function forgotten({ producer, sequence }: Stamp, { topic }: BoundTopic): StreamError {
  const id = Buffer.from(producer, 'latin1').toString('hex')
  return new StreamError(
    'bad-record',
    `record ${sequence} of producer ${id} in '${topic.name}' may be a repeat: that process has ended, and what came of it is not remembered any more ('forgetProducersAfter')`
  )
}

/** Does its stamp tell the record from all others? */
const isNumbered = (stamp: Stamp | undefined): stamp is Stamp => stamp !== undefined && stamp.sequence > 0

// A stamp that does not parse is no reason to lose the record: it then counts as one of a foreign producer.
export function stampOf(record: Pick<RawRecord, 'stamp'>): Stamp | undefined {
  if (record.stamp === undefined) return undefined
  try {
    return decodeStamp(record.stamp)
  } catch {
    return undefined
  }
}

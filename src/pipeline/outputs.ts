import { encodeEntry, type BoundTopic, type EncodedEntry } from '../broker/index.ts'
import { StreamError } from '../core/errors.ts'
import { sizeOf, type Entry, type Headers, type OutgoingRecord } from '../core/record.ts'
import { encodeStamp, type ProducerId } from '../core/stamp.ts'
import type { AnyTopic } from '../core/topic.ts'
import { Tally, type OutputVitals, type TallySnapshot } from '../watermark/index.ts'

/** Sequences per topic and partition, as the head of a commit keeps them. */
export type Sequences = Readonly<Record<string, Readonly<Record<string, number>>>>

interface Lane {
  readonly bound: BoundTopic
  /** Last sequence given out, per partition. */
  readonly sequences: number[]
  /** Watermark last put into a stamp, per partition. */
  readonly promised: number[]
  readonly tally: Tally
}

/** An entry as bytes that has no identity yet. */
export interface EncodedOutput {
  readonly lane: Lane
  readonly encoded: EncodedEntry
}

/** Topic -> tally of what was sent, as the head of a commit keeps them. */
export type SentTallies = Readonly<Record<string, TallySnapshot>>

/** An entry of a stage with several outputs names its topic. */
type TaggedEntry = Entry & { readonly topic?: string }

/**
 * What a task has produced since its last commit: encoded, partitioned, and stamped with dense sequences. All of it goes
 * with the commit, or none; identity is given here, inside the commit, and never again (law 3).
 */
export class OutputBuffer {
  /** What the task promises for everything that follows, ms. Raised by the task, monotone. */
  watermark: number = -Infinity
  records: OutgoingRecord[] = []
  bytes = 0
  /** Entries ever added here, and those of them that were behind the promise: for rates, so attempts that failed count. */
  added = 0
  addedLate = 0
  /** What is added has been written before, and is not written again. */
  muted = false
  /** Headers of the span in which entries are made; an entry's own go before them. */
  trace: Headers | undefined
  readonly #producer: ProducerId
  readonly #lanes = new Map<string, Lane>()
  /** By the name that handlers use, where that is another. */
  readonly #called = new Map<string, Lane>()
  readonly #only: Lane | undefined
  /** Topic that is none of the stage's (a parked one) -> last sequence given out, per partition. */
  readonly #others = new Map<string, number[]>()
  readonly #before: Sequences
  #unkeyed = 0

  /** @param side an entry that names no topic is not for this one */
  constructor(
    producer: ProducerId,
    topics: readonly BoundTopic[],
    sequences: Sequences = {},
    tallies: SentTallies = {},
    side?: AnyTopic
  ) {
    this.#producer = producer
    this.#before = sequences
    for (const bound of topics) {
      const last = Array.from(
        { length: bound.partitions },
        (_, partition) => sequences[bound.topic.name]?.[partition] ?? 0
      )
      const { name, interval } = bound.topic
      const tally = new Tally(interval, 1, tallies[name])
      const lane: Lane = { bound, sequences: last, promised: last.map(() => -Infinity), tally }
      this.#lanes.set(name, lane)
      if (bound.topic.called !== undefined) this.#called.set(bound.topic.called, lane)
    }
    const lanes = [...this.#lanes.values()].filter(({ bound }) => bound.topic.name !== side?.name)
    this.#only = lanes.length === 1 ? lanes[0] : undefined
  }

  /** Takes whatever a handler may return. Gives a promise only for an async iterable. */
  collect(result: unknown, eventTime: number): Promise<void> | undefined {
    if (result === undefined || result === null) return undefined
    if (Array.isArray(result)) {
      for (const entry of result) this.add(entry, eventTime)
    } else if (typeof result === 'object' && Symbol.asyncIterator in result) {
      return this.#collectAsync(result as AsyncIterable<Entry>, eventTime)
    } else if (typeof result === 'object' && Symbol.iterator in result) {
      for (const entry of result as Iterable<Entry>) this.add(entry, eventTime)
    } else this.add(result as Entry, eventTime)
    return undefined
  }

  /**
   * Throws what `encodeEntry` throws; nothing of the entry is kept then.
   *
   * @param now of a source, which promises by the times of its entries
   */
  add(entry: TaggedEntry, eventTime: number, now?: number): void {
    const lane = this.#laneOf(entry)
    this.append({ lane, encoded: encodeEntry(lane.bound, entry, eventTime, this.#unkeyed++, now) })
  }

  /** As bytes, for `append`: whatever a handler may return. Throws what `add` throws. */
  async encode(result: unknown, eventTime: number): Promise<readonly EncodedOutput[]> {
    if (result === undefined || result === null) return []
    const outputs: EncodedOutput[] = []
    const take = (entry: TaggedEntry): void => {
      const lane = this.#laneOf(entry)
      outputs.push({ lane, encoded: encodeEntry(lane.bound, entry, eventTime, this.#unkeyed++) })
    }
    if (typeof result === 'object' && Symbol.asyncIterator in result)
      for await (const entry of result as AsyncIterable<Entry>) take(entry)
    else if (typeof result === 'object' && Symbol.iterator in result)
      for (const entry of result as Iterable<Entry>) take(entry)
    else take(result as Entry)
    return outputs
  }

  /** Gives it its identity. */
  append({ lane, encoded }: EncodedOutput): void {
    if (this.muted) return
    const { partition } = encoded
    const sequence = ++lane.sequences[partition]!
    const promise = this.watermark
    const rose = promise > lane.promised[partition]! && promise !== Infinity
    if (rose) lane.promised[partition] = promise
    const late = encoded.eventTime < promise
    const stamp = encodeStamp(this.#producer, sequence, encoded.eventTime, rose ? promise : undefined, late)
    this.added++
    if (late) this.addedLate++
    lane.tally.add(encoded.eventTime, 0)
    this.push({
      topic: lane.bound.topic.name,
      partition,
      key: encoded.key,
      value: encoded.value,
      headers: this.trace ? { ...this.trace, ...encoded.headers } : encoded.headers,
      stamp,
      timestamp: encoded.eventTime
    })
  }

  /**
   * A record whose bytes are another's: one that is parked, or sent again. It gets an identity as outputs do, so that a relay that
   * sends it twice is seen through.
   */
  forward(record: OutgoingRecord, eventTime: number): void {
    const { topic, partition } = record
    const lane = this.#lanes.get(topic)
    let last = lane?.sequences ?? this.#others.get(topic)
    if (!last) this.#others.set(topic, (last = []))
    const sequence = (last[partition] ?? this.#before[topic]?.[partition] ?? 0) + 1
    last[partition] = sequence
    lane?.tally.add(eventTime, 0)
    this.push({ ...record, stamp: encodeStamp(this.#producer, sequence, eventTime, undefined, false) })
  }

  /** A record that is ready as it is. */
  push(record: OutgoingRecord): void {
    this.records.push(record)
    this.bytes += sizeOf(record)
  }

  /** For taking back what a failed attempt produced. */
  mark(): number {
    return this.records.length
  }

  rollback(mark: number): void {
    while (this.records.length > mark) {
      const record = this.records.pop()!
      this.bytes -= sizeOf(record)
      const lane = this.#lanes.get(record.topic)
      if (lane && record.stamp) {
        lane.sequences[record.partition]!--
        lane.tally.add(record.timestamp, 0, -1)
        // The stamp that carried the promise is gone: the next one must carry it.
        lane.promised[record.partition] = -Infinity
      }
    }
  }

  /** The commit took effect: start anew. */
  clear(): void {
    this.records = []
    this.bytes = 0
  }

  sequences(): Record<string, Record<string, number>> {
    const all: Record<string, Record<string, number>> = {}
    // Parked topics of which nothing has been parked in this life keep theirs.
    for (const [topic, before] of Object.entries(this.#before)) if (!this.#lanes.has(topic)) all[topic] = { ...before }
    for (const [topic, last] of this.#others)
      for (const partition in last) (all[topic] ??= {})[partition] = last[partition]!
    for (const [topic, lane] of this.#lanes)
      all[topic] = Object.fromEntries(
        lane.sequences.flatMap((last, partition) => (last > 0 ? [[partition, last]] : []))
      )
    return all
  }

  tallies(): Record<string, TallySnapshot> {
    return Object.fromEntries([...this.#lanes].map(([topic, { tally }]) => [topic, tally.snapshot()]))
  }

  /** Topic -> what the vitals say of it, but for the promise. */
  *vitals(): Generator<[topic: string, written: Omit<OutputVitals, 'watermark'>]> {
    for (const [topic, { sequences, tally }] of this.#lanes) {
      const last = new Map<number, number>()
      for (const [partition, sequence] of sequences.entries()) if (sequence > 0) last.set(partition, sequence)
      yield [topic, { last, sent: tally.snapshot() }]
    }
  }

  async #collectAsync(entries: AsyncIterable<Entry>, eventTime: number): Promise<void> {
    for await (const entry of entries) this.add(entry, eventTime)
  }

  #laneOf(entry: TaggedEntry): Lane {
    if (typeof entry !== 'object' || entry === null)
      throw new StreamError('bad-record', `a handler must return entries ({ key, value }), not ${typeof entry}`)
    const { topic } = entry
    const lane = topic === undefined ? this.#only : (this.#called.get(topic) ?? this.#lanes.get(topic))
    if (lane) return lane
    const known = [...this.#lanes.keys()].join(', ') || 'none: give the stage a `to`'
    throw new StreamError(
      'bad-record',
      `an output names topic '${String(entry.topic)}'; topics of this stage: ${known}`
    )
  }
}

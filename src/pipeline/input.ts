import type { BoundTopic } from '../broker/index.ts'
import { sizeOf, type Position, type RawRecord } from '../core/record.ts'
import { decodeStamp, type Stamp } from '../core/stamp.ts'
import { PartitionTracker, type TopicMembership, type TrackerSnapshot } from '../watermark/index.ts'

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
  readonly #membership: TopicMembership
  #queue: InputBatch[] = []

  constructor(
    bound: BoundTopic,
    partition: number,
    membership: TopicMembership,
    position: Position | undefined,
    snapshot: TrackerSnapshot | undefined
  ) {
    this.bound = bound
    this.partition = partition
    this.position = position
    this.#membership = membership
    this.tracker = new PartitionTracker(partition, bound.topic.lateness, snapshot)
  }

  get queued(): boolean {
    return this.#queue.length > 0
  }

  push(records: readonly RawRecord[]): void {
    this.#queue.push({ records, stamps: records.map(stampOf) })
    for (const record of records) this.queuedBytes += sizeOf(record)
  }

  /** What was taken and not finished: first in line again. */
  putBack(batch: InputBatch): void {
    this.#queue.unshift(batch)
    for (const record of batch.records) this.queuedBytes += sizeOf(record)
  }

  take(): InputBatch | undefined {
    const batch = this.#queue.shift()
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

  /** Takes in what the vitals say. True when the watermark rose. */
  learn(): boolean {
    return this.tracker.learn(this.#membership)
  }
}

// A stamp that does not parse is no reason to lose the record: it then counts as one of a foreign producer.
function stampOf(record: RawRecord): Stamp | undefined {
  if (record.stamp === undefined) return undefined
  try {
    return decodeStamp(record.stamp)
  } catch {
    return undefined
  }
}

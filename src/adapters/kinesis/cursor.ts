import { compareSequences } from './positions.ts'
import type { ShardBatch } from './shard-batch.ts'

/** Where a reader begins in a shard. */
export type FeedStart =
  | { readonly kind: 'horizon' }
  /** At this very record, of which a part may be processed already. */
  | { readonly kind: 'at'; readonly sequence: string }
  | { readonly kind: 'time'; readonly time: number }
  /** Behind the newest record as it was at `time`, when the iterator was asked for. */
  | { readonly kind: 'latest'; readonly iterator: string; readonly time: number }

/** A reader of one partition, as far as one shard is concerned. */
export interface Subscriber {
  readonly partition: number
  /** Bytes that it takes; 0 or less when it is full. */
  readonly room: number
  /** Takes what is new to it, and says how many bytes that was. `wanted` are the partitions of all who are offered it. */
  offer(batch: ShardBatch, wanted: ReadonlySet<number>): number
  /** The shard has no more. */
  ended(): void
  /** The record to begin at is not there any more. */
  missing(): void
  /** It is no longer subscribed. */
  failed(error: unknown): void
}

/** A place between two records; `inclusive`: before this one. The empty sequence is before all. */
export interface Edge {
  readonly sequence: string
  readonly inclusive: boolean
}

/** Part of `GetShardIterator`. */
export interface IteratorRequest {
  readonly ShardIteratorType: string
  readonly StartingSequenceNumber?: string
  readonly Timestamp?: Date
}

/** A place in a shard, and who reads from there. */
export class Cursor {
  readonly subscribers: Set<Subscriber>
  /** `undefined` while nobody knows: a time, the newest record. */
  from: Edge | undefined
  iterator: string | undefined
  /** Monotonic ms. */
  askedAt: number = -Infinity
  /** Since when one of its readers has had no room, while others have. */
  stalledAt: number | undefined
  /** An iterator has expired, and nothing was read since. */
  renewed = false
  #behind = true
  /** Where to begin while `from` is unknown, ms since the epoch. */
  readonly #time: number

  constructor(start: FeedStart, subscribers: Iterable<Subscriber>) {
    this.subscribers = new Set(subscribers)
    this.#time = 'time' in start ? start.time : 0
    if (start.kind === 'horizon') this.from = { sequence: '', inclusive: false }
    else if (start.kind === 'at') this.from = { sequence: start.sequence, inclusive: true }
    else if (start.kind === 'latest') this.iterator = start.iterator
  }

  full(): Subscriber[] {
    return [...this.subscribers].filter(({ room }) => room <= 0)
  }

  dueAt(interval: number): number {
    return this.#behind ? this.askedAt : this.askedAt + interval
  }

  isBefore(other: Cursor): boolean {
    return !!this.from && (!other.from || compareSequences(this.from.sequence, other.from.sequence) < 0)
  }

  /** Has everything before this place come to it? */
  isFrom(place: Edge): boolean {
    if (!this.from) return false
    const order = compareSequences(place.sequence, this.from.sequence)
    return order < 0 || (order === 0 && (place.inclusive || !this.from.inclusive))
  }

  /** What `GetShardIterator` is asked. */
  request(): IteratorRequest {
    const { from } = this
    if (!from) return { ShardIteratorType: 'AT_TIMESTAMP', Timestamp: new Date(this.#time) }
    if (from.sequence === '') return { ShardIteratorType: 'TRIM_HORIZON' }
    const ShardIteratorType = from.inclusive ? 'AT_SEQUENCE_NUMBER' : 'AFTER_SEQUENCE_NUMBER'
    return { ShardIteratorType, StartingSequenceNumber: from.sequence }
  }

  /** A look was answered. */
  moved(last: string | undefined, behind: number): void {
    // By a subscription and by a look, which may overlap.
    if (last !== undefined && !(this.from && compareSequences(last, this.from.sequence) < 0))
      this.from = { sequence: last, inclusive: false }
    this.#behind = behind > 0
    this.renewed = false
  }

  /** Did the look from there to where this one is now pass the other one, or reach it? */
  passed(start: Edge, cursor: Cursor): boolean {
    const { from: other } = cursor
    if (!other || !this.from || cursor.full().length > 0) return false
    const begin = compareSequences(start.sequence, other.sequence)
    const begunBefore = begin < 0 || (begin === 0 && (start.inclusive || !other.inclusive))
    return begunBefore && compareSequences(other.sequence, this.from.sequence) <= 0
  }

  absorb(other: Cursor): void {
    for (const subscriber of other.subscribers) this.subscribers.add(subscriber)
    other.subscribers.clear()
  }

  /** Another cursor at this place, for these of its readers. */
  split(readers: readonly Subscriber[]): Cursor {
    const parted = new Cursor({ kind: 'time', time: this.#time }, readers)
    parted.from = this.from
    // Where the place has no name, the iterator is all there is.
    if (!this.from) parted.iterator = this.iterator
    parted.askedAt = this.askedAt
    for (const reader of readers) this.subscribers.delete(reader)
    this.stalledAt = undefined
    return parted
  }
}

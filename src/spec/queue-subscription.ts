import type { RawRecord } from '../core/record.ts'
import type { ReceiveOptions } from './log-reader.ts'

export interface QueueSubscriptionOptions {
  readonly group: string
  readonly topic: string
  /** The partitions to read; `undefined` for all of an existing foreign subscription. */
  readonly partitions: readonly number[] | undefined
  readonly maxBytes: number
}

/** One delivery of a record: its `id` is good for this delivery only. */
export interface Delivery extends RawRecord {
  readonly id: string
  readonly partition: number
  /** The same for every delivery of this record, and for no other one of its topic: without a stamp, repeats are known by it. */
  readonly identity: string
  /** Times it was delivered before, as far as the backend knows. */
  readonly redelivered: number
}

/** A queue: each record is acknowledged by itself, unacknowledged ones come again in any order (Pub/Sub, SQS, RabbitMQ). */
export interface QueueSubscription {
  receive(options: ReceiveOptions): Promise<readonly Delivery[]>
  /**
   * Done with these. Resolves with the ids whose acknowledgement is *not* confirmed: their records may come again. Where
   * the backend confirms nothing, all good ids count as confirmed. An id acknowledged twice is confirmed.
   */
  acknowledge(ids: readonly string[]): Promise<readonly string[]>
  /** Not done: deliver again now, here or elsewhere. */
  release(ids: readonly string[]): Promise<void>
  /** Keep these for so many more ms. Called by the front while a handler is busy. */
  extend(ids: readonly string[], milliseconds: number): Promise<void>
  close(): Promise<void>
}

import type { Position, RawRecord } from '../core/record.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** `earliest` and `latest` are places, a number is a time in milliseconds, a position names the record last processed. */
export type StartAt = 'earliest' | 'latest' | { readonly time: number } | { readonly after: Position }

export interface LogReaderOptions {
  readonly group: string
  /** Co-partitioned: partition i of every topic goes to the same member, always. */
  readonly topics: readonly string[]
  /** A crashed member's partitions are free after this long, ms. */
  readonly sessionTimeout: number
  /** Most bytes that the driver may hold for the front, over all partitions. */
  readonly maxBytes: number
}

export interface ReceiveOptions {
  /** Resolve with nothing after so many ms. */
  readonly wait: number
  readonly signal?: AbortSignal
  /** Of a partition reader. `false`: nobody looks at `atEnd`, so no request need be made for it. Default true. */
  readonly end?: boolean
}

export interface RecordsReceived extends TopicPartition {
  readonly kind: 'records'
  /** At least one, in order. */
  readonly records: readonly RawRecord[]
  /** Records behind these in the partition, when the driver knows: for the backlog. */
  readonly behind: number | undefined
}

export interface PartitionsAssigned {
  readonly kind: 'partitions-assigned'
  /** New ones only. Each stays silent until `seek`. */
  readonly partitions: readonly TopicPartition[]
}

export interface PartitionsRevoked {
  readonly kind: 'partitions-revoked'
  readonly partitions: readonly TopicPartition[]
  /**
   * By when (monotonic ms of the environment) the front must have called `release`; at that time the driver lets go
   * anyway. 0: they are lost already, a commit will be refused.
   */
  readonly deadline: number
  /** The front has committed what it will: hand the partitions over. Idempotent. */
  release(): void
}

export type LogEvent = RecordsReceived | PartitionsAssigned | PartitionsRevoked

/**
 * A member of a consumer group on a partitioned log. Assignment arrives in the same queue as the records, so that nothing
 * happens during the processing of a record.
 */
export interface LogReader {
  /**
   * The next events in order, at most a handful; an empty array after `wait`. One call at a time. Membership (heartbeats)
   * goes on whether or not this is called: a slow handler keeps its partitions.
   */
  receive(options: ReceiveOptions): Promise<readonly LogEvent[]>
  /**
   * Starts (or moves) an assigned partition. `committed` is what the group last committed, else `earliest`. Records of the
   * place before that were already queued are not delivered after the call resolves. Rejects with `not-owner` when the
   * partition is not assigned, `position-lost` when it has left retention.
   */
  seek(partition: TopicPartition, at: StartAt | 'committed'): Promise<void>
  /** No records of these until `resume`. What is already queued in the driver may be held or dropped and read again. */
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  /**
   * Stores positions (last processed) for the group. Rejects with `not-owner` or `fenced` for partitions that this member
   * does not hold, and then stores none of them.
   */
  commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void>
  /** Leaves the group at once: the other members need not wait for the session to end. */
  close(): Promise<void>
}

export interface PartitionReaderOptions extends TopicPartition {
  readonly from: StartAt
  /** Hide records of open and aborted transactions. Ignored where there are none. */
  readonly readCommitted: boolean
  readonly maxBytes: number
  /**
   * Of a leased partition: for whom it is read, and under which epoch of the lease. A backend that can lets a newer epoch
   * disconnect an older one, whose `receive` then rejects with `fenced`; the others ignore it.
   */
  readonly owner?: { readonly group: string; readonly epoch: number }
}

/** Reads one partition without a group: changelogs, vitals, replay. */
export interface PartitionReader {
  /**
   * `atEnd` is true when everything that was *written* before the call has now been delivered or is known to be aborted:
   * with a transaction still open ahead it is false, so that a changelog read to its end has no record missing. An empty
   * array after `wait`. With a `wait` of 0 the end is asked for, for as long as that takes: records that come all the time must not keep the
   * answer away for ever. A queue can only find out by a round trip, which it makes for nothing else: with a longer wait `atEnd` stays false.
   */
  receive(options: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }>
  close(): Promise<void>
}

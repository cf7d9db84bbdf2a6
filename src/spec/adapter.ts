import type { Capabilities } from '../core/capabilities.ts'
import type { Environment } from '../core/environment.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { OutgoingRecord, Position } from '../core/record.ts'
import type { AdminDriver } from './admin.ts'
import type { LogReader, LogReaderOptions, PartitionReader, PartitionReaderOptions } from './log-reader.ts'
import type { ProducerDriver } from './producer.ts'
import type { QueueSubscription, QueueSubscriptionOptions } from './queue-subscription.ts'
import type { TransactionDriver } from './transaction.ts'

/**
 * What a backend must be. The front (`src/broker/`) does retry, batching, decoding, tracing and back-pressure, once for
 * all: **a driver never retries** a request that failed, never decodes, never logs, never calls back into the front while
 * a record is being processed.
 *
 * Rules for every method that returns a promise:
 * - it rejects with what the vendor client threw, or with a `StreamError`; `classify` is how the front understands it;
 * - it honours its `AbortSignal` within 100 ms by rejecting (code `aborted`), and leaves no request half-owned;
 * - after `close()` it rejects with code `closed`; `close()` itself is idempotent and waits for what is in flight.
 * Byte arrays handed in stay the caller's and are not changed; byte arrays handed out are the receiver's.
 */
export interface Adapter<Caps extends Capabilities = Capabilities, Native = unknown> {
  /** A literal, so that the front can go on serving adapters of an older contract. */
  readonly specification: 'v1'
  /** `kafka`, `file`: shown in errors, docs and the matrix. */
  readonly name: string
  /** Where it is connected to, without secrets: for messages only. Two adapters with one value are one cluster. */
  readonly location: string
  readonly capabilities: Caps
  /** The user's vendor client, reachable (law 10); `undefined` where there is none. */
  readonly native: Native

  /** Called once by `connect`, before anything else. Loads the vendor package; need not open a connection. */
  open(environment: Environment): Promise<void>
  admin(): AdminDriver
  producer(): Promise<ProducerDriver>
  /** Members of a group share the partitions of the topics. Only with `positions: 'log'` and `groups`. */
  logReader?(options: LogReaderOptions): Promise<LogReader>
  /**
   * One partition, no group, from a position. With `positions: 'none'` it is optional, for this reader alone, and begins with
   * what is written after the call.
   */
  partitionReader?(options: PartitionReaderOptions): Promise<PartitionReader>
  /** Only with `positions: 'none'`. */
  queueSubscription?(options: QueueSubscriptionOptions): Promise<QueueSubscription>
  /** Only with `transactions`. */
  transactions?(): TransactionDriver

  /**
   * Throws `bad-record` or `too-large` for a record that the backend would refuse whatever its size, such as a header that is
   * too long: asked before a record is committed, because what is committed must be written. Absent: `maxRecord` says it all.
   */
  check?(record: OutgoingRecord): void
  /** Negative when `left` is before `right` in one partition. Only for positions of one topic generation. */
  comparePositions(left: Position, right: Position): number
  /** The code of anything that a driver of this adapter threw, and whether the same call may succeed later. */
  classify(error: unknown): { readonly code: ErrorCode; readonly retryable: boolean }
  close(): Promise<void>
}

/** Any adapter, for code that does not care which. */
export type AnyAdapter = Adapter<Capabilities, any>

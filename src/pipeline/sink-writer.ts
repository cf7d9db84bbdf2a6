import type { CommitStore, TaskLog } from '../exactly-once/index.ts'

/** What a sink may know while it writes. */
export interface SinkContext {
  readonly task: string
  readonly signal: AbortSignal
  readonly watermark: number
}

/** What a destination promises; visible in the type of the writer. */
export type SinkWriter<Item> = TransactionalWriter<Item> | PlainWriter<Item>

/** Rows, position and epoch in one transaction of the destination, which is then the commit point: exact. */
export interface TransactionalWriter<Item> {
  readonly grade: 'transactional'
  open(): Promise<OpenTransactionalWriter<Item>>
}

export interface OpenTransactionalWriter<Item, Prepared = any> {
  readonly store: CommitStore
  /** As each record is processed: what it throws is a failure of that record, retried and parked like any other. */
  prepare(record: Item): Prepared
  /** Directly before `log.append`: the records belong to the transaction of that append. */
  stage(log: TaskLog, records: readonly Prepared[]): void
  close(): Promise<void>
}

/** `idempotent`: writing a record twice leaves what writing it once does. Then the effect is exact, too. */
export interface PlainWriter<Item> {
  readonly grade: 'idempotent' | 'at-least-once'
  open(): Promise<OpenPlainWriter<Item>>
}

export interface OpenPlainWriter<Item> {
  write(records: readonly Item[], context: SinkContext): WriteOutcome | Promise<WriteOutcome>
  close(): Promise<void>
}

/** Nothing: all are written. Else those that are not, each with its error, as the policy of the stage judges it: all others are. */
export type WriteOutcome = void | { readonly failed: readonly FailedWrite[] }

export interface FailedWrite {
  /** One of those that were given: the very object. */
  readonly record: unknown
  readonly error: unknown
}

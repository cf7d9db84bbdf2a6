import type { OutgoingRecord, Position } from '../core/record.ts'
import type { TopicPartition } from './log-reader.ts'

/** Everything that becomes visible at once, or never. At least one record. */
export interface TransactionBatch {
  readonly records: readonly OutgoingRecord[]
  /** Written for the user's own tools; tidemark never reads them back (decision 4). */
  readonly offsets?: {
    readonly group: string
    readonly positions: readonly (TopicPartition & { readonly position: Position })[]
  }
}

/**
 * - `committed`: all of it is there for good.
 * - `aborted`: none of it is or ever will be, and the producer may go on.
 * - `fenced`: a newer producer of this id exists; none of it is there.
 * - `unknown`: may or may not be there. The producer must be closed; a new one settles it before it returns.
 */
export type TransactionOutcome = 'committed' | 'aborted' | 'fenced' | 'unknown'

export interface FencedProducer {
  /** One whole transaction. One call at a time. Never retries an unclear end (protocol H5, F1: torn transactions). */
  commit(batch: TransactionBatch): Promise<{ readonly outcome: TransactionOutcome; readonly error?: unknown }>
  /** Does not end an open transaction: the next producer of this id does. */
  close(): Promise<void>
}

export interface TransactionDriver {
  /**
   * A producer that is the only one of its id: on return every earlier producer of `id` is fenced, and its open
   * transaction is ended, so that reading a changelog after this call sees its final end (protocol R0).
   */
  producer(id: string): Promise<FencedProducer>
}

import type { OutgoingRecord, Position } from '../core/record.ts'

/** What became of one record, in the order of the batch. */
export type SendResult =
  | { readonly ok: true; readonly position: Position | undefined }
  | { readonly ok: false; readonly error: unknown }

export interface ProducerDriver {
  /**
   * Writes the batch and resolves with one result per record, when each is as durable as the backend makes it. Rejects
   * only when nothing is known of any record; then any of them may have been written.
   *
   * Records of one partition are written in the order of the array, and when one fails, none after it in its partition is
   * written; where the backend keeps no order, they may be, and count as failed. Batches may be sent concurrently; the front
   * sends at most one at a time per partition, so that order survives a retry. Blocks as long as the backend takes (the front gives up by signal); never retries.
   */
  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]>
  /**
   * Each partition has a way of its own: the front sends a batch for each, so that none waits for the answers of another.
   * Default false: one batch of many partitions is one request.
   */
  readonly byPartition?: boolean
  close(): Promise<void>
}

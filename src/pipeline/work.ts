import type { RawRecord, StreamRecord } from '../core/record.ts'
import type { Stamp } from '../core/stamp.ts'
import type { PartitionInput } from './input.ts'
import type { Waiting } from './retry-queue.ts'

/** One record at one task. */
export interface Work {
  readonly input: PartitionInput
  readonly raw: RawRecord
  readonly stamp: Stamp | undefined
  /** Once it is decoded. */
  record: StreamRecord | undefined
  /** Attempts that failed. */
  attempts: number
  /** It was put aside before: its position is passed already. */
  readonly waiting: Waiting | undefined
}

/** A record that a batch handler did not do. */
export interface Unwritten {
  readonly record: unknown
  readonly error: unknown
  /** Attempts that were made at it in the batch. Default 1. */
  readonly attempts?: number
}

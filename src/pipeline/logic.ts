import type { Environment } from '../core/environment.ts'
import type { StreamRecord } from '../core/record.ts'
import type { TaskLog } from '../exactly-once/index.ts'
import { BatchHandler, type ProcessBatch } from './batch-handler.ts'
import { guarded } from './guard.ts'
import type { ProcessorStage } from './definitions.ts'
import type { Interval, ProcessContext } from './process-context.ts'
import type { FiredTimer } from './processor-options.ts'
import type { Unwritten } from './work.ts'

/** What a sink that writes a batch is told, and tells. */
export interface Writing {
  /** Fires when the task is to end: then it is tried no more. */
  readonly ending: AbortSignal
  /** An attempt has failed, and another one follows. */
  failed(): void
}

/** What a stage does with its records: the one thing in which processors and sinks differ. */
export interface Logic {
  process(record: StreamRecord, context: ProcessContext): unknown
  fire(timer: FiredTimer<unknown>, context: ProcessContext): unknown
  readonly onWatermark: ((watermark: number, context: ProcessContext) => unknown) | undefined
  readonly onComplete?: ((interval: Interval, context: ProcessContext) => unknown) | undefined
  /**
   * Before the append of a commit: sinks write here. Gives what could not be written; all else is.
   */
  beforeAppend?(log: TaskLog, writing: Writing): Promise<readonly Unwritten[] | void> | readonly Unwritten[] | void
  /** Of a sink that writes batches: writes these again, out of what is collected. */
  write?(records: readonly StreamRecord[], writing: Writing): Promise<readonly Unwritten[]>
  /** Of a processor that is called with batches, instead of `process`. */
  readonly batch?: { readonly handler: BatchHandler; readonly process: ProcessBatch }
  /** The commit took effect. */
  applied?(): void
  /** This life of the task is over; nothing of it must stay. */
  discard?(): void
}

/** Gives one for each life of a task, in one run. */
export function processorLogic(stage: ProcessorStage, environment: Environment): () => Logic {
  const { options } = stage
  const shared = {
    onWatermark: options.onWatermark && ((watermark, context) => options.onWatermark!(watermark, context)),
    onComplete: options.onComplete && ((interval, context) => options.onComplete!(interval, context))
  } satisfies Partial<Logic>
  if (options.processBatch) {
    const process: ProcessBatch = (records, context) => options.processBatch(records, context)
    const batch = { handler: new BatchHandler(options, environment), process }
    return () => ({ ...shared, process: () => undefined, fire: () => undefined, batch })
  }
  const process = guarded(options.guard, (record, context) => options.process(record, context))
  return () => ({ ...shared, process, fire: (timer, context) => options.onTimer?.(timer, context) })
}

/** Also of a foreign kind, which may have no more than `then`. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

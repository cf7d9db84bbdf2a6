import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { CommitStore } from '../exactly-once/index.ts'
import type { SinkStage, WriteFunction } from './definitions.ts'
import { guarded } from './guard.ts'
import type { Logic } from './logic.ts'
import type { OpenPlainWriter, OpenTransactionalWriter, SinkWriter } from './sink-writer.ts'

/** A sink that is open for one run. */
export interface OpenSink {
  /** The destination is the commit point: this store, and no other. */
  readonly store: CommitStore | undefined
  /** One per life of a task. */
  logic(): Logic
  close(): Promise<void>
}

export async function openSink(stage: SinkStage): Promise<OpenSink> {
  const { guard } = stage.options
  const sink = await openWriter(stage)
  if (!guard) return sink
  return {
    store: sink.store,
    close: () => sink.close(),
    logic() {
      const logic = sink.logic()
      return { ...logic, process: guarded(guard, (record, context) => logic.process(record, context)) }
    }
  }
}

async function openWriter(stage: SinkStage): Promise<OpenSink> {
  const { write } = stage.options
  if (typeof write === 'function') return plain({ write: write as WriteFunction<unknown>, close: async () => {} })
  const writer = write as SinkWriter<unknown>
  if (writer.grade === 'transactional') return transactional(await writer.open())
  return plain(await writer.open())
}

/** Rows are written before the commit: after a crash between the two they are written again. */
function plain(writer: OpenPlainWriter<unknown>): OpenSink {
  return {
    store: undefined,
    close: () => writer.close(),
    logic() {
      const { taken, ...logic } = collecting<StreamRecord>()
      let watermark = -Infinity
      let context: Parameters<Logic['process']>[1] | undefined
      return {
        ...logic,
        process(record, processContext) {
          context = processContext
          watermark = processContext.watermark
          taken().push(record)
        },
        async beforeAppend() {
          const records = taken()
          if (records.length === 0 || !context) return
          const { task, signal } = context
          try {
            await writer.write(records, { task, signal, watermark })
          } catch (error) {
            if (StreamError.is(error)) throw error
            throw new StreamError(
              'handler',
              `sink '${task}' could not write ${records.length} records: ${String(error)}`,
              {
                retryable: true,
                cause: error
              }
            )
          }
        }
      }
    }
  }
}

/** Rows belong to the transaction of the commit. */
function transactional(writer: OpenTransactionalWriter<unknown>): OpenSink {
  return {
    store: writer.store,
    close: () => writer.close(),
    logic() {
      const { taken, ...logic } = collecting<unknown>()
      return {
        ...logic,
        process: record => void taken().push(writer.prepare(record)),
        beforeAppend: log => writer.stage(log, taken())
      }
    }
  }
}

function collecting<Item>(): Pick<Logic, 'fire' | 'onWatermark' | 'applied' | 'discard'> & { taken(): Item[] } {
  let records: Item[] = []
  // A new array each time: the writer may keep the one it was given.
  const clear = (): void => void (records = [])
  return { taken: () => records, fire: () => undefined, onWatermark: undefined, applied: clear, discard: clear }
}

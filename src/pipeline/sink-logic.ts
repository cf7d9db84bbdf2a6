import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { CommitStore } from '../exactly-once/index.ts'
import type { SinkStage, WriteFunction } from './definitions.ts'
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
      const { records, ...logic } = collecting<StreamRecord>()
      let watermark = -Infinity
      let context: Parameters<Logic['process']>[1] | undefined
      return {
        ...logic,
        process(record, processContext) {
          context = processContext
          watermark = processContext.watermark
          records.push(record)
        },
        async beforeAppend() {
          if (records.length === 0 || !context) return
          const { task, signal } = context
          try {
            await writer.write(records, { task, signal, watermark })
          } catch (error) {
            if (StreamError.is(error)) throw error
            throw new StreamError('handler', `sink '${task}' could not write ${records.length} records: ${String(error)}`, {
              retryable: true,
              cause: error
            })
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
      const { records, ...logic } = collecting<unknown>()
      return {
        ...logic,
        process: record => void records.push(writer.prepare(record)),
        beforeAppend: log => writer.stage(log, records)
      }
    }
  }
}

function collecting<Item>(): Pick<Logic, 'fire' | 'onWatermark' | 'applied' | 'discard'> & { records: Item[] } {
  const records: Item[] = []
  const clear = (): void => void (records.length = 0)
  return { records, fire: () => undefined, onWatermark: undefined, applied: clear, discard: clear }
}

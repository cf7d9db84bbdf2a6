import type { Environment } from '../core/environment.ts'
import type { StreamRecord } from '../core/record.ts'
import type { CommitStore } from '../exactly-once/index.ts'
import { BatchWriter } from './batch-writer.ts'
import { Circuit } from './circuit.ts'
import type { SinkStage, WriteFunction } from './definitions.ts'
import { policyOf } from './failure-policy.ts'
import { guarded } from './guard.ts'
import type { Logic, Writing } from './logic.ts'
import type { OpenPlainWriter, OpenTransactionalWriter, SinkWriter } from './sink-writer.ts'
import type { Unwritten } from './work.ts'

/** A sink that is open for one run. */
export interface OpenSink {
  /** The destination is the commit point: this store, and no other. */
  readonly store: CommitStore | undefined
  /** One per life of a task. */
  logic(): Logic
  close(): Promise<void>
}

export async function openSink(stage: SinkStage, environment: Environment): Promise<OpenSink> {
  const { guard } = stage.options
  const sink = await openWriter(stage, environment)
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

async function openWriter(stage: SinkStage, environment: Environment): Promise<OpenSink> {
  const { write } = stage.options
  const writer = write as SinkWriter<unknown>
  if (typeof write !== 'function' && writer.grade === 'transactional') return transactional(await writer.open())
  const open: OpenPlainWriter<unknown> =
    typeof write === 'function'
      ? { write: write as WriteFunction<unknown>, close: async () => {} }
      : await (writer as Exclude<typeof writer, { readonly grade: 'transactional' }>).open()
  const circuit = new Circuit(stage.name, environment, stage.options.circuit)
  return plain(open, new BatchWriter(open, policyOf(stage.failure), circuit, environment))
}

/** Rows are written before the commit: after a crash between the two they are written again. */
function plain(writer: OpenPlainWriter<unknown>, batches: BatchWriter): OpenSink {
  return {
    store: undefined,
    close: () => writer.close(),
    logic() {
      const { taken, ...logic } = collecting<StreamRecord>()
      let context: Parameters<Logic['process']>[1] | undefined
      const write = async (records: readonly StreamRecord[], writing: Writing): Promise<readonly Unwritten[]> => {
        if (records.length === 0 || !context) return []
        const { task, signal, watermark } = context
        return batches.write(records, { task, signal, watermark }, writing)
      }
      return {
        ...logic,
        write,
        process(record, processContext) {
          context = processContext
          taken().push(record)
        },
        beforeAppend: (_, writing) => write(taken(), writing)
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

import { hasCode, prepareBatch } from '../broker/index.ts'
import { stampOf, type InputBatch, type PartitionInput } from './input.ts'
import type { ProcessingParts, RecordProcessing } from './record-processing.ts'

/** In which order the records of a task are handled. */
export interface RecordFlow {
  /** Something is begun and not passed. */
  readonly busy: boolean
  /** It takes no more for now. */
  readonly blocked: boolean
  /** Until the next attempt at a record that was put aside, ms; `undefined` when there is none. */
  readonly retryIn: number | undefined
  /** Takes a batch; what it does not take comes back. `enough` is asked after each record. */
  take(
    input: PartitionInput,
    batch: InputBatch,
    enough: () => boolean
  ): Promise<InputBatch | undefined> | InputBatch | undefined
  /** Takes over what is done, tries again what is due. */
  turn(enough: () => boolean): Promise<void>
  /** May what is due in event time fire now? */
  mayFire(): boolean
  /** Begins nothing more; resolves when nothing is under way. */
  drain(): Promise<void>
}

export interface FlowParts extends ProcessingParts {
  readonly processing: RecordProcessing
  readonly inputs: readonly PartitionInput[]
  /** A record is the task's now. */
  passed(): void
  /** Fetches the state of a key; `undefined` when it is here. */
  fetch(key: Uint8Array | null): Promise<unknown> | undefined
}

/** One after the other: synchronous as long as the handler is. */
export class SequentialProcessing implements RecordFlow {
  readonly busy = false
  readonly #parts: FlowParts

  constructor(parts: FlowParts) {
    this.#parts = parts
  }

  /** So many records wait for another attempt that no more are taken. */
  get blocked(): boolean {
    return this.#parts.retries.queue.full
  }

  get retryIn(): number | undefined {
    return this.#parts.retries.nextIn(this.#parts.batch?.has)
  }

  mayFire(): boolean {
    return true
  }

  async take(
    input: PartitionInput,
    { records, stamps }: InputBatch,
    enough: () => boolean
  ): Promise<InputBatch | undefined> {
    const { processing, passed } = this.#parts
    for (let index = 0; index < records.length; index++) {
      passed()
      const pending = processing.one(input, records[index]!, stamps[index])
      // What waits for another attempt in its place is not done: it comes again, and what is before it is committed.
      if (pending && !(await goesOn(pending, this.#parts)))
        return { records: records.slice(index), stamps: stamps.slice(index) }
      if ((enough() || this.blocked) && index + 1 < records.length)
        return { records: records.slice(index + 1), stamps: stamps.slice(index + 1) }
    }
    return undefined
  }

  async turn(enough: () => boolean): Promise<void> {
    const { retries, batch, environment, inputs, processing, fetch, passed } = this.#parts
    const { queue } = retries
    const now = environment.monotonic()
    for (let waiting; (waiting = queue.due(now, batch?.has)) && !enough();) {
      passed()
      const { topic, raw, attempts } = waiting
      const input = inputs.find(({ bound }) => bound.topic.name === topic)
      // The stage does not read that topic any more.
      if (!input) {
        queue.remove(waiting)
        continue
      }
      await Promise.all([fetch(raw.key), prepareBatch(input.bound, [raw])])
      const work = { input, raw, stamp: stampOf(raw), record: undefined, attempts, waiting }
      if (!(await goesOn(processing.try(work), this.#parts))) return
    }
  }

  async drain(): Promise<void> {}
}

/** Waits for a handler. False when the task is to end before it is done. */
export async function goesOn(
  pending: Promise<void> | undefined,
  { ending, signal }: Pick<FlowParts, 'ending' | 'signal'>
): Promise<boolean> {
  try {
    await pending
    return true
  } catch (error) {
    if (ending.aborted && !signal.aborted && hasCode(error, 'aborted')) return false
    throw error
  }
}

import type { Environment } from '../core/environment.ts'
import { FatalError } from '../core/failure.ts'
import type { StreamRecord } from '../core/record.ts'
import { failureIn, type BatchContext, type BatchProcessorOptions } from './batch-options.ts'
import { BatchWriter } from './batch-writer.ts'
import { Circuit } from './circuit.ts'
import { policyOf, type FailurePolicy } from './failure-policy.ts'
import { withheld, type Guard } from './guard.ts'
import { idempotencyKeyOf, type HandlerContext } from './handler-context.ts'
import type { Writing } from './logic.ts'
import type { FailedWrite } from './sink-writer.ts'
import type { Unwritten } from './work.ts'

/** What was made of a record, and is not the task's yet. */
export interface Handled {
  readonly entries: unknown
  readonly expired: boolean
}

/** Record -> what became of it, or how it has failed. */
export type BatchOutcome = ReadonlyMap<StreamRecord, Handled | Unwritten>

/** The handler of the user. */
export type ProcessBatch = (records: readonly StreamRecord[], context: BatchContext) => unknown

/** What hands batches to a handler for one run: over all tasks of its stage at this worker. */
export class BatchHandler {
  readonly #stage: string
  readonly #guard: Guard | undefined
  readonly #failure: FailurePolicy
  readonly #circuit: Circuit
  readonly #environment: Environment

  constructor(
    { name, guard, failure = {}, circuit }: BatchProcessorOptions<any, any, any, any, any>,
    environment: Environment
  ) {
    this.#stage = name
    this.#guard = guard
    this.#failure = failure
    this.#circuit = new Circuit(name, environment, circuit)
    this.#environment = environment
  }

  /** Each record has an outcome. Throws what ends the run (`handler`), and `aborted`. */
  async handle(
    process: ProcessBatch,
    records: readonly StreamRecord[],
    shared: HandlerContext,
    writing: Writing
  ): Promise<BatchOutcome> {
    const outcome = new Map<StreamRecord, Handled | Unwritten>()
    const timely = this.#guard ? records.filter(record => !this.#isWithheld(record, shared, outcome)) : records
    if (timely.length === 0) return outcome
    const { task, signal, watermark } = shared
    const write = async (part: readonly unknown[]): Promise<{ failed: FailedWrite[] }> => ({
      failed: await this.#once(process, part as readonly StreamRecord[], shared, outcome)
    })
    const kind = { who: 'processor', doing: 'handling', told: 'batch-retried' } as const
    const writer = new BatchWriter({ write }, policyOf(this.#failure), this.#circuit, this.#environment, kind)
    const unhandled = await writer.write(timely, { task, signal, watermark }, writing)
    for (const each of unhandled) outcome.set(each.record as StreamRecord, each)
    return outcome
  }

  #isWithheld(record: StreamRecord, shared: HandlerContext, outcome: Map<StreamRecord, Handled | Unwritten>): boolean {
    let expired = false
    const { task, timeliness } = shared
    const held = withheld(this.#guard!, record, { task, timeliness, expire: () => (expired = true) })
    if (held) outcome.set(record, { ...held, expired })
    return held !== undefined
  }

  /** One call; gives the records that it says have failed. */
  async #once(
    process: ProcessBatch,
    records: readonly StreamRecord[],
    shared: HandlerContext,
    outcome: Map<StreamRecord, Handled | Unwritten>
  ): Promise<FailedWrite[]> {
    const expired = new Set<unknown>()
    const results = await process(records, contextOf(shared, expired))
    // Another number is no answer to any of them: which record an element is for, nobody can tell.
    if (!Array.isArray(results) || results.length !== records.length)
      throw new FatalError(
        `\`processBatch\` of '${this.#stage}' was called with ${records.length} records and must return an array of as many, got ${countOf(results)}: give \`undefined\` in the place of a record without outputs`
      )
    // Looked at together: a promise that rejects while another is awaited is not one that nobody has looked at.
    const settled = await Promise.allSettled(results as readonly unknown[])
    return settled.flatMap((each, index): FailedWrite[] => {
      const record = records[index]!
      const failure = each.status === 'rejected' ? { error: each.reason as unknown } : failureIn(each.value)
      if (failure) return [{ record, error: failure.error }]
      outcome.set(record, { entries: (each as PromiseFulfilledResult<unknown>).value, expired: expired.has(record) })
      return []
    })
  }
}

function contextOf(shared: HandlerContext, expired: Set<unknown>): BatchContext {
  const { task, signal, watermark } = shared
  return {
    task,
    signal,
    watermark,
    get timeliness() {
      return shared.timeliness
    },
    idempotencyKey: idempotencyKeyOf,
    expire: record => void expired.add(record)
  }
}

function countOf(results: unknown): string {
  return Array.isArray(results) ? `one of ${results.length}` : results === null ? 'null' : typeof results
}

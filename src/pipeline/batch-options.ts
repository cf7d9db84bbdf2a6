import { millisecondsOf, type Duration } from '../core/duration.ts'
import { StreamError } from '../core/errors.ts'
import type { CircuitOptions } from './circuit.ts'
import type { ProcessContext } from './process-context.ts'
import type { ProcessorBase } from './processor-options.ts'
import type { EntryOf, Outputs, RecordOf, Several, Topics } from './topic-types.ts'

/** How many records a batch handler is called with. A batch is full at the first of its limits. */
export interface BatchLimits {
  /** Default 500. */
  readonly records?: number
  /** Of records as they came, with their headers. Default 1 MiB. A larger record is a batch of its own. */
  readonly bytes?: number
  /** How long a batch that is not full waits for more. Default 0: it is what is there once the batch before it is done. */
  readonly wait?: Duration
}

/** With everything filled in; `wait` in ms. */
export interface BatchSettings {
  readonly records: number
  readonly bytes: number
  readonly wait: number
}

/** What a batch handler may know of its batch, and say of its records. */
export interface BatchContext<Item = any> extends Pick<ProcessContext, 'task' | 'signal' | 'watermark' | 'timeliness'> {
  /** The same for every attempt at this record, on every worker: give it to the outside effects of the handler. */
  idempotencyKey(record: Item): string
  /** The record came too late to be of use: it counts as `expired`. */
  expire(record: Item): void
}

const mark: unique symbol = Symbol.for('tidemark.failed') as never

/** In the place of the outputs of a record that a batch handler could not handle: see `failed`. */
export interface Failed {
  readonly [mark]: true
  readonly error: unknown
}

/**
 * Says of one record of a batch that it has failed, with whatever its error is. An `Error` in the place of its outputs says the
 * same.
 *
 * @example
 * return answers.map(({ status, body }, index) => (status === 200 ? { key: records[index]!.key, value: body } : failed(status)))
 */
export function failed(error: unknown): Failed {
  return { [mark]: true, error }
}

/** The failure that a batch handler has told in the place of outputs, if it has. */
export function failureIn(result: unknown): { readonly error: unknown } | undefined {
  if (result instanceof Error) return { error: result }
  return typeof result === 'object' && result !== null && mark in result ? (result as Failed) : undefined
}

type OfRecord<To extends Topics> = Several<EntryOf<To>> | Failed | Error

/** What is said of one record: what `process` may return for it, or how it has failed. */
export type BatchResult<To extends Topics> = OfRecord<To> | Promise<OfRecord<To>>

/**
 * A processor that is called with many records at once: for handlers that ask, or tell, something outside that takes many in one
 * request. Outputs, order, time, failures and the commit are those of single records, as with `process`. There is no keyed
 * state, and so no timers.
 *
 * @example
 * const enrich = processor({
 *   name: 'enrich', from: orders, to: enriched,
 *   batch: { records: 500, wait: '20ms' },
 *   async processBatch(records) {
 *     const names = await customers.namesOf(records.map(({ key }) => key))
 *     return records.map(({ key, value }, index) => ({ key, value: { ...value, name: names[index] } }))
 *   }
 * })
 */
export interface BatchProcessorOptions<
  From extends Topics,
  To extends Topics,
  Result extends BatchResult<To> = BatchResult<To>,
  Risen extends Outputs<To> = Outputs<To>,
  Completed extends Outputs<To> = Outputs<To>
> extends ProcessorBase<From, To, {}, Risen, Completed> {
  /** How large a batch may be, and how long it waits for more. */
  readonly batch?: BatchLimits
  /** Spares what the handler asks while that is down. One for all tasks of the stage at this worker. */
  readonly circuit?: CircuitOptions
  /**
   * Called with records in the order in which they came, and gives an array of the same length: for each record what `process`
   * may return for it, or how that record has failed (`failed`, an `Error`, a promise that rejects); then that one alone is
   * parked, or tried again, and those of its key behind it with it. What it throws is about all of them: they are handled again
   * after a growing wait; after `retries` it is found out which are to blame, by handling parts, and these are parked. May see
   * records again after it has thrown, and after a crash.
   */
  processBatch(
    records: readonly RecordOf<From>[],
    context: BatchContext<RecordOf<From>>
  ): readonly Result[] | Promise<readonly Result[]>
  readonly process?: undefined
  readonly state?: undefined
  readonly concurrency?: undefined
  readonly onTimer?: undefined
}

/** Gives the limits of a batch handler. Throws `bad-config` for one that cannot be, with the way out. */
export function checkHandler(options: {
  readonly name: string
  readonly process?: unknown
  readonly processBatch?: unknown
  readonly batch?: BatchLimits | undefined
  readonly circuit?: unknown
  readonly state?: object | undefined
  readonly onTimer?: unknown
  readonly concurrency?: number | undefined
}): BatchSettings | undefined {
  const { name, process, processBatch, batch = {}, state = {}, concurrency = 1 } = options
  const refuse = (why: string): never => {
    throw new StreamError('bad-config', `processor '${name}': ${why}`)
  }
  if ((process === undefined) === (processBatch === undefined))
    refuse('give it `process`, or `processBatch` to be called with many records at once, and not both')
  if (processBatch === undefined) {
    if (options.batch || options.circuit) refuse('`batch` and `circuit` are for `processBatch`')
    return undefined
  }
  if (Object.keys(state).length > 0 || options.onTimer)
    refuse(
      '`processBatch` has no keyed state and no timers: write what it finds to a topic, and keep state in a processor with `process` that reads it'
    )
  if (concurrency !== 1)
    refuse('`concurrency` is for `process`: a batch handler has all records of its batch at once, make `batch` larger')
  const { records = 500, bytes = 1_048_576 } = batch
  const wait = millisecondsOf(`processor '${name}': batch.wait`, batch.wait ?? 0)
  for (const [limit, value] of Object.entries({ records, bytes }))
    if (!(Number.isInteger(value) && value > 0)) refuse(`batch.${limit} must be a whole number above 0, got ${value}`)
  if (!Number.isFinite(wait)) refuse(`batch.wait must be a time, got ${wait}`)
  return { records, bytes, wait }
}

import { millisecondsOf, type Duration } from '../core/duration.ts'
import { StreamError } from '../core/errors.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { StateDefinitions } from '../state/index.ts'
import { checkHandler, type BatchProcessorOptions, type BatchResult, type BatchSettings } from './batch-options.ts'
import type { CircuitOptions } from './circuit.ts'
import { checkPolicy, type FailurePolicy } from './failure-policy.ts'
import type { Guard } from './guard.ts'
import type { ProcessorOptions } from './processor-options.ts'
import { checkRate, type RateLimit } from './rate-limit.ts'
import type { SinkContext, SinkWriter, WriteOutcome } from './sink-writer.ts'
import type { EntryOf, Outputs, RecordOf, SideTopic, Topics } from './topic-types.ts'

interface StageBase {
  readonly name: string
  readonly from: readonly AnyTopic[]
  /** All topics that it writes, the side output included. */
  readonly to: readonly AnyTopic[]
  /** Takes what the stage must not decide on. An entry of a stage with one other output need not name that. */
  readonly side: AnyTopic | undefined
  readonly failure: FailurePolicy
  /** Time between two records by `rateLimit`, ms. */
  readonly every: number | undefined
}

export interface ProcessorStage extends StageBase {
  readonly kind: 'processor'
  readonly state: StateDefinitions
  /** Of `onComplete`, ms. */
  readonly interval: number | undefined
  readonly concurrency: number
  /** Of one that is called with batches. */
  readonly batch: BatchSettings | undefined
  readonly options: ProcessorOptions<any, any, any, any, any, any, any> | BatchProcessorOptions<any, any, any, any, any>
}

/** Reads topics, keeps state, writes topics. See `ProcessorOptions`, and `BatchProcessorOptions` for handlers of many records at once. */
export function processor<
  const From extends Topics,
  const To extends Topics = never,
  const State extends StateDefinitions = {},
  const Processed extends Outputs<To> = Outputs<To>,
  const Timed extends Outputs<To> = Outputs<To>,
  const Risen extends Outputs<To> = Outputs<To>,
  const Completed extends Outputs<To> = Outputs<To>,
  const Result extends BatchResult<To> = BatchResult<To>
>(
  options:
    | ProcessorOptions<From, To, State, Processed, Timed, Risen, Completed>
    | BatchProcessorOptions<From, To, Result, Risen, Completed>
): ProcessorStage {
  return {
    kind: 'processor',
    batch: checkHandler(options),
    interval: intervalOf(options),
    concurrency: concurrencyOf(options),
    name: stageName(options.name),
    from: list(options.from),
    ...withSide(options.name, options.from, options.to === undefined ? [] : list(options.to), options.guard),
    failure: checkPolicy(options.name, options.failure ?? {}),
    every: checkRate(options.name, options.rateLimit),
    state: options.state ?? {},
    options
  }
}

/** An entry of a source: `cursor` (JSON) comes back as `resume` once it is committed. */
export type SourceEntry<To extends Topics> = EntryOf<To> & { readonly cursor?: unknown }

/** A claim without an entry: nothing before `watermark` (ms) will come any more. */
export interface WatermarkClaim {
  readonly watermark: number
}

export interface SourceContext {
  /** Cursor of the last committed entry of this split, `undefined` at the very start. */
  readonly resume: unknown
  readonly split: string
  readonly signal: AbortSignal
}

type SourceItem<To extends Topics> = SourceEntry<To> | WatermarkClaim | readonly (SourceEntry<To> | WatermarkClaim)[]

export interface SourceOptions<To extends Topics> {
  readonly name: string
  readonly to: To
  /**
   * Yields entries, arrays of entries (faster), or watermark claims. When it returns, the split has ended for good: its
   * watermark goes to the end of time. Called again from `resume` after a crash or a hand-over.
   */
  run(context: SourceContext): AsyncIterable<SourceItem<To>> | Iterable<SourceItem<To>>
  /** The independent parts of the source (files, shards of an API): each is a task of its own. Default: one, `main`. */
  splits?(): readonly string[] | Promise<readonly string[]>
  /** `retries` and `backoff` for a generator that throws; then `run` rejects. */
  readonly failure?: Pick<FailurePolicy, 'retries' | 'backoff'>
  /** How many entries are taken within a time, at each worker. Default: as many as there are. */
  readonly rateLimit?: RateLimit
}

export interface SourceStage extends StageBase {
  readonly kind: 'source'
  readonly options: SourceOptions<any>
}

/** Brings the outside in. See `SourceOptions`. */
export function source<const To extends Topics>(options: SourceOptions<To>): SourceStage {
  return {
    kind: 'source',
    name: stageName(options.name),
    from: [],
    to: list(options.to),
    side: undefined,
    failure: checkPolicy(options.name, options.failure ?? {}),
    every: checkRate(options.name, options.rateLimit),
    options
  }
}

/**
 * Called with the records of one commit, in order. May see them again after a crash, and after it has thrown. What it throws is
 * about all of them; of single ones it gives `{ failed: [{ record, error }] }`, and the others count as written.
 */
export type WriteFunction<Item> = (
  records: readonly Item[],
  context: SinkContext
) => WriteOutcome | Promise<WriteOutcome>

export interface SinkOptions<From extends Topics> {
  readonly name: string
  readonly from: From
  /**
   * Of records that do not decode or that `write` says have failed. When `write` throws, the batch is written again after a
   * growing wait; after `retries` it is found out which records are to blame, by writing parts of it, and these are parked.
   * Where nothing at all can be written the destination is down: it is tried for as long as it takes, with `then: 'stop'` the
   * run rejects.
   */
  readonly failure?: FailurePolicy
  /** Spares a destination that is down. One for all tasks of the stage at this worker. */
  readonly circuit?: CircuitOptions
  /** How many records are begun within a time, at each worker. Default: as many as there are. */
  readonly rateLimit?: RateLimit
  /** What is not timely enough goes to a side output instead of `write`. */
  readonly guard?: Guard<NoInfer<SideTopic<From>> | undefined>
  /** A function (at least once), or a writer that says what it can promise. */
  readonly write: WriteFunction<RecordOf<From>> | SinkWriter<RecordOf<From>>
}

export interface SinkStage extends StageBase {
  readonly kind: 'sink'
  readonly options: SinkOptions<any>
}

/** Loads a storage engine. See `SinkOptions`. */
export function sink<const From extends Topics>(options: SinkOptions<From>): SinkStage {
  return {
    kind: 'sink',
    name: stageName(options.name),
    from: list(options.from),
    ...withSide(options.name, options.from, [], options.guard),
    failure: checkPolicy(options.name, options.failure ?? {}),
    every: checkRate(options.name, options.rateLimit),
    options
  }
}

export type Stage = SourceStage | ProcessorStage | SinkStage

/** An inert description: nothing runs before `client.run`. */
export interface Pipeline {
  readonly kind: 'pipeline'
  readonly name: string
  readonly stages: readonly Stage[]
}

/**
 * Names stages as one pipeline. Two workers that run a pipeline of one name on one broker share its work.
 *
 * @example
 * const app = pipeline('order-totals', [ticker, addUp, warehouse])
 */
export function pipeline(name: string, stages: readonly Stage[]): Pipeline {
  if (stages.length === 0) throw new StreamError('bad-config', `pipeline '${name}' has no stages`)
  const names = new Set<string>()
  for (const stage of stages) {
    if (names.has(stage.name))
      throw new StreamError(
        'bad-config',
        `pipeline '${name}' has two stages named '${stage.name}': names are the identity of tasks`
      )
    names.add(stage.name)
  }
  return { kind: 'pipeline', name: stageName(name), stages }
}

// Names become parts of group names, transactional ids and topic names on every backend.
function stageName(name: string): string {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,62}$/.test(name)) return name
  throw new StreamError('bad-config', `name '${name}' must be 1 to 63 of A-Z a-z 0-9 _ - and start with a letter`)
}

function intervalOf({
  name,
  interval,
  onComplete
}: {
  readonly name: string
  readonly interval?: Duration
  readonly onComplete?: unknown
}): number | undefined {
  if ((interval === undefined) !== (onComplete === undefined))
    throw new StreamError('bad-config', `processor '${name}': \`interval\` and \`onComplete\` go together`)
  if (interval === undefined) return undefined
  const every = millisecondsOf(`processor '${name}': interval`, interval)
  if (Number.isSafeInteger(every) && every > 0) return every
  throw new StreamError('bad-config', `processor '${name}': interval must be whole milliseconds above 0, got ${every}`)
}

function concurrencyOf({
  name,
  concurrency = 1
}: {
  readonly name: string
  readonly concurrency?: number | undefined
}): number {
  if (Number.isInteger(concurrency) && concurrency > 0) return concurrency
  throw new StreamError(
    'bad-config',
    `processor '${name}': concurrency must be a whole number above 0, got ${concurrency}`
  )
}

function withSide(
  stage: string,
  from: Topics,
  to: readonly AnyTopic[],
  guard: Guard | undefined
): { readonly to: readonly AnyTopic[]; readonly side: AnyTopic | undefined } {
  const side = guard?.otherwise
  if (!side) return { to, side }
  if ([...list(from), ...to].some(({ name }) => name === side.name))
    throw new StreamError(
      'bad-config',
      `stage '${stage}': topic '${side.name}' takes what the guard withholds, and cannot be another of its topics`
    )
  return { to: [...to, side], side }
}

function list(topics: Topics): readonly AnyTopic[] {
  return Array.isArray(topics) ? topics : [topics as AnyTopic]
}

import { StreamError } from '../core/errors.ts'
import type { Entry, StreamRecord } from '../core/record.ts'
import type { AnyTopic, Topic } from '../core/topic.ts'
import type { StateDefinitions, StateHandles } from '../state/index.ts'
import type { Cause } from '../watermark/index.ts'
import type { SinkContext, SinkWriter } from './sink-writer.ts'

/** One topic or several. */
export type Topics = AnyTopic | readonly AnyTopic[]
type Each<T extends Topics> = T extends readonly (infer Member)[] ? Member : T

/** The records of one topic, or the union of those of several, told apart by `topic`. */
export type RecordOf<T extends Topics> =
  Each<T> extends infer Member
    ? Member extends Topic<infer Name, infer Key, infer Value>
      ? StreamRecord<Name, Key, Value>
      : never
    : never

type KeyOf<T extends Topics> =
  Each<T> extends infer Member ? (Member extends Topic<string, infer Key, any> ? Key : never) : never

/** What may be returned for one topic; for several, each entry names its `topic`. */
export type EntryOf<T extends Topics> = T extends readonly AnyTopic[]
  ? Each<T> extends infer Member
    ? Member extends Topic<infer Name, infer Key, infer Value>
      ? Entry<Key, Value> & { readonly topic: Name }
      : never
    : never
  : T extends Topic<infer Name, infer Key, infer Value>
    ? Entry<Key, Value> & { readonly topic?: Name }
    : never

type Several<Item> = Item | Iterable<Item> | AsyncIterable<Item> | undefined | void | null
/** One entry, an array, an iterable (also an async one), or nothing; or a promise of these. */
export type Outputs<T extends Topics> = Several<EntryOf<T>> | Promise<Several<EntryOf<T>>>

/** What happens to a record whose handler throws. */
export interface FailurePolicy {
  /** Attempts after the first. Default 3. Bytes that do not decode are not tried again. */
  readonly retries?: number
  /** Waits between attempts, ms: doubled from `first` to `most`. Default 100 to 10,000. The partition waits meanwhile. */
  readonly backoff?: { readonly first: number; readonly most: number }
  /** After the last attempt. `park` (default): to `<topic>.parked`, as part of the commit. `stop`: `run` rejects. */
  readonly then?: 'park' | 'stop'
}

/** Event-time timers of the key at hand. */
export interface Timers {
  /**
   * Calls `onTimer` for this key once the watermark has reached `time` (ms); at once when it has already. The same time and
   * name twice is one timer. At the end of all input (`watermark` is `Infinity`) every timer fires: one that sets itself anew
   * must look at that, or the run never ends.
   */
  at(time: number, name?: string): void
  cancel(time: number, name?: string): void
}

/** How far a handler may trust that its input is complete. */
export interface Timeliness {
  /** Nothing earlier is still to come, except late records. `-Infinity` while unknown, `Infinity` at the end. */
  readonly watermark: number
  /** How far the watermark is behind the wall clock, ms. */
  readonly behind: number
  /** Records that wait at this task and at every stage above it. */
  readonly pendingUpstream: number
  /** Which share of the attempts failed lately at the worst stage above, 0 to 1. */
  readonly failureRate: number
  /** Records that were late, here and above, since the pipelines began. */
  readonly late: number
  /** Records that were parked, here and above. */
  readonly parked: number
  /** Who holds the watermark back, however many hops away; `undefined` while nobody does. */
  readonly slowest: Slowest | undefined
  /** Stages above of which a task is silent: dead, or cut off. */
  readonly stale: readonly string[]
  /** `false`: a producer does not promise its watermark, and it was guessed from the lateness of its topic. */
  readonly exact: boolean
}

export interface Slowest {
  /** `pipeline/stage`, or the name of a plain producer. */
  readonly stage: string
  /** Partition of the stage, or split of a source. */
  readonly partition: string
  /**
   * `failing`: it is trying a record again. `slow`: records wait for it. `silent`: its reports are overdue, it is dead or cut off.
   * `quiet`: it lives and has nothing newer.
   */
  readonly cause: Cause
  /** Since when, ms since the epoch by the clock of whoever saw it. */
  readonly since: number
}

export interface ProcessContext<State extends StateDefinitions = StateDefinitions> {
  readonly state: StateHandles<State>
  readonly timers: Timers
  readonly watermark: number
  readonly timeliness: Timeliness
  /** The same for every attempt at this record, on every worker: give it to the outside effects of the handler. */
  readonly idempotencyKey: string
  /**
   * The record at hand came too late to be of use: counts it as `expired` in the vitals, reports it on
   * `tidemark:record-expired`. Late records are never dropped in silence.
   */
  expire(): void
  /** Fires when the task must stop. */
  readonly signal: AbortSignal
  readonly task: string
}

export interface FiredTimer<Key> {
  readonly key: Key
  readonly time: number
  readonly name: string
}

/** The last three are what the functions return: inferred, so that the `topic` of an entry need not be written `as const`. */
export interface ProcessorOptions<
  From extends Topics,
  To extends Topics,
  State extends StateDefinitions,
  Processed extends Outputs<To> = Outputs<To>,
  Timed extends Outputs<To> = Outputs<To>,
  Risen extends Outputs<To> = Outputs<To>
> {
  readonly name: string
  readonly from: From
  readonly to?: To
  readonly state?: State
  readonly failure?: FailurePolicy
  process(record: RecordOf<From>, context: ProcessContext<State>): Processed
  /**
   * The watermark has reached a timer. State is that of the timer's key; outputs have the timer's time by default. A timer
   * that fails is tried again as `failure` says, then the run rejects: there is no record to park.
   */
  onTimer?(timer: FiredTimer<KeyOf<From>>, context: ProcessContext<State>): Timed
  /** The watermark of the task has risen. There is no key here, so no keyed state. */
  onWatermark?(watermark: number, context: ProcessContext<State>): Risen
}

interface StageBase {
  readonly name: string
  readonly from: readonly AnyTopic[]
  readonly to: readonly AnyTopic[]
  readonly failure: FailurePolicy
}

export interface ProcessorStage extends StageBase {
  readonly kind: 'processor'
  readonly state: StateDefinitions
  readonly options: ProcessorOptions<any, any, any, any, any, any>
}

/** Reads topics, keeps state, writes topics. See `ProcessorOptions`. */
export function processor<
  const From extends Topics,
  const To extends Topics = never,
  const State extends StateDefinitions = {},
  const Processed extends Outputs<To> = Outputs<To>,
  const Timed extends Outputs<To> = Outputs<To>,
  const Risen extends Outputs<To> = Outputs<To>
>(options: ProcessorOptions<From, To, State, Processed, Timed, Risen>): ProcessorStage {
  return {
    kind: 'processor',
    name: stageName(options.name),
    from: list(options.from),
    to: options.to === undefined ? [] : list(options.to),
    failure: options.failure ?? {},
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
  readonly failure?: Omit<FailurePolicy, 'then'>
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
    failure: options.failure ?? {},
    options
  }
}

/** Called with the records of one commit, in order. May see them again after a crash. */
export type WriteFunction<Item> = (records: readonly Item[], context: SinkContext) => void | Promise<void>

export interface SinkOptions<From extends Topics> {
  readonly name: string
  readonly from: From
  /**
   * Of records that do not decode, and of a `write` that throws: the batch is written again, with growing waits, for as long
   * as it takes; with `then: 'stop'` the run rejects after `retries`.
   */
  readonly failure?: FailurePolicy
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
    to: [],
    failure: options.failure ?? {},
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

function list(topics: Topics): readonly AnyTopic[] {
  return Array.isArray(topics) ? topics : [topics as AnyTopic]
}

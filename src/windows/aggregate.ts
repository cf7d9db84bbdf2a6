import type { Codec } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'
import { processor, type ProcessorStage, type RecordOf, type Topics } from '../pipeline/index.ts'
import { keyed } from '../state/index.ts'
import { Firing } from './firing.ts'
import { FixedWindows } from './fixed-windows.ts'
import { checkTopics, listOf, ResultWriter } from './results.ts'
import { SessionWindows } from './session-windows.ts'
import { stageOptions, type StageOptions } from './stage-options.ts'
import { noWindows, storedWindows, type StoredWindows } from './stored-windows.ts'
import type { Keyed, KeyOf, LateTopic, Results } from './types.ts'
import { assertWhole, type SessionWindowing, type Window, type Windowing } from './windowing.ts'

/** One result of one window of one key. */
export interface Pane<Key, Value> {
  readonly key: Key
  /** What `add` and `merge` have made of all records of the window so far, those of earlier results included. */
  readonly value: Value
  readonly window: Window
  /**
   * `early`: the window is not complete yet. `on-time`: the watermark has reached its end, so only late records can be
   * missing. `late`: one of these has come, and this result takes the place of the one before.
   */
  readonly timing: 'early' | 'on-time' | 'late'
  /**
   * Sessions only: other windows of this key that have given results, and are part of this one by now. Take those results
   * back where you keep them.
   */
  readonly replaces: readonly Window[]
}

/** When a window gives results before its end. Neither looks at a clock: the same input gives the same results. */
export type Early =
  /** When the watermark passes a multiple of so many ms (with the `offset` of the windows), if a record has come since. */
  | { readonly every: number; readonly count?: never }
  /** After so many records since the last result. */
  | { readonly count: number; readonly every?: never }

export interface AggregateOptions<
  From extends Topics,
  To extends Topics,
  Accumulator,
  Shape extends Windowing,
  Result extends Results<To> = Results<To>
> extends StageOptions {
  readonly name: string
  readonly from: From & Keyed<From>
  readonly to: To
  readonly window: Shape
  /** Keeps accumulators in the state. */
  readonly accumulator: Codec<Accumulator>
  /** The accumulator of a window without records. */
  init(): NoInfer<Accumulator>
  /** The accumulator with one more record. Must give another value, not change the old one: an attempt may be undone. */
  add(accumulator: NoInfer<Accumulator>, record: RecordOf<From>): NoInfer<Accumulator>
  /** The entries of a result. Their event time is the last millisecond of the window, unless they say another. */
  result(pane: Pane<KeyOf<From>, NoInfer<Accumulator>>): Result
  /** Default: no early results. */
  readonly early?: Early
  /** How far the watermark may be past the end of a window when a late record still corrects its result, ms. Default 0. */
  readonly allowedLateness?: number
  /** Takes the records that come later than that for all of their windows. Default: they are counted as `expired`. */
  readonly late?: LateTopic<From>
}

/** Sessions also say how two of them become one. */
export type Merging<Shape extends Windowing, Accumulator> = [Shape] extends [SessionWindowing]
  ? {
      /** The accumulator of two sessions that a record has made one. */
      merge(earlier: NoInfer<Accumulator>, later: NoInfer<Accumulator>): NoInfer<Accumulator>
    }
  : { readonly merge?: never }

/**
 * A processor that sums up the records of each key by windows of event time. Windows are kept as state, so they are part of
 * the commit, and each record counts once. A window gives its result when the watermark has reached its end, and goes once
 * that is `allowedLateness` past it: state is bounded by time.
 *
 * Errors: `bad-config` for windows, topics and times that cannot be, and for options of a processor that it has no use for.
 *
 * @example
 * const countHours = aggregate({
 *   name: 'count-hours', from: flights, to: hourly,
 *   window: tumbling(HOUR),
 *   accumulator: number,
 *   init: () => 0,
 *   add: count => count + 1,
 *   result: ({ key, value, window }) => ({ key, value: { airport: key, hour: window.start, departures: value } })
 * })
 */
export function aggregate<
  const From extends Topics,
  const To extends Topics,
  Accumulator,
  const Shape extends Windowing,
  const Result extends Results<To> = Results<To>
>(options: AggregateOptions<From, To, Accumulator, Shape, Result> & Merging<Shape, Accumulator>): ProcessorStage {
  const { name, from, to, window, accumulator, late } = options as AnyOptions
  const where = `aggregate '${name}'`
  const shared = stageOptions(where, options as AnyOptions)
  const results = listOf(to)
  checkTopics(where, listOf(from), results, late ? [late] : [])
  const firing = firingOf(where, options as AnyOptions, new ResultWriter(`result of ${where}`, results))
  const windows =
    window.kind === 'session'
      ? new SessionWindows(window, withMerge(where, options as AnyOptions), firing, late)
      : new FixedWindows(window, options as AnyOptions, firing, late)
  return processor<any, any, any>({
    name,
    from,
    to: late ? [...results, late] : results,
    state: { windows: keyed<StoredWindows>(storedWindows(accumulator), noWindows) },
    ...shared,
    process: (record, context) => windows.process(record, context as never),
    onTimer: (timer, context) => firing.onTimer(timer, context as never)
  })
}

type AnyOptions = Omit<AggregateOptions<any, any, any, Windowing, any>, 'from'> & {
  readonly from: Topics
  merge?(earlier: unknown, later: unknown): unknown
}

function firingOf(where: string, options: AnyOptions, results: ResultWriter): Firing {
  const { window, early, allowedLateness = 0 } = options
  const every = early?.every
  const count = early?.count
  assertWhole(`${where}: allowedLateness`, allowedLateness, 0)
  if (every !== undefined && count !== undefined)
    throw new StreamError('bad-config', `${where}: early results come by \`every\` or by \`count\`, not by both`)
  if (every !== undefined) assertWhole(`${where}: early.every`, every, 1)
  if (count !== undefined && !(Number.isSafeInteger(count) && count > 0))
    throw new StreamError('bad-config', `${where}: early.count must be a whole number above 0, got ${String(count)}`)
  return new Firing({
    results,
    result: pane => options.result(pane),
    sessions: window.kind === 'session',
    allowedLateness,
    every: every ?? 0,
    offset: window.kind === 'fixed' && every !== undefined ? window.offset : 0,
    count: count ?? 0
  })
}

function withMerge(where: string, options: AnyOptions): Required<Pick<AnyOptions, 'init' | 'add' | 'merge'>> {
  if (options.merge) return options as Required<AnyOptions>
  throw new StreamError('bad-config', `${where}: sessions need \`merge\`, for when a record makes one of two`)
}

import { bytes, optional, type Codec } from './codec.ts'
import { millisecondsOf, type Duration } from './duration.ts'
import { StreamError } from './errors.ts'

/**
 * How far the event time of a foreign producer has come: one that writes without this library, and so promises nothing.
 *
 * - `bounded-disorder`: the newest event time less the `lateness` of the topic
 * - `monotone`: the newest event time; `lateness` does not count
 * - `broker-time`: the newest time at which the broker got a record, less `lateness`
 * - `wall-clock`: the same, and while a partition is silent the clock of its reader, less `lateness`: then nothing has happened
 *
 * All of them per partition, and all of them guesses: `timeliness.exact` is false here and at every stage below.
 */
export type Estimate = 'bounded-disorder' | 'monotone' | 'broker-time' | 'wall-clock'

const estimates: readonly string[] = ['bounded-disorder', 'monotone', 'broker-time', 'wall-clock'] satisfies Estimate[]

/**
 * What a pipeline does at a hole in the numbers of a producer of ours: records that were acknowledged, and are not there.
 *
 * - `stall`: the run rejects with `records-lost`, which names them; on a queue, where they may still come, the watermark waits for them
 * - `skipAfter`: they are counted as `lost`, told on `tidemark:records-lost`, and passed over; at once on a log that keeps order, where
 *   they cannot come any more; on a queue after so long
 */
export type GapPolicy = 'stall' | { readonly skipAfter: Duration }

export interface TopicOptions<Key, Value> {
  /** Default: `optional(bytes)`. */
  readonly key?: Codec<Key>
  readonly value: Codec<Value>
  /** When it happened, milliseconds since the epoch. Default: `entry.eventTime`, else the broker's time. */
  readonly eventTime?: (value: NoInfer<Value>, key: NoInfer<Key>) => number
  /** How far behind the newest event a record may still come, ms. Default 0: event times never go back. */
  readonly lateness?: number
  /** How the watermark of records without a stamp is guessed. Default `bounded-disorder`. See {@link Estimate}. */
  readonly estimate?: Estimate
  /**
   * How far ahead of the clock here an event may be, ms, when a source or a producer of ours writes it: one that is
   * farther is refused as `bad-record`, because it would make late what comes after it. Default 3,600,000: one hour.
   * `Infinity` for what is planned ahead. Processors are not asked: what they promise does not rest on their outputs.
   */
  readonly maxFuture?: number
  /**
   * Both ends of the topic count its records by spans of event time of so many ms, so that it can be told of each span whether
   * it is complete (`tidemark/watch`). Default 60,000: a minute. The same at both ends.
   */
  readonly interval?: number
  /** Default: a log passes over what is missing, on a queue it is waited for. See {@link GapPolicy}. */
  readonly gaps?: GapPolicy
  /** When given, `run` creates a missing topic with so many; else a missing topic is an error that says how to create it. */
  readonly partitions?: number
}

/** An inert definition: what a topic holds. Which broker carries it is decided by `connect`. */
export interface Topic<Name extends string = string, Key = any, Value = any> {
  readonly kind: 'topic'
  readonly name: Name
  readonly key: Codec<Key>
  readonly value: Codec<Value>
  readonly eventTime: ((value: Value, key: Key) => number) | undefined
  readonly lateness: number
  readonly estimate: Estimate
  readonly maxFuture: number
  readonly interval: number
  /** `skipAfter` in ms. */
  readonly gaps: 'stall' | { readonly skipAfter: number } | undefined
  readonly partitions: number | undefined
  /** Of the topic of a shadow run: what its handlers call it, which is the name of the topic that it stands for. */
  readonly called?: string
}

export type AnyTopic = Topic<string, any, any>

const MINUTE = 60_000
/** As Kafka's own limit is since version 4. */
const HOUR = 60 * MINUTE

/**
 * Describes a topic: its name, its types, its event time.
 *
 * @example
 * const trades = topic('trades', { key: text, value: json<Trade>(), eventTime: trade => trade.at, lateness: 5_000 })
 */
export function topic<const Name extends string, Value, Key = Uint8Array | null>(
  name: Name,
  options: TopicOptions<Key, Value>
): Topic<Name, Key, Value> {
  // The intersection of what every backend allows: Pub/Sub is the narrowest in characters, Kafka in length.
  if (!/^[A-Za-z][A-Za-z0-9._-]{2,248}$/.test(name))
    throw new StreamError(
      'bad-config',
      `topic name '${name}' must be 3 to 249 of A-Z a-z 0-9 . _ - and start with a letter: every backend takes those`
    )
  const { lateness = 0, estimate = 'bounded-disorder', maxFuture = HOUR, interval = MINUTE, partitions } = options
  if (!(Number.isSafeInteger(lateness) && lateness >= 0))
    throw new StreamError(
      'bad-config',
      `topic '${name}': lateness must be whole milliseconds, 0 or more, got ${lateness}`
    )
  if (!estimates.includes(estimate))
    throw new StreamError(
      'bad-config',
      `topic '${name}': estimate must be ${estimates.join(', ')}, got ${String(estimate)}`
    )
  if (!(maxFuture >= 0))
    throw new StreamError('bad-config', `topic '${name}': maxFuture must be milliseconds, 0 or more, got ${maxFuture}`)
  if (!(Number.isSafeInteger(interval) && interval > 0))
    throw new StreamError('bad-config', `topic '${name}': interval must be whole milliseconds above 0, got ${interval}`)
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions > 0))
    throw new StreamError('bad-config', `topic '${name}': partitions must be a whole number above 0, got ${partitions}`)
  return {
    kind: 'topic',
    name,
    key: options.key ?? (optional(bytes) as unknown as Codec<Key>),
    value: options.value,
    eventTime: options.eventTime,
    lateness,
    estimate,
    maxFuture,
    interval,
    gaps: options.gaps === undefined ? undefined : gapsOf(name, options.gaps),
    partitions
  }
}

function gapsOf(name: string, gaps: GapPolicy): Topic['gaps'] {
  if (gaps === 'stall') return gaps
  if (typeof gaps === 'object' && gaps !== null)
    return { skipAfter: millisecondsOf(`topic '${name}': gaps.skipAfter`, gaps.skipAfter) }
  throw new StreamError('bad-config', `topic '${name}': gaps must be 'stall' or { skipAfter }, got ${String(gaps)}`)
}

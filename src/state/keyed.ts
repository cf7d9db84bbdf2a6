import type { Codec } from '../core/codec.ts'
import { millisecondsOf, type Duration } from '../core/duration.ts'
import { StreamError } from '../core/errors.ts'

/** How long a value of a state lives, by which clock. */
export interface Lifetime {
  readonly milliseconds: number
  readonly time: 'event' | 'processing'
}

/** The definition of a keyed state: one value per key of the records. */
export interface KeyedDefinition<Value = any, Initial = any> {
  readonly kind: 'keyed'
  readonly codec: Codec<Value>
  readonly initial: Initial
  /** Values live for ever without one. */
  readonly lifetime?: Lifetime
}

export interface KeyedOptions {
  /**
   * A value is gone so long after it was last set: `get` gives the initial one again, and its row is deleted with a later commit.
   * A state may get, change or lose its `ttl` from one release to the next: each value keeps the time that it was set with.
   */
  readonly ttl: Duration
  /**
   * Whose time counts. `event` (default): that of the record or timer at hand, and of the watermark once that is ahead of it, so that a
   * record which is not late sees the same whenever it is processed. `processing`: the clock of the worker.
   */
  readonly time?: 'event' | 'processing'
}

/**
 * State with one value per record key, read and written synchronously for the key of the record at hand.
 *
 * @param initial what `get` gives for a key that was never set; `undefined` when left out. Must not be mutated.
 * @param options how long a value lives. Errors: `bad-config`.
 * @example
 * processor({ state: { total: keyed(number, 0) }, process: ({ value }, { state }) => void state.total.set(state.total.get() + value) })
 * @example
 * const seen = keyed(number, 0, { ttl: '7d' })
 */
export function keyed<Value>(
  codec: Codec<Value>,
  initial?: undefined,
  options?: KeyedOptions
): KeyedDefinition<Value, undefined>
export function keyed<Value>(codec: Codec<Value>, initial: Value, options?: KeyedOptions): KeyedDefinition<Value, Value>
export function keyed(codec: Codec<any>, initial?: unknown, options?: KeyedOptions): KeyedDefinition {
  return { kind: 'keyed', codec, initial, ...(options && { lifetime: lifetimeOf(options) }) }
}

function lifetimeOf({ ttl, time = 'event' }: KeyedOptions): Lifetime {
  const milliseconds = millisecondsOf('keyed state: ttl', ttl)
  if (!(milliseconds > 0)) throw new StreamError('bad-config', `keyed state: ttl must be above 0, got ${ttl}`)
  if (time !== 'event' && time !== 'processing')
    throw new StreamError('bad-config', `keyed state: time must be 'event' or 'processing', got ${String(time)}`)
  return { milliseconds, time }
}

/** What a handler sees. A value that is changed in place is not stored: `set` it. */
export interface KeyedState<Value, Initial = undefined> {
  get(): Value | Initial
  set(value: Value): void
  delete(): void
}

export type StateDefinitions = Readonly<Record<string, KeyedDefinition>>

export type StateHandles<Definitions extends StateDefinitions> = {
  readonly [Name in keyof Definitions]: Definitions[Name] extends KeyedDefinition<infer Value, infer Initial>
    ? KeyedState<Value, Initial>
    : never
}

import { view, type Codec } from '../core/codec.ts'
import { asStreamError, StreamError } from '../core/errors.ts'

/** The definition of a keyed state: one value per key of the records. */
export interface KeyedDefinition<Value = any, Initial = any> {
  readonly kind: 'keyed'
  readonly codec: Codec<Value>
  readonly initial: Initial
}

/**
 * State with one value per record key, read and written synchronously for the key of the record at hand.
 *
 * @param initial what `get` gives for a key that was never set; `undefined` when left out. Must not be mutated.
 * @example
 * processor({ state: { total: keyed(number, 0) }, process: ({ value }, { state }) => void state.total.set(state.total.get() + value) })
 */
export function keyed<Value>(codec: Codec<Value>): KeyedDefinition<Value, undefined>
export function keyed<Value>(codec: Codec<Value>, initial: Value): KeyedDefinition<Value, Value>
export function keyed(codec: Codec<any>, initial?: unknown): KeyedDefinition {
  return { kind: 'keyed', codec, initial }
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

/** One changed or restored row. The key is a latin1 string of its bytes; a `null` value is a deletion. */
export interface StateRow {
  readonly slot: string
  readonly key: string
  readonly value: Uint8Array | null
}

interface Slot {
  readonly name: string
  readonly codec: Codec<unknown>
  readonly values: Map<string, unknown>
  readonly dirty: Set<string>
  readonly handle: KeyedState<unknown, unknown>
}

/**
 * All keyed states of one task, in memory, with the changes since the last commit and an undo log for the record at hand:
 * a handler that throws half way leaves nothing behind.
 */
export class TaskState {
  readonly handles: Record<string, KeyedState<unknown, unknown>> = {}
  readonly #slots: Slot[] = []
  readonly #undo: (() => void)[] = []
  #raw: Uint8Array | null = null
  #key: string | null = null

  constructor(definitions: StateDefinitions) {
    for (const [name, definition] of Object.entries(definitions)) {
      const slot = this.#slot(name, definition)
      this.#slots.push(slot)
      this.handles[name] = slot.handle
    }
  }

  /** Points the handles at a key (`null` for a record without one) and forgets the undo log. */
  begin(key: Uint8Array | null): void {
    this.#raw = key
    this.#key = null
    if (this.#undo.length > 0) this.#undo.length = 0
  }

  /** Takes back what was written since `begin`. */
  rollback(): void {
    while (this.#undo.length > 0) this.#undo.pop()!()
  }

  /** Restores one row; not a change. Unknown slots are kept out: the handler no longer declares them. */
  load(row: StateRow): void {
    const slot = this.#slots.find(candidate => candidate.name === row.slot)
    if (!slot) return
    if (row.value === null) slot.values.delete(row.key)
    else slot.values.set(row.key, slot.codec.decode(row.value))
  }

  /** The changed rows, coalesced per key, sorted so that a store appends rather than seeks. */
  changes(): StateRow[] {
    const rows: StateRow[] = []
    for (const slot of this.#slots) {
      const keys = slot.dirty.size > 1 ? [...slot.dirty].sort() : slot.dirty
      for (const key of keys) {
        const value = slot.values.has(key) ? encodeValue(slot, slot.values.get(key)) : null
        rows.push({ slot: slot.name, key, value })
      }
    }
    return rows
  }

  /** The commit took effect: nothing is dirty any more. */
  committed(): void {
    for (const slot of this.#slots) slot.dirty.clear()
  }

  #slot(name: string, definition: KeyedDefinition): Slot {
    const values = new Map<string, unknown>()
    const dirty = new Set<string>()
    const change = (key: string, apply: () => void): void => {
      const before = values.get(key)
      const existed = before !== undefined || values.has(key)
      const wasDirty = dirty.has(key)
      this.#undo.push(() => {
        if (existed) values.set(key, before)
        else values.delete(key)
        if (!wasDirty) dirty.delete(key)
      })
      apply()
      dirty.add(key)
    }
    const current = (): string => {
      // Made when it is first asked for: many handlers look at no state for most records.
      if (this.#key === null) this.#key = stateKey(this.#raw)
      if (this.#key !== null) return this.#key
      throw new StreamError(
        'handler',
        `state '${name}' was used for a record without a key: give the topic a key codec and send keyed records`
      )
    }
    return {
      name,
      codec: definition.codec,
      values,
      dirty,
      handle: {
        get: () => {
          const value = values.get(current())
          return value === undefined ? definition.initial : value
        },
        set: value => {
          const key = current()
          change(key, () => values.set(key, value))
        },
        delete: () => {
          const key = current()
          change(key, () => values.delete(key))
        }
      }
    }
  }
}

function encodeValue({ name, codec }: Slot, value: unknown): Uint8Array {
  try {
    return codec.encode(value)
  } catch (error) {
    const cause = asStreamError(error, 'bad-record', 'it does not encode')
    throw new StreamError(
      cause.code,
      `state '${name}' holds a value that ${codec.name} does not take: ${cause.message}`,
      { cause: error }
    )
  }
}

/** A record key as the state and the timers name it. */
export function stateKey(key: Uint8Array | null): string | null {
  return key === null ? null : view(key).toString('latin1')
}

import { view } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'

/** Where a row is. The key is a latin1 string of its bytes. */
export interface RowPlace {
  readonly slot: string
  readonly key: string
}

/** One changed or restored row. A `null` value is a deletion. */
export interface StateRow extends RowPlace {
  readonly value: Uint8Array | null
}

/**
 * The committed rows of one task, read by key: of stores that keep them so. What it gives is of the last commit under the
 * epoch that it was made for; it rejects with code `fenced` once there is a newer one.
 */
export interface RowReader {
  /** Rows at and behind `from`, in the order of slot and key, as bytes. Fewer than `most`: these were the last. */
  page(from: RowPlace, most: number): Promise<readonly StateRow[]>
  /** The rows of these places that are there, in any order. */
  find(places: readonly RowPlace[]): Promise<readonly StateRow[]>
}

/** The state of a task as its store has it: all rows, read once in recovery, or rows that can be read by key at any time. */
export type StoredState = Iterable<StateRow> | RowReader

export function isReader(state: StoredState): state is RowReader {
  return 'page' in state
}

/** The smallest place behind one. */
export const behind = ({ slot, key }: RowPlace): RowPlace => ({ slot, key: `${key}\0` })

/** The smallest place behind all of a slot: no name has a zero in it, which not every store would take. */
export const behindSlot = (slot: string): RowPlace => ({ slot: `${slot}\u0001`, key: '' })

/**
 * How a value is in its row: `plain`, in the slot of its state, or `timed`, in a slot of its own, behind the time at which it is
 * gone (f64, big endian). So a state may get or lose its lifetime: the slot of a row says what it is.
 */
export type RowForm = 'plain' | 'timed'

const timedPrefix = '~ttl/'

export const slotOf = (name: string, form: RowForm): string => (form === 'timed' ? `${timedPrefix}${name}` : name)

/** Name of the state that a slot belongs to, and the form of its rows. */
export function formOf(slot: string): readonly [name: string, form: RowForm] {
  return slot.startsWith(timedPrefix) ? [slot.slice(timedPrefix.length), 'timed'] : [slot, 'plain']
}

/** What the codec of the state made. Throws `corrupt`. */
export function payloadOf(value: Uint8Array, form: RowForm): Uint8Array {
  if (form === 'plain') return value
  if (value.byteLength >= 8) return value.subarray(8)
  throw new StreamError('corrupt', `a row of state with a lifetime has ${value.byteLength} bytes`)
}

/** When the value of a row is gone, ms; `undefined`: never. */
export function lapseOf(value: Uint8Array, form: RowForm): number | undefined {
  return form === 'timed' ? view(value).readDoubleBE(0) : undefined
}

export function timedRow(lapsesAt: number, payload: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(8 + payload.byteLength)
  row.writeDoubleBE(lapsesAt)
  row.set(payload, 8)
  return row
}

import { text } from '../../src/core/codec.ts'
import { formOf, keyed, payloadOf, slotOf, TaskState, type StateRow } from '../../src/state/index.ts'

/**
 * What is in the memory of a worker as a plain value, and back: each step makes a `TaskState` of the product out of it, lets that do
 * what is to be done, and looks at what has become of it.
 */
export interface Memory {
  /** Nothing must be fetched. */
  readonly complete: boolean
  readonly cells: { readonly [key: string]: Cell }
}

/** Without a value: known not to be there. */
export interface Cell {
  readonly value?: string
  readonly lapsesAt?: number
  readonly dirty?: true
  /** The store has a row of it. */
  readonly stored?: true
}

/** A row as the worlds have it. */
export interface Row {
  readonly value: string
  readonly lapsesAt?: number
}

export type Rows = { readonly [key: string]: Row }

export const keys = ['a', 'b'] as const
/** Lifetime of the values of a state that has one, ms; no event is as late as `latest`. */
export const lifetime = 3
const latest = 12

export const nothing: Memory = { complete: true, cells: {} }

export const slotName = (lives: boolean): string => slotOf('s', lives ? 'timed' : 'plain')

/** @param first the key whose cell is looked at first when something is let go */
export function open(memory: Memory, lives: boolean, first: string = 'a'): TaskState {
  const state = new TaskState({ s: lives ? keyed(text, undefined, { ttl: lifetime }) : keyed(text) })
  if (!memory.complete) state.cutShort(slotName(lives))
  for (const key of keys.toSorted((left, right) => Number(right === first) - Number(left === first))) {
    const cell = memory.cells[key]
    if (!cell) continue
    const { value, lapsesAt, dirty, stored } = cell
    if (stored || (value !== undefined && !dirty))
      state.load(rowOf(key, dirty ? { value: '?', lapsesAt: -latest } : { value: value!, lapsesAt: lapsesAt! }, lives))
    else state.fetched([{ slot: slotName(lives), key }], [])
    if (!dirty) continue
    state.begin(Buffer.from(key), (lapsesAt ?? 0) - lifetime)
    if (value === undefined) state.handles['s']!.delete()
    else state.handles['s']!.set(value)
  }
  return state
}

/** A throw-away look at what it has: `state` is not to be used afterwards. */
export function look(state: TaskState, lives: boolean): Memory {
  const { complete } = state
  const missing = new Set(state.missing(keys).map(({ key }) => key))
  const dirty = new Set(state.changes().map(({ key }) => key))
  const known = keys.filter(key => !missing.has(key))
  const values = known.map(key => read(state, key, -latest))
  const lapses = known.map((key, at) => (values[at] === undefined || !lives ? undefined : lapseIn(state, key)))
  for (const [at, key] of known.entries()) if (values[at] !== undefined) read(state, key, -latest, 'delete')
  // What is deleted now is what the store has a row of.
  const stored = new Set(state.changes().map(({ key }) => key))
  const cells: Record<string, Cell> = {}
  known.forEach((key, at) => {
    const [value, lapsesAt] = [values[at], lapses[at]]
    if (value === undefined && !dirty.has(key) && complete) return
    cells[key] = {
      ...(value !== undefined && { value }),
      ...(lapsesAt !== undefined && { lapsesAt }),
      ...(dirty.has(key) && { dirty: true, ...(stored.has(key) && { stored: true }) })
    }
  })
  return { complete, cells }
}

/** What a handler gets. */
export function read(state: TaskState, key: string, time: number, then?: 'delete'): string | undefined {
  state.begin(Buffer.from(key), time)
  const { s } = state.handles
  const value = s!.get() as string | undefined
  if (then) s!.delete()
  return value
}

function lapseIn(state: TaskState, key: string): number {
  let time = -latest
  while (read(state, key, time) !== undefined) time++
  return time
}

export function rowOf(key: string, { value, lapsesAt }: Row, lives: boolean): StateRow {
  const payload = Buffer.from(value)
  if (!lives) return { slot: slotName(lives), key, value: payload }
  const timed = Buffer.alloc(8 + payload.length)
  timed.writeDoubleBE(lapsesAt!)
  timed.set(payload, 8)
  return { slot: slotName(lives), key, value: timed }
}

/** What a commit makes of the rows of the store. */
export function written(rows: Rows, changes: readonly StateRow[]): Rows {
  const next: Record<string, Row> = { ...rows }
  for (const { slot, key, value } of changes) {
    if (value === null) delete next[key]
    else {
      const form = formOf(slot)[1]
      const lapse = form === 'timed' && { lapsesAt: Buffer.from(value).readDoubleBE(0) }
      next[key] = { value: Buffer.from(payloadOf(value, form)).toString(), ...lapse }
    }
  }
  return Object.fromEntries(keys.flatMap(key => (next[key] ? [[key, next[key]]] : [])))
}

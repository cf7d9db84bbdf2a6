import { view } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'
import { Cells, type Change } from './cells.ts'
import { given } from './kept.ts'
import type { KeyedState, StateDefinitions } from './keyed.ts'
import { formOf, lapseOf, type RowPlace, type StateRow } from './row.ts'

/** Cells that a sweep looks at before a commit. */
const sweptAtOnce = 1_000
/** A record that changes more has its undo log thrown away, and does not keep it for the next. */
const mostUndone = 64
/** Of what it may hold, state is let go down to this share. */
const lowWater = 0.9

/**
 * All keyed states of one task, with the changes since the last commit and an undo log for the record at hand: a handler that throws
 * half way leaves nothing behind. All values are in memory, or those that were asked for lately (`docs/decisions/0010`).
 */
export class TaskState {
  readonly handles: Record<string, KeyedState<unknown, unknown>> = {}
  /** Bytes that it may hold in memory, about: finite only where what is let go can be fetched again. */
  limit: number = Infinity
  readonly #states = new Map<string, Cells>()
  /** The first `#changes` are of the record at hand, the others are there to be used again. */
  #undo: Change[] = []
  #changes = 0
  readonly #now: () => number
  #raw: Uint8Array | null = null
  #key: string | null = null
  #eventTime = -Infinity
  /** Read once for each record, so that a handler sees one time. */
  #wall: number | undefined

  /** @param now wall clock, for states that live by processing time */
  constructor(definitions: StateDefinitions, now: () => number = () => -Infinity) {
    this.#now = now
    for (const [name, definition] of Object.entries(definitions)) {
      const cells = new Cells(name, definition)
      this.#states.set(name, cells)
      this.handles[name] = this.#handle(cells)
    }
  }

  /**
   * Points the handles at a key (`null` for a record without one) and forgets the undo log.
   *
   * @param eventTime of what is at hand, or the watermark where that is ahead of it
   */
  begin(key: Uint8Array | null, eventTime: number = -Infinity): void {
    this.#raw = key
    this.#key = null
    this.#eventTime = eventTime
    this.#wall = undefined
    this.#changes = 0
    if (this.#undo.length > mostUndone) this.#undo = []
  }

  /** What a state gives for a key that has no value. */
  initialOf(name: string): unknown {
    return this.#states.get(name)?.initial
  }

  /** Takes back what was written since `begin`. */
  rollback(): void {
    while (this.#changes > 0) {
      const change = this.#undo[--this.#changes]!
      change.cells.takeBack(change)
    }
  }

  /** Restores one row; not a change. Unknown slots are kept out: the handler no longer declares them. */
  load(row: StateRow): void {
    this.#states.get(formOf(row.slot)[0])?.load(row)
  }

  /** Is memory used up? Then of a state that is being restored the rest is read when it is asked for. */
  get full(): boolean {
    return this.bytes > this.limit
  }

  get bytes(): number {
    let bytes = 0
    for (const cells of this.#states.values()) bytes += cells.bytes
    return bytes
  }

  /** More of that slot is in the store than here. */
  cutShort(slot: string): void {
    const cells = this.#states.get(formOf(slot)[0])
    if (cells) cells.complete = false
  }

  /** Everything is in memory: nothing must be fetched. */
  get complete(): boolean {
    for (const cells of this.#states.values()) if (!cells.complete) return false
    return true
  }

  /** Where the store may have what is not in memory of these keys. */
  missing(keys: Iterable<string>): RowPlace[] {
    const partial = [...this.#states.values()].filter(cells => !cells.complete)
    const places: RowPlace[] = []
    for (const key of new Set(keys))
      for (const cells of partial) if (!cells.has(key)) places.push(...cells.placesOf(key))
    return places
  }

  /** What the store has at `places`, which were missing. */
  fetched(places: readonly RowPlace[], rows: readonly StateRow[]): void {
    for (const row of rows) this.load(row)
    for (const { slot, key } of places) this.#states.get(formOf(slot)[0])!.loadAbsent(key)
  }

  /** States with a lifetime of which not all is in memory. */
  get unswept(): readonly string[] {
    return [...this.#states.values()].flatMap(cells => (cells.lifetime && !cells.complete ? [cells.name] : []))
  }

  /** Marks for deletion what is gone of rows that are not in memory. */
  sweepRows(rows: readonly StateRow[], watermark: number): void {
    for (const row of rows) {
      const [name, form] = formOf(row.slot)
      const cells = this.#states.get(name)
      const lapsesAt = row.value ? lapseOf(row.value, form) : undefined
      if (cells && lapsesAt !== undefined && lapsesAt <= this.#timeOf(cells, watermark)) cells.loadLapsed(row)
    }
  }

  /**
   * Marks some of what is gone for deletion; between records only.
   *
   * @param watermark every timer up to it has fired
   */
  sweep(watermark: number): void {
    this.#wall = undefined
    for (const cells of this.#states.values())
      if (cells.lifetime) cells.sweep(this.#timeOf(cells, watermark), sweptAtOnce)
    this.#wall = undefined
  }

  /** The changed rows, coalesced per key, sorted so that a store appends rather than seeks. */
  changes(): StateRow[] {
    const all = [...this.#states.values()].map(cells => cells.changes())
    return all.length === 1 ? all[0]! : all.flat()
  }

  /** The commit took effect: nothing is dirty any more. */
  committed(): void {
    for (const cells of this.#states.values()) cells.committed()
  }

  /** Lets go of what was not asked for lately, down to the limit. Between records only. */
  evict(): void {
    const bytes = this.bytes
    if (bytes <= this.limit) return
    // Each state gives in proportion to what it has.
    for (const cells of this.#states.values()) cells.evict((cells.bytes / bytes) * this.limit * lowWater)
  }

  #timeOf({ lifetime }: Cells, eventTime: number): number {
    return lifetime?.time === 'processing' ? (this.#wall ??= this.#now()) : eventTime
  }

  #handle(cells: Cells): KeyedState<unknown, unknown> {
    const { name, initial, lifetime } = cells
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
      get: () => {
        const key = current()
        const cell = cells.get(key)
        // Hidden, not deleted: a record before this one may come after it, or be tried again.
        if (!cell?.present) return initial
        if (cell.lapsesAt !== undefined && cell.lapsesAt <= this.#timeOf(cells, this.#eventTime)) return initial
        return cell.value === undefined ? initial : given(cell.value)
      },
      set: value => {
        const key = current()
        this.#change(cells, key, value, true, lifetime ? this.#lapse(cells, key) : undefined)
      },
      delete: () => this.#change(cells, current(), undefined, false, undefined)
    }
  }

  #change(cells: Cells, key: string, value: unknown, present: boolean, lapsesAt: number | undefined): void {
    const change = cells.change(key, value, present, lapsesAt, this.#undo[this.#changes])
    this.#undo[this.#changes++] = change
  }

  /** When a value that is set now is gone: a record that comes late must not shorten the life that another has given. */
  #lapse(cells: Cells, key: string): number {
    const time = this.#timeOf(cells, this.#eventTime)
    const lapsesAt = time + cells.lifetime!.milliseconds
    const before = cells.get(key)
    const lives = before?.present && before.lapsesAt !== undefined && before.lapsesAt > time
    return lives ? Math.max(lapsesAt, before.lapsesAt!) : lapsesAt
  }
}

/** A record key as the state and the timers name it. */
export function stateKey(key: Uint8Array | null): string | null {
  return key === null ? null : view(key).toString('latin1')
}

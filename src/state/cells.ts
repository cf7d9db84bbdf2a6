import type { Codec } from '../core/codec.ts'
import { asStreamError, StreamError } from '../core/errors.ts'
import { given, keep } from './kept.ts'
import type { KeyedDefinition, Lifetime } from './keyed.ts'
import { formOf, lapseOf, payloadOf, slotOf, timedRow, type RowForm, type RowPlace, type StateRow } from './row.ts'

/** What is known of one key of one state. */
export interface Cell {
  readonly key: string
  /** As it is kept: see `given`. */
  value: unknown
  /** `false`: it is known that there is no value. */
  present: boolean
  /** Changed since the last commit. */
  dirty: boolean
  /** When the value is gone, ms; `undefined`: never. Not Infinity: a number would be one more object per cell. */
  lapsesAt: number | undefined
  /** Of its row, 0 while it has none. */
  bytes: number
  /** Asked for since the eviction last came by. */
  used: boolean
  /** How the store has it. */
  stored: RowForm | undefined
}

/** A change, with what the cell was before it. */
export interface Change extends Pick<Cell, 'value' | 'present' | 'dirty' | 'lapsesAt'> {
  cells: Cells
  cell: Cell
  isNew: boolean
}

/** What a cell takes beside its row, about. */
const cellBytes = 160

/** One state of one task: its values in memory, all of them or those that were asked for lately. */
export class Cells {
  readonly name: string
  readonly codec: Codec<unknown>
  readonly initial: unknown
  readonly lifetime: Lifetime | undefined
  /** In memory, about. */
  bytes: number = 0
  /** What is not here is nowhere. */
  complete: boolean = true
  /** The store may hold rows in the form that this release does not write. */
  mixed: boolean = false
  readonly #form: RowForm
  readonly #cells = new Map<string, Cell>()
  /** Found last: a handler that gets and sets looks for one key several times. */
  #lastKey: string | undefined
  #last: Cell | undefined
  #dirty: Cell[] = []
  #hand: Iterator<Cell> | undefined
  #broom: Iterator<Cell> | undefined

  constructor(name: string, { codec, initial, lifetime }: KeyedDefinition) {
    this.name = name
    this.codec = codec
    this.initial = initial
    this.lifetime = lifetime
    this.#form = lifetime ? 'timed' : 'plain'
  }

  has(key: string): boolean {
    return this.#cells.has(key)
  }

  /** `undefined`: there is no value. */
  get(key: string): Cell | undefined {
    const isLast = key === this.#lastKey && (this.#last !== undefined || this.complete)
    const cell = isLast ? this.#last : this.#cells.get(key)
    if (cell) cell.used = true
    else if (!this.complete) throw new StreamError('internal', `state '${this.name}' was read before it was fetched`)
    this.#lastKey = key
    this.#last = cell
    return cell
  }

  /** Where the row of a key may be in the store. */
  placesOf(key: string): RowPlace[] {
    const own = { slot: slotOf(this.name, this.#form), key }
    return this.mixed ? [own, { slot: slotOf(this.name, this.#form === 'timed' ? 'plain' : 'timed'), key }] : [own]
  }

  /** @param used one that is not needed any more: it becomes this one */
  change(key: string, value: unknown, present: boolean, lapsesAt: number | undefined, used?: Change): Change {
    const known = this.get(key)
    const cell = known ?? this.#add(key)
    const change = undoing(this, cell, known === undefined, used)
    cell.value = value
    cell.present = present
    cell.lapsesAt = lapsesAt
    if (!change.dirty) this.#touch(cell)
    return change
  }

  /** A row of the store. */
  load({ slot, key, value }: StateRow): void {
    const [, form] = formOf(slot)
    if (form !== this.#form) this.mixed = true
    if (value === null) {
      const cell = this.#cells.get(key)
      if (cell) this.#drop(cell)
      return
    }
    const cell = this.#cells.get(key) ?? this.#add(key)
    cell.value = keep(this.codec.decode(payloadOf(value, form)))
    cell.present = true
    cell.lapsesAt = lapseOf(value, form)
    cell.stored = form
    this.#weigh(cell, value.byteLength)
  }

  /** The store has no row of that key. */
  loadAbsent(key: string): void {
    if (!this.#cells.has(key)) this.#add(key)
  }

  /** A row that the store has, and whose value is gone: it is deleted with the next commit. */
  loadLapsed({ slot, key }: StateRow): void {
    if (this.#cells.has(key)) return
    const cell = this.#add(key)
    cell.stored = formOf(slot)[1]
    this.#touch(cell)
  }

  /** Deletes what is gone at `time`, looking at `most` cells and going on there the next time. */
  sweep(time: number, most: number): void {
    for (let looked = 0; looked < most; looked++) {
      this.#broom ??= this.#cells.values()
      const { value: cell, done } = this.#broom.next()
      if (done) return void (this.#broom = undefined)
      if (cell.present && cell.lapsesAt !== undefined && cell.lapsesAt <= time)
        this.change(cell.key, undefined, false, undefined)
    }
  }

  /** The changed rows, coalesced per key, sorted so that a store appends rather than seeks. */
  changes(): StateRow[] {
    const rows: StateRow[] = []
    const slot = slotOf(this.name, this.#form)
    if (this.#dirty.length > 1) this.#dirty.sort(byKey)
    for (const cell of this.#dirty) {
      const { key, present, stored } = cell
      if (stored !== undefined && !(present && stored === this.#form))
        rows.push({ slot: slotOf(this.name, stored), key, value: null })
      if (!present) continue
      const value = this.#encoded(cell)
      this.#weigh(cell, value.byteLength)
      cell.value = keep(cell.value)
      rows.push({ slot, key, value })
    }
    return rows
  }

  committed(): void {
    for (const cell of this.#dirty) {
      cell.dirty = false
      cell.stored = cell.present ? this.#form : undefined
      if (!cell.present && this.complete) this.#drop(cell)
    }
    this.#dirty = []
  }

  /** Lets go of what was not asked for lately until `bytes` is down to `most`. Nothing that a commit has yet to write. */
  evict(most: number): void {
    // Each cell is passed twice at most: the first time takes its mark away.
    for (let left = this.#cells.size * 2; this.bytes > most && left > 0; left--) {
      this.#hand ??= this.#cells.values()
      const { value: cell, done } = this.#hand.next()
      if (done) this.#hand = undefined
      else if (cell.used) cell.used = false
      else if (!cell.dirty) {
        this.#drop(cell)
        this.complete = false
      }
    }
  }

  #encoded({ value, lapsesAt }: Cell): Uint8Array {
    try {
      const payload = this.codec.encode(given(value))
      return this.lifetime ? timedRow(lapsesAt ?? Infinity, payload) : payload
    } catch (error) {
      const cause = asStreamError(error, 'bad-record', 'it does not encode')
      throw new StreamError(
        cause.code,
        `state '${this.name}' holds a value that ${this.codec.name} does not take: ${cause.message}`,
        { cause: error }
      )
    }
  }

  #add(key: string): Cell {
    const cell: Cell = {
      key,
      value: undefined,
      present: false,
      dirty: false,
      lapsesAt: undefined,
      bytes: 0,
      used: true,
      stored: undefined
    }
    this.#cells.set(key, cell)
    this.#lastKey = key
    this.#last = cell
    this.bytes += cellBytes + key.length
    return cell
  }

  #drop(cell: Cell): void {
    this.#cells.delete(cell.key)
    if (this.#last === cell) this.#lastKey = this.#last = undefined
    this.bytes -= cellBytes + cell.key.length + cell.bytes
  }

  #weigh(cell: Cell, bytes: number): void {
    this.bytes += bytes - cell.bytes
    cell.bytes = bytes
  }

  #touch(cell: Cell): void {
    cell.dirty = true
    this.#dirty.push(cell)
  }

  /** Several changes are taken back in reverse order. */
  takeBack({ cell, value, present, dirty, lapsesAt, isNew }: Change): void {
    cell.value = value
    cell.present = present
    cell.lapsesAt = lapsesAt
    if (dirty) return
    cell.dirty = false
    // What was touched last is taken back first.
    const last = this.#dirty.pop()
    if (last !== cell) throw new StreamError('internal', `state '${this.name}' was taken back out of order`)
    if (isNew) this.#drop(cell)
  }
}

function undoing(cells: Cells, cell: Cell, isNew: boolean, used: Change | undefined): Change {
  const { value, present, dirty, lapsesAt } = cell
  if (!used) return { cells, cell, isNew, value, present, dirty, lapsesAt }
  used.cells = cells
  used.cell = cell
  used.isNew = isNew
  used.value = value
  used.present = present
  used.dirty = dirty
  used.lapsesAt = lapsesAt
  return used
}

function byKey(left: Cell, right: Cell): number {
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0
}

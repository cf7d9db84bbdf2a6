import { StreamError } from '../../core/errors.ts'
import type { RowPlace, RowReader, StateRow } from '../../state/index.ts'

/** Rows of one task in this process: slot -> key -> row. */
export class MemoryRows {
  readonly #slots = new Map<string, Map<string, StateRow>>()
  /** In order; made when it is asked for. */
  #sorted: readonly StateRow[] | undefined

  apply(rows: readonly StateRow[]): void {
    if (rows.length > 0) this.#sorted = undefined
    for (const row of rows) {
      let slot = this.#slots.get(row.slot)
      if (!slot) this.#slots.set(row.slot, (slot = new Map()))
      if (row.value === null) slot.delete(row.key)
      else slot.set(row.key, row)
    }
  }

  get({ slot, key }: RowPlace): StateRow | undefined {
    return this.#slots.get(slot)?.get(key)
  }

  page(from: RowPlace, most: number): StateRow[] {
    this.#sorted ??= [...this.#slots.values()].flatMap(slot => [...slot.values()]).sort(compare)
    let low = 0
    for (let high = this.#sorted.length; low < high;) {
      const middle = (low + high) >> 1
      if (compare(this.#sorted[middle]!, from) < 0) low = middle + 1
      else high = middle
    }
    return this.#sorted.slice(low, low + most)
  }
}

/** What one owner may read, for as long as nobody else has the task. */
export class MemoryRowReader implements RowReader {
  readonly #rows: MemoryRows
  readonly #isOwner: () => boolean

  constructor(rows: MemoryRows, isOwner: () => boolean) {
    this.#rows = rows
    this.#isOwner = isOwner
  }

  async page(from: RowPlace, most: number): Promise<readonly StateRow[]> {
    this.#assertOwner()
    return this.#rows.page(from, most)
  }

  async find(places: readonly RowPlace[]): Promise<readonly StateRow[]> {
    this.#assertOwner()
    return places.flatMap(place => this.#rows.get(place) ?? [])
  }

  #assertOwner(): void {
    if (!this.#isOwner()) throw readByAnother()
  }
}

/** The rows are somebody else's by now: what they say is not of the commit that the reader knows. */
export function readByAnother(): StreamError {
  return new StreamError('fenced', 'the state of a task was asked for by an owner that has lost it')
}

function compare(left: RowPlace, right: RowPlace): number {
  if (left.slot !== right.slot) return left.slot < right.slot ? -1 : 1
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0
}

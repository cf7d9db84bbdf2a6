import type { RowPlace, RowReader, StateRow } from '../../state/index.ts'
import { readByAnother } from './memory-rows.ts'
import type { Statements } from './sqlite-schema.ts'

/** Rows as arrays: half the time of objects, which older releases of Node give all the same. */
type Row = readonly [slot: string, key: Uint8Array, value: Uint8Array]

const columnsOf = <Columns extends readonly unknown[]>(row: unknown): Columns =>
  (Array.isArray(row) ? row : Object.values(row as object)) as unknown as Columns

/** The state of one task, for as long as it has the epoch. */
export class SqliteRowReader implements RowReader {
  readonly #statements: Statements
  readonly #task: string
  readonly #epoch: number

  constructor(statements: Statements, task: string, epoch: number) {
    this.#statements = statements
    this.#task = task
    this.#epoch = epoch
  }

  async page(from: RowPlace, most: number): Promise<readonly StateRow[]> {
    const key = Buffer.from(from.key, 'latin1')
    const rows = this.#statements.page.all(this.#task, from.slot, key, most)
    this.#assertOwner()
    return rows.map(row => {
      const [slot, bytes, value] = columnsOf<Row>(row)
      return { slot, key: latin1(bytes), value }
    })
  }

  async find(places: readonly RowPlace[]): Promise<readonly StateRow[]> {
    const found: StateRow[] = []
    for (const { slot, key } of places) {
      const row = this.#statements.find.get(this.#task, slot, Buffer.from(key, 'latin1'))
      if (row) found.push({ slot, key, value: columnsOf<[Uint8Array]>(row)[0] })
    }
    this.#assertOwner()
    return found
  }

  /** Asked after the rows were read: a successor raises the epoch before it changes one. */
  #assertOwner(): void {
    const row = this.#statements.head.get(this.#task) as { readonly epoch: number } | undefined
    if (row?.epoch !== this.#epoch) throw readByAnother()
  }
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

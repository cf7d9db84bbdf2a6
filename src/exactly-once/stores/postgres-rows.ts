import type { RowPlace, RowReader, StateRow } from '../../state/index.ts'
import { readByAnother } from './memory-rows.ts'
import { latin1Array, textArray } from './postgres-arrays.ts'
import type { Connections } from './postgres-connections.ts'
import type { Tables } from './postgres-schema.ts'
import { findText, pageText } from './postgres-statements.ts'

/** One for each row that was found; one without a row where there is none. */
interface Row {
  readonly epoch: string
  readonly slot: string | null
  readonly key: Buffer
  readonly value: Uint8Array
}

/** The state of one task, for as long as it has the epoch: each statement looks at both in one snapshot. */
export class PostgresRowReader implements RowReader {
  readonly #connections: Connections
  readonly #tables: Tables
  readonly #task: string
  readonly #epoch: number

  constructor(connections: Connections, tables: Tables, task: string, epoch: number) {
    this.#connections = connections
    this.#tables = tables
    this.#task = task
    this.#epoch = epoch
  }

  page(from: RowPlace, most: number): Promise<readonly StateRow[]> {
    const values = [this.#task, from.slot, Buffer.from(from.key, 'latin1'), most]
    return this.#read(pageText(this.#tables), values)
  }

  find(places: readonly RowPlace[]): Promise<readonly StateRow[]> {
    const slots = textArray(places.map(({ slot }) => slot))
    const keys = latin1Array(places.map(({ key }) => key))
    return this.#read(findText(this.#tables), [this.#task, slots, keys])
  }

  async #read(text: string, values: readonly unknown[]): Promise<readonly StateRow[]> {
    const rows = await this.#connections.query<Row>(`reading the state of task '${this.#task}'`, text, values)
    if (rows.length === 0 || Number(rows[0]!.epoch) !== this.#epoch) throw readByAnother()
    return rows.flatMap(({ slot, key, value }) => (slot === null ? [] : [{ slot, key: key.toString('latin1'), value }]))
  }
}

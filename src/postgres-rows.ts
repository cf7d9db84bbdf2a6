import { StreamError } from './core/errors.ts'
import { quoted, type StagedPart } from './exactly-once/index.ts'

/** What a column takes: scalars, bytes, a time; arrays and objects for columns that hold arrays, composites or JSON. */
export type PostgresValue =
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | Date
  | null
  | readonly PostgresValue[]
  | { readonly [name: string]: PostgresValue }

/** Column -> value. */
export type PostgresRow = Readonly<Record<string, PostgresValue>>

export interface Destination {
  /** `totals`, found by the search path, or `reports.totals`. */
  readonly table: string
  readonly key?: readonly string[]
  /** A row replaces another only when it is not older in this column. */
  readonly newest?: string
}

/** A row that was found good, and its text. */
export interface PreparedRow {
  readonly columns: readonly string[]
  readonly row: PostgresRow
  readonly json: string
}

/** `reports.totals` -> `"reports"."totals"`. */
export function tableName(table: string): string {
  const dot = table.indexOf('.')
  return dot < 0 ? quoted(table) : `${quoted(table.slice(0, dot))}.${quoted(table.slice(dot + 1))}`
}

/** Throws `bad-record`. */
export function preparedRow({ table, key, newest }: Destination, row: unknown): PreparedRow {
  const bad = (what: string, cause?: unknown): StreamError =>
    new StreamError('bad-record', `postgres table '${table}': ${what}`, { cause })
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    throw bad(
      `a row is an object of columns, not ${row === null ? 'null' : Array.isArray(row) ? 'an array' : typeof row}`
    )
  const columns = Object.keys(row)
  for (const column of [...(key ?? []), ...(newest === undefined ? [] : [newest])])
    if (((row as PostgresRow)[column] ?? null) === null) throw bad(`column '${column}' of its key is missing or null`)
  try {
    const json = JSON.stringify(row, function (this: Record<string, unknown>, name, value: unknown) {
      return textForm(this[name], value, name)
    })
    return { columns, row: row as PostgresRow, json }
  } catch (error) {
    throw bad(error instanceof Unfit ? error.message : `it cannot be written as JSON: ${String(error)}`, error)
  }
}

class Unfit extends Error {}

/**
 * What the server reads back as the same value.
 * @param value `raw`, or what its `toJSON` has made of it
 */
function textForm(raw: unknown, value: unknown, column: string): unknown {
  if (raw instanceof Uint8Array) return `\\x${Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('hex')}`
  if (raw instanceof Date && Number.isNaN(raw.getTime())) throw new Unfit(`column '${column}' holds an invalid Date`)
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'undefined':
      throw new Unfit(`column '${column}' is undefined: leave it out, or make it null`)
    case 'function':
    case 'symbol':
      throw new Unfit(`column '${column}' cannot hold a ${typeof value}`)
    default:
      return value
  }
}

/**
 * Rows as parts of a statement, in which no row is touched twice: of several for one key the last one counts, as if they had
 * been written one after the other. One part for each list of columns, which is nearly always one.
 */
export function rowParts(destination: Destination, rows: readonly PreparedRow[]): StagedPart[] {
  const groups = grouped(rows)
  const apart = groups.size > 1 && destination.key ? grouped(merged(destination, rows)) : groups
  return [...apart.values()].map(group => ({
    value: `[${group.map(row => row.json).join(',')}]`,
    text: (parameter, once) => insertSql(destination, group[0]!.columns, parameter, once)
  }))
}

function grouped(rows: readonly PreparedRow[]): Map<string, PreparedRow[]> {
  const groups = new Map<string, PreparedRow[]>()
  for (const row of rows) {
    const signature = row.columns.join('\0')
    const group = groups.get(signature)
    if (group) group.push(row)
    else groups.set(signature, [row])
  }
  return groups
}

/** One row for each key, with what each row of it has said last of a column. */
function merged(destination: Destination, rows: readonly PreparedRow[]): PreparedRow[] {
  const byKey = new Map<string, PostgresRow>()
  for (const { row } of rows) {
    const id = preparedRow(
      { table: destination.table },
      Object.fromEntries(destination.key!.map(name => [name, row[name]!]))
    ).json
    const before = byKey.get(id)
    const { newest } = destination
    const older = before && newest !== undefined && row[newest]! < before[newest]!
    byKey.set(id, older ? { ...row, ...before } : { ...before, ...row })
  }
  return [...byKey.values()].map(row => preparedRow(destination, row))
}

/** @param once see `StagedPart`; a table of one row when nothing hangs on it */
export function insertSql(
  { table, key, newest }: Destination,
  columns: readonly string[],
  parameter: string,
  once: string
): string {
  const into = tableName(table)
  const names = columns.map(quoted)
  const list = names.length > 0 ? ` (${names.join(', ')})` : ''
  if (key === undefined) {
    const rows = `json_populate_recordset(NULL::${into}, ${parameter}::json) AS row`
    return `INSERT INTO ${into}${list} SELECT ${names.map(name => `row.${name}`).join(', ')} FROM ${once}, ${rows}`
  }
  const keys = key.map(quoted)
  const others = columns.filter(column => !key.includes(column)).map(quoted)
  const version = newest === undefined ? undefined : quoted(newest)
  const order = [...keys.map(name => `row.${name}`), ...(version ? [`row.${version} DESC`] : []), 'item.place DESC']
  const replace =
    others.length === 0
      ? 'NOTHING'
      : `UPDATE SET ${others.map(name => `${name} = excluded.${name}`).join(', ')}${
          version ? ` WHERE known.${version} IS NULL OR known.${version} <= excluded.${version}` : ''
        }`
  return `INSERT INTO ${into} AS known${list}
    SELECT DISTINCT ON (${keys.map(name => `row.${name}`).join(', ')}) ${names.map(name => `row.${name}`).join(', ')}
    FROM ${once}, json_array_elements(${parameter}::json) WITH ORDINALITY AS item (json, place),
      json_populate_record(NULL::${into}, item.json) AS row
    ORDER BY ${order.join(', ')}
    ON CONFLICT (${keys.join(', ')}) DO ${replace}`
}

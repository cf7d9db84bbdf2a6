import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { messageOf, StreamError } from './core/errors.ts'
import type { StreamRecord } from './core/record.ts'
import { SqliteStore, type TaskLog, type WithCommit } from './exactly-once/index.ts'
import type { OpenTransactionalWriter, TransactionalWriter } from './pipeline/index.ts'

/** What a column takes. Booleans are stored as 0 and 1. */
export type SqliteValue = string | number | bigint | boolean | Uint8Array | null

/** Column -> value. */
export type SqliteRow = Readonly<Record<string, SqliteValue>>

export interface SqliteOptions<Item> {
  /** The database: a file, created with its folder. Tables named `tidemark_…` beside yours hold the commits. */
  readonly file: string
  readonly table: string
  /**
   * The row of a record; `undefined` for a record that has none. What it throws is a failure of that record. Default: the
   * fields of its value are the columns.
   */
  readonly row?: (record: Item) => SqliteRow | undefined
  /**
   * Columns of a primary key or unique index: a row with these values replaces the columns of the one that is there.
   * Default: each row is inserted.
   */
  readonly key?: readonly string[]
  /** SQL that creates the table, run when there is none. Default: a missing table is an error. */
  readonly create?: string
}

/**
 * Writes a SQLite table, exactly once: the rows of a commit and the commit itself (position, epoch) are one transaction of
 * that database. A worker that has lost its task to another one writes nothing. Several processes of one host may share
 * the file.
 *
 * Errors: `bad-config` when the table or its key is not there, `corrupt` when the file is no database, `handler` when the
 * database refuses a row (a constraint, a column that does not exist): no row of that commit is kept, and `run` rejects.
 *
 * @example
 * sink({
 *   name: 'warehouse',
 *   from: totals,
 *   write: sqlite({
 *     file: 'totals.db',
 *     table: 'totals',
 *     key: ['symbol'],
 *     create: 'CREATE TABLE totals (symbol TEXT PRIMARY KEY, cents INTEGER NOT NULL)',
 *     row: ({ key, value }: RecordOf<typeof totals>) => ({ symbol: key, cents: value.cents })
 *   })
 * })
 */
export function sqlite<Item extends StreamRecord = StreamRecord<string, any, any>>(
  options: SqliteOptions<Item>
): TransactionalWriter<Item> {
  const { file, table, key, create } = options
  if (key?.length === 0)
    throw new StreamError('bad-config', `sqlite table '${table}': \`key\` names no column; leave it out to insert`)
  return {
    grade: 'transactional',
    async open() {
      const store = await SqliteStore.open(file)
      try {
        await prepareTable(store, table, create, key)
        return new SqliteWriter(store, options)
      } catch (error) {
        await store.close()
        throw error
      }
    }
  }
}

class SqliteWriter<Item extends StreamRecord> implements OpenTransactionalWriter<Item, SqliteRow | undefined> {
  readonly store: SqliteStore
  readonly #options: SqliteOptions<Item>
  /** By the list of columns: nearly always one. */
  readonly #inserts = new Map<string, Insert>()

  constructor(store: SqliteStore, options: SqliteOptions<Item>) {
    this.store = store
    this.#options = options
  }

  prepare(record: Item): SqliteRow | undefined {
    const { row: toRow, table } = this.#options
    const row = toRow ? toRow(record) : valueOf(record)
    if (row === undefined) return undefined
    if (typeof row !== 'object' || row === null)
      throw new StreamError(
        'bad-record',
        `sqlite table '${table}': a row is an object of columns, not ${describe(row)}`
      )
    for (const column in row) {
      const value: unknown = row[column]
      if (isValue(value)) continue
      throw new StreamError('bad-record', `sqlite table '${table}': column '${column}' cannot hold ${describe(value)}`)
    }
    return row
  }

  stage(log: TaskLog, records: readonly (SqliteRow | undefined)[]): void {
    const rows = records.filter(row => row !== undefined)
    const target = log as TaskLog & { withCommit: WithCommit | undefined }
    target.withCommit = rows.length === 0 ? undefined : database => this.#write(database, rows)
  }

  close(): Promise<void> {
    return this.store.close()
  }

  #write(database: DatabaseSync, rows: readonly SqliteRow[]): void {
    for (const row of rows) {
      try {
        this.#insert(database, row)(row)
      } catch (error) {
        throw refusal(error) ? refused(this.#options.table, row, error) : error
      }
    }
  }

  #insert(database: DatabaseSync, row: SqliteRow): Insert {
    const columns = Object.keys(row)
    const signature = columns.join('\0')
    let insert = this.#inserts.get(signature)
    if (!insert) {
      const statement = database.prepare(insertSql(this.#options.table, columns, this.#options.key))
      this.#inserts.set(signature, (insert = bound(statement, columns)))
    }
    return insert
  }
}

function valueOf(record: StreamRecord): SqliteRow {
  return record.value as SqliteRow
}

type Insert = (row: SqliteRow) => void

function bound(statement: StatementSync, columns: readonly string[]): Insert {
  return row => {
    statement.run(
      ...columns.map(column => {
        const value = row[column]!
        return typeof value === 'boolean' ? Number(value) : value
      })
    )
  }
}

/** Two workers may open one file at once: whoever holds the write lock creates the table, the other finds it. */
async function prepareTable(
  store: SqliteStore,
  table: string,
  create: string | undefined,
  key: readonly string[] | undefined
): Promise<void> {
  const { database } = store
  const exists = (): boolean =>
    database.prepare('SELECT 1 FROM pragma_table_list WHERE name = ?').get(table) !== undefined
  if (create !== undefined && !exists()) await store.transaction(() => exists() || database.exec(create))
  if (!exists()) {
    const way = create === undefined ? 'create it, or give the SQL as `create`' : '`create` creates another one'
    throw new StreamError('bad-config', `there is no table '${table}' in ${store.location}: ${way}`)
  }
  if (key === undefined) return
  try {
    database.prepare(insertSql(table, key, key))
  } catch (error) {
    const why = `\`key\` (${key.join(', ')}) must be the columns of its primary key or of a unique index`
    throw new StreamError('bad-config', `sqlite table '${table}': ${why}: ${messageOf(error)}`, { cause: error })
  }
}

function insertSql(table: string, columns: readonly string[], key: readonly string[] | undefined): string {
  const names = columns.map(quoted)
  const insert = `INSERT INTO ${quoted(table)} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
  if (key === undefined) return columns.length > 0 ? insert : `INSERT INTO ${quoted(table)} DEFAULT VALUES`
  const others = columns.filter(column => !key.includes(column)).map(quoted)
  const replace =
    others.length > 0 ? `UPDATE SET ${others.map(name => `${name} = excluded.${name}`).join(', ')}` : 'NOTHING'
  return `${insert} ON CONFLICT (${key.map(quoted).join(', ')}) DO ${replace}`
}

function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

function isValue(value: unknown): boolean {
  return (
    value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value) || value instanceof Uint8Array
  )
}

function describe(value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Date) return 'a Date: give its time in milliseconds, or its text'
  return typeof value === 'object' ? 'an object: make columns of it in `row`' : String(typeof value)
}

/** Does the database object to the row itself? A lock, a full disk or bad I/O is the business of the commit. */
function refusal(error: unknown): boolean {
  const code = (error as { errcode?: number } | null)?.errcode
  if (code === undefined) return true
  return [1 /* error */, 18 /* too big */, 19 /* constraint */, 20 /* mismatch */, 25 /* range */].includes(code & 0xff)
}

function refused(table: string, row: SqliteRow, error: unknown): StreamError {
  const columns = Object.keys(row).join(', ')
  return new StreamError('handler', `sqlite table '${table}' refused a row (${columns}): ${messageOf(error)}`, {
    cause: error
  })
}

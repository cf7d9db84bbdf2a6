import { systemEnvironment, type Environment } from './core/environment.ts'
import { messageOf, StreamError } from './core/errors.ts'
import type { StreamRecord } from './core/record.ts'
import {
  alone,
  exists,
  PostgresStore,
  refusesRows,
  schemaSql,
  sqlState,
  type ClientStore,
  type PostgresModule,
  type PostgresOptions,
  type PostgresTaskLog,
  type TaskLog
} from './exactly-once/index.ts'
import type { OpenPlainWriter, OpenTransactionalWriter, PlainWriter, TransactionalWriter } from './pipeline/index.ts'
import { insertSql, preparedRow, rowParts, tableName, type PostgresRow, type PreparedRow } from './postgres-rows.ts'

export type { PostgresModule, PostgresOptions, PostgresRow }
export type { PostgresValue } from './postgres-rows.ts'

export interface PostgresSinkOptions<Item> extends PostgresOptions {
  /** `totals`, found by the search path of the role, or `reports.totals`. */
  readonly table: string
  /**
   * The row of a record; `undefined` for a record that has none. What it throws is a failure of that record. Default: the
   * fields of its value are the columns.
   */
  readonly row?: (record: Item) => PostgresRow | undefined
  /**
   * Columns of a primary key or unique index: a row with these values replaces the columns of the one that is there.
   * Default: each row is inserted.
   */
  readonly key?: readonly string[]
  /** SQL that creates the table, run when there is none. Default: a missing table is an error. */
  readonly create?: string
}

export interface PostgresUpsertOptions<Item> extends PostgresSinkOptions<Item> {
  readonly key: readonly string[]
  /** A column that only grows, such as a version or a time: a row replaces another only when it is not older in it. */
  readonly newest?: string
}

/**
 * Opens a commit store, for `connect({ store })`, with what a URL cannot say. Whoever opens it closes it, after the client.
 * Errors: `bad-config`, `peer-missing`, `unauthorized`, `connection`, `corrupt`.
 *
 * @example
 * const store = await postgresStore({ url, migrate: false, connection: { ssl: { ca }, password: () => token() } })
 */
export function postgresStore(
  options: PostgresOptions,
  environment: Environment = systemEnvironment
): Promise<ClientStore> {
  return PostgresStore.open(options, environment)
}

/** The SQL that makes our tables, for an administrator whose workers may not (`migrate: false`). */
export function postgresSchema(schema: string = 'tidemark'): string {
  return schemaSql(schema)
}

/**
 * Writes a PostgreSQL table, exactly once: the rows of a commit and the commit itself (position, epoch) are one statement of
 * that database, in a schema beside yours. A worker that has lost its task to another one writes nothing.
 *
 * Errors: `bad-config` when the table or its key is not there, `handler` when the database refuses a row (a constraint, a
 * column that does not exist, a value of another type): no row of that commit is kept, and `run` rejects.
 *
 * @example
 * sink({
 *   name: 'warehouse',
 *   from: totals,
 *   write: postgres({
 *     url: process.env.WAREHOUSE!,
 *     table: 'totals',
 *     key: ['symbol'],
 *     create: 'CREATE TABLE totals (symbol text PRIMARY KEY, cents bigint NOT NULL)',
 *     row: ({ key, value }: RecordOf<typeof totals>) => ({ symbol: key, cents: value.cents })
 *   })
 * })
 */
export function postgres<Item extends StreamRecord = StreamRecord<string, any, any>>(
  options: PostgresSinkOptions<Item>
): TransactionalWriter<Item> {
  checkKey(options)
  return {
    grade: 'transactional',
    async open() {
      const store = await opened(options)
      const writer: OpenTransactionalWriter<Item, PreparedRow | undefined> = {
        store,
        prepare: record => prepared(options, record),
        stage(log: TaskLog, records) {
          const rows = records.filter(row => row !== undefined)
          const target = log as PostgresTaskLog
          target.staged =
            rows.length === 0
              ? undefined
              : { parts: rowParts(options, rows), refused: error => refused('handler', options.table, error) }
        },
        close: () => store.close()
      }
      return writer
    }
  }
}

/**
 * Writes a PostgreSQL table by key, without our commits in it: for a destination in which no schema of ours may be, or with
 * `guarantee: 'at-least-once'`. After a crash rows are written again, with the same effect. A worker that lost its task
 * may write a row of before over a newer one, until that is written again; `newest` excludes that. Needs `INSERT`, `UPDATE`
 * and `SELECT` on the table, and nothing else.
 *
 * Errors: as `postgres`, but a row that the database refuses is parked, as the policy of the stage says. While the server
 * cannot be reached, the policy decides.
 */
export function postgresUpsert<Item extends StreamRecord = StreamRecord<string, any, any>>(
  options: PostgresUpsertOptions<Item>
): PlainWriter<Item> {
  checkKey(options)
  return {
    grade: 'idempotent',
    async open() {
      const connections = await PostgresStore.connect(vendorOptions(options))
      const writer: OpenPlainWriter<Item> = {
        async write(records) {
          const rows = records.map(record => prepared(options, record)).filter(row => row !== undefined)
          if (rows.length === 0) return
          const parts = rowParts(options, rows)
          const steps = parts.map((part, index) => `rows${index} AS (${part.text(`$${index + 1}`, 'once')})`)
          const text = `WITH once AS (SELECT 1), ${steps.join(', ')} SELECT 1`
          const values = parts.map(part => part.value)
          try {
            await connections.query(`writing table '${options.table}'`, text, values)
          } catch (error) {
            const cause = (error as { readonly cause?: unknown }).cause
            if (!refusesRows(cause)) throw error
            // Poison: the sink finds out which of them, and parks it.
            throw refused('bad-record', options.table, cause)
          }
        },
        close: () => connections.close()
      }
      try {
        await prepareTable(connections, options)
        return writer
      } catch (error) {
        await connections.close()
        throw error
      }
    }
  }
}

function checkKey({ table, key }: PostgresSinkOptions<any>): void {
  if (key?.length === 0)
    throw new StreamError('bad-config', `postgres table '${table}': \`key\` names no column; leave it out to insert`)
}

async function opened(options: PostgresSinkOptions<any>): Promise<PostgresStore> {
  const store = await PostgresStore.open(vendorOptions(options))
  try {
    await prepareTable(store.connections, options)
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Without those of the sink. */
function vendorOptions(options: PostgresSinkOptions<any> & { readonly newest?: string }): PostgresOptions {
  const { table: _, row: __, key: ___, create: ____, newest: _____, ...own } = options
  return own
}

function prepared<Item extends StreamRecord>(
  options: PostgresSinkOptions<Item>,
  record: Item
): PreparedRow | undefined {
  const row: unknown = options.row ? options.row(record) : record.value
  return row === undefined ? undefined : preparedRow(options, row)
}

type Connections = PostgresStore['connections']

/** Several workers may open one destination at once: one of them creates the table, the others find it. */
async function prepareTable(connections: Connections, { table, key, create }: PostgresSinkOptions<any>): Promise<void> {
  const { location } = connections
  await connections.use(`looking for table '${table}'`, async run => {
    const name = tableName(table)
    let there = await exists(run, name)
    if (!there && create !== undefined)
      there = await alone(run, `table ${table}`, async () => {
        if (!(await exists(run, name))) await run(create)
        return exists(run, name)
      })
    if (!there) {
      const way = create === undefined ? 'create it, or give the SQL as `create`' : '`create` creates another one'
      throw new StreamError('bad-config', `there is no table '${table}' in ${location}: ${way}`)
    }
    // Not carried out, but with all checks: a unique index for the key, the right to write.
    const columns = key ?? []
    try {
      await run(`EXPLAIN ${insertSql({ table, ...(key && { key }) }, columns, "'[]'", '(SELECT 1) AS once')}`)
    } catch (error) {
      // No unique index, no such column.
      if (key === undefined || !['42P10', '42703'].includes(sqlState(error) ?? '')) throw error
      const why = `\`key\` (${key.join(', ')}) must be the columns of its primary key or of a unique index`
      throw new StreamError('bad-config', `postgres table '${table}': ${why}: ${messageOf(error)}`, { cause: error })
    }
  })
}

/** Its message names columns and constraints; values are in the cause alone. */
function refused(code: 'handler' | 'bad-record', table: string, error: unknown): StreamError {
  return new StreamError(code, `postgres table '${table}' refused a row: ${messageOf(error)}`, { cause: error })
}

import { onTestFinished } from 'vitest'
import type { TaskLog } from '../../src/exactly-once/index.ts'
import { postgres, type PostgresSinkOptions } from '../../src/postgres.ts'
import { record, task } from '../sqlite/record.ts'
import { asked, schemaOf, storeUrl, url } from '../support/postgres.ts'

export { commit, record, task } from '../sqlite/record.ts'
export { notRun, running } from '../support/postgres.ts'

/** A place for one table of the user's, beside tables of ours, gone with the test. */
export interface Destination {
  readonly url: string
  readonly table: string
  /** SQL for a table of that name. */
  create(columns: string): string
  /** What a reader that knows nothing of us finds. `%` stands for the table, `@` for our schema. */
  rows(sql?: string): Promise<any[]>
}

export function destination(name: string = 'numbers'): Destination {
  const store = storeUrl()
  const schema = schemaOf(store)
  const quoted = `"${schema}"."${name.replaceAll('"', '""')}"`
  return {
    url: store,
    table: `${schema}.${name}`,
    create: columns => `CREATE TABLE ${quoted} (${columns})`,
    rows: (sql = 'SELECT * FROM %') => asked(sql.replaceAll('%', quoted).replaceAll('@', `"${schema}"`), [], url)
  }
}

export interface TestWriter {
  write(log: TaskLog, ...values: unknown[]): void
  acquire(ordinal?: number): Promise<TaskLog>
}

/** A transactional writer into the destination, of one column `n` unless it is told otherwise. */
export async function open(to: Destination, options: Partial<PostgresSinkOptions<any>> = {}): Promise<TestWriter> {
  const { url, table } = to
  const writer = await postgres<any>({ url, table, create: to.create('n integer NOT NULL'), ...options }).open()
  onTestFinished(() => writer.close())
  return {
    write: (log, ...values) =>
      writer.stage(
        log,
        values.map(value => writer.prepare(record(value)))
      ),
    acquire: ordinal => writer.store.acquire(task(ordinal))
  }
}

export const numbers = async (to: Destination): Promise<number[]> =>
  (await to.rows('SELECT n FROM % ORDER BY n')).map(({ n }) => n)
export const commits = async (to: Destination): Promise<number[]> =>
  (await to.rows('SELECT number FROM @.head ORDER BY task')).map(({ number }) => Number(number))

import { createRequire } from 'node:module'
import { systemEnvironment } from '../src/core/environment.ts'
import { noHeaders } from '../src/core/record.ts'
import { commitToken, encodeOutbox, PostgresStore, type Commit } from '../src/exactly-once/index.ts'
import type { PostgresModule } from '../src/exactly-once/index.ts'
import type { PostgresServer } from '../testcontainers/postgres.ts'
import { Clock, sideBySide, type Figure, type Run } from './measure.ts'
import { fresh, recordAt } from './records.ts'

const { Pool } = createRequire(import.meta.url)('pg') as PostgresModule

export interface PostgresSizes {
  /** Commits of each task. */
  readonly small: number
  readonly large: number
  readonly pairs: number
}

/** As many tasks at once, on as many connections, on both sides. */
const tasks = 4
const head = Buffer.alloc(600, 'h')

/**
 * Commits of the store beside the transactions that a careful user of `pg` would write for the same rows, on one server that
 * writes to its disk before it answers. Each record leaves one output and one changed key; the outputs of the commit before
 * are forgotten.
 */
export async function benchPostgres(
  server: PostgresServer,
  sizes: PostgresSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const figures: Figure[] = []
  const measured = async (name: string, records: number, commits: number): Promise<void> => {
    if (!wanted(name)) return
    const ours = (): Promise<Run> => throughStore(server.url, records, commits)
    figures.push(await sideBySide(name, sizes.pairs, ours, () => raw(server.url, records, commits)))
  }
  await measured('postgres commits of 1 record', 1, sizes.small)
  await measured('postgres commits of 1,000 records', 1_000, sizes.large)
  return figures
}

function commitOf(number: number, records: number): Commit {
  const first = number * records
  const all = Array.from({ length: records }, (_, index) => recordAt(first + index))
  return {
    number,
    token: commitToken(systemEnvironment),
    head,
    state: all.map(({ key, value }) => ({ slot: 'seen', key: key.toString('latin1'), value })),
    outputs: all.map(({ key, value }) => ({
      ...{ topic: 'out', partition: 0, key, value, headers: noHeaders, stamp: undefined, timestamp: 0 }
    })),
    relayedTo: number - 1,
    positions: []
  }
}

async function throughStore(url: string, records: number, commits: number): Promise<Run> {
  const store = await PostgresStore.open({ url: `${url}?schema=${fresh('ours')}&connections=${tasks}` })
  const names = Array.from({ length: tasks }, (_, ordinal) => ({
    id: `p/s/${ordinal}`,
    pipeline: 'p',
    stage: 's',
    ordinal
  }))
  const logs = await Promise.all(names.map(name => store.acquire(name)))
  const clock = new Clock()
  clock.start()
  await Promise.all(
    logs.map(async log => {
      for (let number = 1; number <= commits; number++)
        if ((await log.append(commitOf(number, records))) !== 'ok') throw new Error('a commit had no effect')
    })
  )
  clock.stop(tasks * commits * records)
  await store.close()
  return clock.run
}

/** `BEGIN`, a conditional `UPDATE`, three statements with arrays, `COMMIT`. */
async function raw(url: string, records: number, commits: number): Promise<Run> {
  const schema = `"${fresh('raw')}"`
  const pool = new Pool({ connectionString: url, max: tasks })
  const query = async (text: string): Promise<void> => {
    const client = await pool.connect()
    await client.query({ text })
    client.release()
  }
  await query(`CREATE SCHEMA ${schema};
    CREATE TABLE ${schema}.head (task text PRIMARY KEY, number bigint, token text, head bytea);
    CREATE TABLE ${schema}.outbox (task text, number bigint, outputs bytea, PRIMARY KEY (task, number));
    CREATE TABLE ${schema}.state (task text, slot text, key bytea, value bytea, PRIMARY KEY (task, slot, key));
    INSERT INTO ${schema}.head SELECT n::text, 0, '', NULL FROM generate_series(1, ${tasks}) AS n`)
  const clock = new Clock()
  clock.start()
  await Promise.all(
    Array.from({ length: tasks }, async (_, index) => {
      const task = String(index + 1)
      for (let number = 1; number <= commits; number++) {
        const { token, state, outputs } = commitOf(number, records)
        // As a task of ours does, it has the connection for one transaction only.
        const client = await pool.connect()
        const run = (name: string, text: string, ...values: unknown[]): ReturnType<typeof client.query> =>
          client.query({ name: `${name}${schema}`, text, values })
        await client.query({ text: 'BEGIN' })
        const moved = await run(
          'advance',
          `UPDATE ${schema}.head SET number = $2, token = $3, head = $4 WHERE task = $1 AND number = $2 - 1`,
          ...[task, number, token, head]
        )
        if (moved.rowCount !== 1) throw new Error('a commit had no effect')
        await run(
          'state',
          `INSERT INTO ${schema}.state SELECT $1, * FROM unnest($2::text[], $3::bytea[], $4::bytea[])
           ON CONFLICT (task, slot, key) DO UPDATE SET value = excluded.value`,
          ...[task, state.map(row => row.slot), state.map(row => Buffer.from(row.key, 'latin1'))],
          state.map(row => row.value)
        )
        await run('outbox', `INSERT INTO ${schema}.outbox VALUES ($1, $2, $3)`, task, number, encodeOutbox(outputs))
        await run('forget', `DELETE FROM ${schema}.outbox WHERE task = $1 AND number <= $2`, task, number - 1)
        await client.query({ text: 'COMMIT' })
        client.release()
      }
    })
  )
  clock.stop(tasks * commits * records)
  await pool.end()
  return clock.run
}

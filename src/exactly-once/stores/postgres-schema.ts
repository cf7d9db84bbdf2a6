import { StreamError } from '../../core/errors.ts'
import type { Connections, Run } from './postgres-connections.ts'

/** Version of the tables; a newer one is refused, an older one brought up to date. */
export const version: number = 1

export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

/** Full names, quoted. */
export type Tables = Readonly<Record<'version' | 'head' | 'outbox' | 'state' | 'lease' | 'position', string>>

export function tablesOf(schema: string): Tables {
  const table = (name: string): string => `${quoted(schema)}.${name}`
  return {
    version: table('version'),
    head: table('head'),
    outbox: table('outbox'),
    state: table('state'),
    lease: table('lease'),
    position: table('position')
  }
}

/**
 * What makes version n of version n - 1, from an empty schema on. `C` collation: names are compared as bytes, and no update
 * of the server's locales can break an index. A head stays in its row, and pages have room for its next version: it is
 * written with every commit. Outputs are not compressed: they live for a moment.
 */
function migrations(tables: Tables): readonly (readonly string[])[] {
  const name = 'text COLLATE "C" NOT NULL'
  return [
    [
      `CREATE TABLE ${tables.version} (version integer NOT NULL)`,
      `INSERT INTO ${tables.version} VALUES (0)`,
      `CREATE TABLE ${tables.head} (
         task ${name} PRIMARY KEY, epoch bigint NOT NULL, number bigint NOT NULL, token text NOT NULL, head bytea
       ) WITH (fillfactor = 50, toast_tuple_target = 8160)`,
      `ALTER TABLE ${tables.head} ALTER COLUMN head SET STORAGE MAIN`,
      `CREATE TABLE ${tables.outbox} (
         task ${name}, number bigint NOT NULL, outputs bytea NOT NULL, PRIMARY KEY (task, number)
       )`,
      `ALTER TABLE ${tables.outbox} ALTER COLUMN outputs SET STORAGE EXTERNAL`,
      `CREATE TABLE ${tables.state} (
         task ${name}, slot ${name}, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (task, slot, key)
       ) WITH (fillfactor = 80)`,
      `CREATE TABLE ${tables.lease} (
         scope ${name}, name ${name}, owner text COLLATE "C", beat bigint NOT NULL, wish text, PRIMARY KEY (scope, name)
       ) WITH (fillfactor = 50)`,
      `CREATE TABLE ${tables.position} (
         grp ${name}, topic ${name}, partition integer NOT NULL, position text NOT NULL, PRIMARY KEY (grp, topic, partition)
       ) WITH (fillfactor = 50)`
    ]
  ]
}

/** The whole as SQL, for an administrator whose workers may not create anything (`migrate: false`). */
export function schemaSql(schema: string): string {
  const tables = tablesOf(schema)
  const steps = [...migrations(tables).flat(), `UPDATE ${tables.version} SET version = ${version}`]
  return [`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`, ...steps].map(step => `${step};\n`).join('')
}

/** One of the first numbers is ours, the second the schema's. */
const lockOf = (schema: string): [text: string, values: readonly unknown[]] => [
  'SELECT pg_advisory_xact_lock(1953064804, hashtext($1::text))',
  [schema]
]

/** One transaction, in which nobody else prepares anything in that schema. */
export async function alone<Result>(run: Run, schema: string, work: () => Promise<Result>): Promise<Result> {
  await run('BEGIN ISOLATION LEVEL READ COMMITTED')
  try {
    await run(...lockOf(schema))
    const result = await work()
    await run('COMMIT')
    return result
  } catch (error) {
    await run('ROLLBACK').catch(() => {}) // the connection is gone, and the transaction with it
    throw error
  }
}

/**
 * Is there a table of that full name? Reading from a table brings what the session remembers of the catalog up to date; a
 * function alone may go on saying that there is none.
 */
export async function exists(run: Run, table: string): Promise<boolean> {
  const [found] = await run<{ there: boolean }>(
    "SELECT to_regclass($1::text) IS NOT NULL AS there FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog'",
    [table]
  )
  return found!.there
}

/** Leaves the tables of this version there. Errors: `bad-config`, `corrupt` (a newer version), `unauthorized`, `connection`. */
export async function prepareSchema(connections: Connections, schema: string, migrate: boolean): Promise<void> {
  const tables = tablesOf(schema)
  const where = `${connections.location}, schema '${schema}'`
  const found = async (run: Run): Promise<number | undefined> => {
    if (!(await exists(run, tables.version))) return undefined
    return (await run<{ version: number }>(`SELECT version FROM ${tables.version}`))[0]?.version
  }
  await connections.use('preparing the schema', async run => {
    const [server] = await run<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
    if (server!.standby)
      throw new StreamError('connection', `${connections.location} is a standby: commits need the primary`, {
        retryable: true
      })
    const now = await found(run)
    if (now === version) return
    if (now !== undefined && now > version)
      throw new StreamError(
        'corrupt',
        `${where} was made by a newer release (version ${now}, this one reads ${version})`
      )
    if (!migrate)
      throw new StreamError(
        'bad-config',
        `${where} holds ${now === undefined ? 'no tables' : `version ${now} of the tables, not ${version}`}, and \`migrate\` is false: run it once with a role that may create them, see docs/stores.md`
      )
    await alone(run, schema, async () => {
      // Somebody else may have done it meanwhile.
      const since = (await found(run)) ?? 0
      if (since >= version) return
      const [made] = await run('SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1::text', [schema])
      if (!made) await run(`CREATE SCHEMA ${quoted(schema)}`)
      for (const steps of migrations(tables).slice(since)) for (const step of steps) await run(step)
      await run(`UPDATE ${tables.version} SET version = ${version}`)
    })
  })
}

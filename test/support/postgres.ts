import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { expect, inject, onTestFinished } from 'vitest'

/** Of the package itself: what looks at the tables beside the code under test. */
interface Client {
  connect(): Promise<unknown>
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: any[] }>
  end(): Promise<void>
  on(event: 'error', listener: () => void): unknown
}
const pg = createRequire(import.meta.url)('pg') as { readonly Client: new (url: string) => Client }

/** The PostgreSQL that the whole run shares. */
const server = inject('postgres')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const url: string = server.state === 'running' ? server.url : 'postgres://127.0.0.1:1/none'
export const port: number = Number(new URL(url).port)

/** The same server, database and role by another way. */
export function through(port: number, from: string = url): string {
  const changed = new URL(from)
  changed.port = String(port)
  return changed.href
}

/** A reader that knows nothing of us. */
export async function asked(text: string, values: readonly unknown[] = [], at: string = url): Promise<any[]> {
  const client = await connected(at)
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

/** A session of its own; whoever opens it ends it. */
export async function connected(at: string = url): Promise<Client> {
  const client = new pg.Client(at)
  client.on('error', () => {})
  await client.connect()
  return client
}

/** The URL of a store in a schema of its own, which goes away with the test. */
export function storeUrl(options: Readonly<Record<string, string>> = {}, at: string = url): string {
  const schema = `test_${randomUUID().slice(0, 13).replace('-', '')}`
  onTestFinished(() => dropSchema(schema, at))
  return withOptions(at, { schema, ...options })
}

export function withOptions(at: string, options: Readonly<Record<string, string>>): string {
  const changed = new URL(at)
  for (const [name, value] of Object.entries(options)) changed.searchParams.set(name, value)
  return changed.href
}

export const schemaOf = (store: string): string => new URL(store).searchParams.get('schema')!

/** Resolves when so many sessions wait for a lock on tables of that schema. */
export async function waiting(schema: string, sessions: number): Promise<void> {
  const text = `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'`
  await expect.poll(async () => (await asked(text, [schema]))[0].waiting, { timeout: 5_000 }).toBe(sessions)
}

async function dropSchema(schema: string, at: string): Promise<void> {
  const plain = new URL(at)
  plain.search = ''
  await asked(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`, [], plain.href)
}

import { StreamError } from '../../core/errors.ts'
import { parseText, readOptions, type OptionTable } from '../../core/options.ts'
import type { PostgresModule } from './postgres-client.ts'

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:5432/database`. What `pg` knows of a URL may follow (`?sslmode=verify-full`), and the
   * options below.
   */
  readonly url: string
  /** The schema that holds our tables. Default `tidemark`. */
  readonly schema?: string
  /** Create schema and tables when they are missing, bring them up to date. Default true. */
  readonly migrate?: boolean
  /** Most connections for commits; leases have one more. Default 4. */
  readonly connections?: number
  /** Ms for one statement, at the server; 0 leaves it to the server. Default 10 000. */
  readonly statementTimeout?: number
  /** Ms for opening a connection, and for waiting for a free one. Default 10 000. */
  readonly connectTimeout?: number
  /** Prepared statements with names. `false` behind a pooler that gives each transaction another session. Default true. */
  readonly prepare?: boolean
  /** In code: options of `pg` that no URL can say, such as `ssl`, `stream`, or a function as `password`. They win. */
  readonly connection?: Readonly<Record<string, unknown>>
  /** In code: the module `pg` itself, such as one that is instrumented. */
  readonly client?: PostgresModule
}

/** The options as data: checked, read from the URL, and printed in the docs. */
export const postgresOptions: OptionTable = {
  url: { kind: 'string', doc: 'postgres://user:password@host:5432/database', secret: true },
  schema: { kind: 'string', doc: 'the schema that holds our tables; default tidemark' },
  migrate: { kind: 'boolean', doc: 'create schema and tables when they are missing; default true' },
  connections: { kind: 'number', doc: 'most connections for commits, leases have one more; default 4' },
  statementTimeout: { kind: 'number', doc: 'ms for one statement, 0: as the server is set; default 10000' },
  connectTimeout: { kind: 'number', doc: 'ms for opening a connection; default 10000' },
  prepare: { kind: 'boolean', doc: 'prepared statements with names; default true' },
  connection: { kind: 'any', doc: 'options of pg that no URL can say', secret: true },
  client: { kind: 'any', doc: 'the module pg' }
}

/** What `pg` takes from a URL. */
const vendorParameters = [
  'application_name',
  'client_encoding',
  'fallback_application_name',
  'host',
  'options',
  'port',
  'sslcert',
  'sslkey',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'uselibpqcompat'
]

export interface ReadPostgresOptions extends Required<Omit<PostgresOptions, 'url' | 'connection' | 'client'>> {
  /** For messages: no user, no password. */
  readonly location: string
  /** For `pg`: where, and as whom. Secret. */
  readonly target: Readonly<Record<string, unknown>>
  readonly client: PostgresModule | undefined
}

/** Fills in every default. Throws `bad-config`, naming the option and never a secret. */
export function readPostgresOptions(given: PostgresOptions): ReadPostgresOptions {
  const url = parsed((given as Partial<PostgresOptions>).url)
  const own: Record<string, unknown> = {}
  const vendor: string[] = []
  for (const [name, value] of url.searchParams) {
    if (vendorParameters.includes(name)) vendor.push(name)
    else own[name] = inUrl.has(name) ? parseText(`${where}: '${name}'`, postgresOptions[name]!, value) : value
  }
  for (const name of Object.keys(own)) {
    if (!inUrl.has(name))
      throw bad(`the URL has '${name}', which is none of ${[...inUrl, ...vendorParameters].join(', ')}`)
    url.searchParams.delete(name)
  }
  const options = readOptions(where, postgresOptions, { ...own, ...given }) as unknown as PostgresOptions
  for (const [name, least] of [
    ['connections', 1],
    ['connectTimeout', 1],
    ['statementTimeout', 0]
  ] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isInteger(value) && value >= least))
      throw bad(`option '${name}' must be a whole number, ${least} or more; got ${value}`)
  }
  const { connection, schema = 'tidemark' } = options
  if (schema === '' || schema.includes('\0')) throw bad("option 'schema' must be a name")
  if (connection !== undefined && vendor.length > 0)
    throw bad(`with option 'connection' the URL may not have '${vendor[0]}': give it there`)
  return {
    schema,
    migrate: options.migrate ?? true,
    connections: options.connections ?? 4,
    statementTimeout: options.statementTimeout ?? 10_000,
    connectTimeout: options.connectTimeout ?? 10_000,
    prepare: options.prepare ?? true,
    location: locationOf(url, connection, schema),
    // In a URL that it is given, `pg` would take a missing password for an empty one, over that of `connection`.
    target: connection === undefined ? { connectionString: url.href } : { ...fieldsOf(url), ...connection },
    client: options.client
  }
}

const where = 'postgres store'
const inUrl = new Set(['schema', 'migrate', 'connections', 'statementTimeout', 'connectTimeout', 'prepare'])

function parsed(url: unknown): URL {
  try {
    // A / ? # in a password that is not written as % code ends the address: what follows would be shown as part of the place.
    if (typeof url === 'string' && /^postgres(ql)?:\/\/[^#]*$/.test(url) && !/\/\/.*[/?].*@/.test(url))
      return new URL(url)
  } catch {
    // Told below, without the text: it may hold a password.
  }
  throw bad(
    "option 'url' must be postgres://user:password@host:5432/database, with %23 and the like for special characters in the password"
  )
}

function fieldsOf(url: URL): Record<string, unknown> {
  const text = (part: string): string | undefined => (part === '' ? undefined : decodeURIComponent(part))
  return {
    host: text(url.hostname.replace(/^\[(.+)\]$/, '$1')),
    port: url.port === '' ? undefined : Number(url.port),
    user: text(url.username),
    password: text(url.password),
    database: text(url.pathname.slice(1))
  }
}

function locationOf(url: URL, connection: PostgresOptions['connection'], schema: string): string {
  const said = { ...fieldsOf(url), ...connection } as Record<'host' | 'port' | 'database', string | undefined>
  const host = url.searchParams.get('host') ?? said.host ?? 'localhost'
  const shown = schema === 'tidemark' ? '' : `?schema=${schema}`
  return `postgres://${host}:${url.searchParams.get('port') ?? said.port ?? 5432}/${said.database ?? ''}${shown}`
}

function bad(what: string): StreamError {
  return new StreamError('bad-config', `${where}: ${what}`)
}

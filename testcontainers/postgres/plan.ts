import { randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, isFree } from '../support/ports.ts'

/** How to start a server. */
export interface PostgresOptions {
  /** A free one when left out. */
  readonly port?: number | undefined
  /** Settings by their names in `postgresql.conf`: `{ fsync: 'off' }` for a test that does not look at durability. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Milliseconds that a start or restart may take, the download not counted; a minute when left out. */
  readonly timeout?: number | undefined
  /** Where to run it; a container when a Docker daemon answers, else a local process. */
  readonly runtime?: 'docker' | 'process' | undefined
}

/** Everything that one server is given before it starts. It keeps it for life. */
export interface PostgresPlan {
  /** Temporary folder of this server alone. */
  readonly directory: string
  readonly url: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly settings: Readonly<Record<string, string>>
  readonly timeout: number
}

const HOST = '127.0.0.1'

/** What is written when clients can connect. */
export const READY = 'database system is ready to accept connections'

/** Chooses a port and a password, and makes a folder. The caller removes the folder. */
export async function makePlan(options: PostgresOptions): Promise<PostgresPlan> {
  const { port: wanted, settings = {}, timeout = 60_000 } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  const port = wanted ?? (await freePorts(1))[0]!
  const user = 'tidemark'
  const password = randomBytes(12).toString('base64url')
  const url = `postgres://${user}:${password}@${HOST}:${port}/postgres`
  const small = { shared_buffers: '64MB', max_connections: '200' }
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-postgres-'))
  return { directory, url, port, user, password, settings: { ...small, ...settings }, timeout }
}

/** The settings as arguments of the server. */
export function settingArguments(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

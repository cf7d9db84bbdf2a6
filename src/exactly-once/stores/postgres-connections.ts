import { createHash } from 'node:crypto'
import { sleep, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { loadPostgres, type PostgresClient, type PostgresModule, type PostgresPool } from './postgres-client.ts'
import { breaks, translated } from './postgres-errors.ts'
import type { ReadPostgresOptions } from './postgres-options.ts'

/** One statement on one connection: its rows. */
export type Run = <Row>(text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

/** Leases have a connection of their own: a beat must not wait behind large commits. */
export type Lane = 'commits' | 'leases'

/** How much longer than the server we wait for an answer, ms: then the network is at fault. */
const grace = 5_000
/** The wait before connecting again after failures in a row: doubling from the first to the last, ms. */
const backoff = { first: 50, most: 2_000 } as const

/** What the connections of one lane have in common. */
interface Shared {
  readonly pool: PostgresPool
  /** In a row, counted once for all who failed at the same time. */
  failures: number
  notBefore: number
}

const maxPrepared = 200

/** Connections to one server, opened as they are needed, and again after a failure: with growing pauses, for all callers together. */
export class Connections {
  readonly location: string
  readonly #options: ReadPostgresOptions
  readonly #environment: Environment
  readonly #module: PostgresModule
  readonly #lanes = new Map<Lane, Shared>()
  readonly #names = new Map<string, string>()
  readonly #closing = new AbortController()

  private constructor(options: ReadPostgresOptions, environment: Environment, module: PostgresModule) {
    this.location = options.location
    this.#options = options
    this.#environment = environment
    this.#module = module
  }

  /** Opens no socket yet. Rejects with `peer-missing`. */
  static async load(options: ReadPostgresOptions, environment: Environment): Promise<Connections> {
    return new Connections(options, environment, options.client ?? (await loadPostgres()))
  }

  /** @param doing for messages: `reading the leases` */
  query<Row>(doing: string, text: string, values: readonly unknown[], lane: Lane = 'commits'): Promise<readonly Row[]> {
    return this.use(doing, run => run<Row>(text, values), lane)
  }

  /** Several statements on one connection. Rejects with a `StreamError` whose cause is what `pg` threw. */
  async use<Result>(doing: string, work: (run: Run) => Promise<Result>, lane: Lane = 'commits'): Promise<Result> {
    let client: PostgresClient | undefined
    let broken = true
    try {
      client = await this.#connect(lane)
      const result = await work((text, values) => this.#run(client!, text, values))
      broken = false
      return result
    } catch (error) {
      broken = breaks(error)
      throw translated(error, this.location, doing)
    } finally {
      client?.release(broken)
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    await Promise.all([...this.#lanes.values()].map(({ pool }) => pool.end()))
  }

  async #run<Row>(client: PostgresClient, text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    const name = this.#options.prepare && values.length > 0 ? this.#nameOf(text) : undefined
    return (await client.query({ text, values, ...(name !== undefined && { name }) })).rows
  }

  async #connect(lane: Lane): Promise<PostgresClient> {
    const { signal } = this.#closing
    const shared = this.#shared(lane)
    const pause = shared.notBefore - this.#environment.monotonic()
    if (pause > 0 && !signal.aborted) await sleep(this.#environment, pause, signal).catch(() => {})
    if (signal.aborted) throw new StreamError('closed', `${this.location}: the store is closed`)
    try {
      const client = await shared.pool.connect()
      shared.failures = 0
      shared.notBefore = -Infinity
      return client
    } catch (error) {
      const now = this.#environment.monotonic()
      if (now >= shared.notBefore) {
        const full = Math.min(backoff.most, backoff.first * 2 ** shared.failures++)
        shared.notBefore = now + full * (0.5 + this.#environment.random() / 2)
      }
      throw error
    }
  }

  #shared(lane: Lane): Shared {
    let shared = this.#lanes.get(lane)
    if (!shared) this.#lanes.set(lane, (shared = { pool: this.#open(lane), failures: 0, notBefore: -Infinity }))
    return shared
  }

  #open(lane: Lane): PostgresPool {
    const { target, connections, connectTimeout, statementTimeout } = this.#options
    const pool = new this.#module.Pool({
      fallback_application_name: 'tidemark',
      max: lane === 'leases' ? 1 : connections,
      connectionTimeoutMillis: connectTimeout,
      idleTimeoutMillis: 30_000,
      keepAlive: true,
      allowExitOnIdle: true,
      ...(statementTimeout > 0 && { statement_timeout: statementTimeout }),
      query_timeout: (statementTimeout || 60_000) + grace,
      ...target
    })
    // Who uses a connection is told by the failure of the call; who does not, need not know.
    const ignore = (): void => {}
    pool.on('error', ignore)
    pool.on('connect', (client: PostgresClient) => client.on('error', ignore))
    return pool
  }

  /** Names live as long as the session: the same text must get the same one from whoever shares it. */
  #nameOf(text: string): string | undefined {
    let name = this.#names.get(text)
    // Rows of ever different columns would fill the memory of the server.
    if (name === undefined && this.#names.size < maxPrepared)
      this.#names.set(text, (name = `tidemark_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`))
    return name
  }
}

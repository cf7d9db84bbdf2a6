import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Environment, Timer } from '../../core/environment.ts'
import { closedError, fileError, openError, unknownTopic } from './errors.ts'
import type { FileOptions } from './options.ts'
import { applicationId, prepare, schemaVersion, tables, type Statements } from './schema.ts'

export interface TopicRow {
  readonly id: number
  readonly name: string
  readonly partitions: number
  readonly compacted: number
}

/**
 * One connection to the log: a SQLite database in WAL mode, shared with the other processes of the host. Tells listeners
 * when anything changed, here or there.
 */
export class FileConnection {
  readonly path: string
  readonly environment: Environment
  readonly options: FileOptions
  readonly sql: Statements
  readonly database: DatabaseSync
  readonly #listeners = new Set<() => void>()
  readonly #pollInterval: number
  #timer: Timer | undefined
  #dataVersion = 0
  #closed = false

  private constructor(path: string, environment: Environment, options: FileOptions, database: DatabaseSync) {
    this.path = path
    this.environment = environment
    this.options = options
    this.database = database
    this.sql = prepare(database)
    this.#pollInterval = options.pollInterval ?? 5
    this.#dataVersion = this.#readDataVersion()
  }

  /** Errors: `bad-config` (cannot be opened), `corrupt` (damaged, foreign, or of a newer release). */
  static async open(environment: Environment, options: FileOptions): Promise<FileConnection> {
    const path = resolve(options.path)
    const { DatabaseSync } = await import('node:sqlite')
    let database: DatabaseSync | undefined
    try {
      mkdirSync(path, { recursive: true })
      const file = join(path, 'log.db')
      const fresh = !existsSync(file)
      database = new DatabaseSync(file, { timeout: 10_000 })
      if (!fresh) checkOwner(database, path)
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${options.synchronous === 'normal' ? 'NORMAL' : 'FULL'};`)
      // Two processes may create it at once: the second one finds everything there.
      database.exec(`BEGIN IMMEDIATE; ${tables} PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}; COMMIT;`)
      return new FileConnection(path, environment, options, database)
    } catch (error) {
      database?.close()
      throw openError(error, path)
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  assertOpen(what: string): void {
    if (this.#closed) throw closedError(what)
  }

  /** Throws `unknown-topic`. */
  topic(name: string): TopicRow {
    const row = this.findTopic(name)
    if (row) return row
    throw unknownTopic(name, this.path)
  }

  findTopic(name: string): TopicRow | undefined {
    return this.sql.topic.get(name) as TopicRow | undefined
  }

  /** First and next offset of a partition. Throws `unknown-topic`. */
  ends(topic: TopicRow, partition: number): { readonly start: number; readonly next: number } {
    const row = this.sql.part.get(topic.id, partition) as { start: number; next: number } | undefined
    if (row) return row
    throw fileError('unknown-topic', `topic '${topic.name}' has no partition ${partition}: it has 0 to ${topic.partitions - 1}`)
  }

  /** Takes the write lock at once, so that what is read inside stays true until the end. */
  transaction<Result>(body: () => Result): Result {
    this.database.exec('BEGIN IMMEDIATE')
    try {
      const result = body()
      this.database.exec('COMMIT')
      return result
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
  }

  /** Own writes are told at once; SQLite's `data_version` shows only those of others. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  /** Calls `listener` after changes of this or another process, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    this.#poll()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.changed()
    this.#listeners.clear()
    this.database.close()
  }

  #poll(): void {
    if (this.#timer || this.#closed) return
    this.#timer = this.environment.timer(
      this.#pollInterval,
      () => {
        this.#timer = undefined
        if (this.#closed || this.#listeners.size === 0) return
        const now = this.#readDataVersion()
        if (now !== this.#dataVersion) {
          this.#dataVersion = now
          this.changed()
        }
        this.#poll()
      },
      true
    )
  }

  #readDataVersion(): number {
    return (this.database.prepare('PRAGMA data_version').get() as { data_version: number }).data_version
  }
}

function checkOwner(database: DatabaseSync, path: string): void {
  const pragma = (name: string): number => Object.values(database.prepare(`PRAGMA ${name}`).get() as object)[0] as number
  const id = pragma('application_id')
  const empty = database.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number }
  if (empty.n === 0) return // another process is creating it right now
  if (id !== applicationId) throw fileError('corrupt', `${join(path, 'log.db')} is a database of something else: name another folder`)
  const version = pragma('user_version')
  if (version > schemaVersion) throw fileError('corrupt', `the log in ${path} was written by a newer release (format ${version}, this one reads ${schemaVersion})`)
}

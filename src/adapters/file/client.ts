import type { DatabaseSync } from 'node:sqlite'
import { sleep, type Environment } from '../../core/environment.ts'
import { openDatabase, rollBack } from './database.ts'
import { closedError, explained, fileError, isBusy, unknownTopic } from './errors.ts'
import { News } from './news.ts'
import type { FileSettings } from './options.ts'
import { prepare, type Statements } from './schema.ts'

/** Longest that calls may follow each other without a turn of the event loop, ms. */
const longestTurn = 10

/** Each waits for the `busyTimeout` of the database. */
const recoveryAttempts = 20

export interface TopicRow {
  readonly id: number
  readonly name: string
  readonly partitions: number
  /** 0 or 1. */
  readonly compacted: number
  /** `null`: what the options say. */
  readonly retention_time: number | null
  readonly retention_bytes: number | null
}

/** The state of a partition: see `schema.ts`. */
export interface Ends {
  readonly start: number
  readonly next: number
  readonly bytes: number
  readonly clean: number
  readonly dirty: number
}

export interface TransactionOptions {
  /** Must it survive a power cut? Default true. What is not lost with a crash of the process costs no sync of the disk. */
  readonly durable?: boolean
  /** Most ms to wait for the lock. Default: option `lockTimeout`. */
  readonly wait?: number
}

/** One connection to the log: a SQLite database in WAL mode, shared with the other processes of the host. */
export class FileConnection {
  readonly path: string
  readonly environment: Environment
  readonly settings: FileSettings
  readonly sql: Statements
  readonly news: News
  readonly #database: DatabaseSync
  readonly #synchronous: string
  #closed = false
  #lastTurn = 0

  private constructor(path: string, environment: Environment, settings: FileSettings, database: DatabaseSync) {
    this.path = path
    this.environment = environment
    this.settings = settings
    this.sql = prepare(database)
    this.#database = database
    this.#synchronous = settings.synchronous === 'normal' ? 'NORMAL' : 'FULL'
    database.exec(`PRAGMA synchronous = ${this.#synchronous}`)
    const { dataVersion } = this.sql
    this.news = new News(environment, settings.pollInterval, () => Object.values(dataVersion.get()!)[0] as number)
  }

  /** Errors: `bad-config`, `corrupt`, `unauthorized`, `timeout`. */
  static async open(environment: Environment, settings: FileSettings): Promise<FileConnection> {
    const { path } = settings
    const database = await openDatabase(path, environment, settings.lockTimeout)
    try {
      return new FileConnection(path, environment, settings, database)
    } catch (error) {
      database.close()
      throw explained(error, 'cannot open the log in', path)
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  assertOpen(): void {
    if (this.#closed) throw closedError('file adapter')
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

  /** Throws `unknown-topic`. */
  ends({ id, name, partitions }: TopicRow, partition: number): Ends {
    const row = this.sql.ends.get(id, partition) as Ends | undefined
    if (row && partition < partitions) return row
    throw fileError('unknown-topic', `topic '${name}' has no partition ${partition}: it has 0 to ${partitions - 1}`)
  }

  /**
   * Lets timers and I/O in when that has been long. Whoever finds everything at hand, call after call, would keep them
   * out, the heartbeats, too.
   */
  async breathe(): Promise<void> {
    if (this.environment.monotonic() - this.#lastTurn < longestTurn) return
    await this.environment.turn()
    this.#lastTurn = this.environment.monotonic()
  }

  /** Everything that `body` reads is of one moment; it begins with reading. Must not be nested. */
  snapshot<Result>(body: () => Result): Result {
    this.assertOpen()
    for (let attempt = 1; ; attempt++) {
      try {
        this.sql.begin.run()
        return this.#finish(body)
      } catch (error) {
        // Readers are in nobody's way, but for the moment in which somebody recovers what a killed process left behind.
        if (!isBusy(error) || attempt === recoveryAttempts) throw explained(error, 'cannot read the log in', this.path)
      }
    }
  }

  /**
   * Runs `body` alone among all processes, and makes what it writes durable at once, or nothing when it throws. Waits for
   * the lock without blocking this process. Errors: `timeout`, `closed`, those of SQLite, those of `body`.
   */
  async transaction<Result>(body: () => Result, { durable = true, wait }: TransactionOptions = {}): Promise<Result> {
    const { environment, settings } = this
    const deadline = environment.monotonic() + (wait ?? settings.lockTimeout)
    while (!this.#begin(durable)) {
      if (environment.monotonic() >= deadline) throw this.#locked()
      await sleep(environment, 1 + environment.random() * 9)
    }
    try {
      return this.#finish(body)
    } catch (error) {
      throw explained(error, 'cannot write to the log in', this.path)
    } finally {
      if (!durable) this.#database.exec(`PRAGMA synchronous = ${this.#synchronous}`)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.news.tell()
    this.news.close()
    this.#database.close()
  }

  /** Takes the write lock, so that what is read inside stays true until the end. False when another process has it. */
  #begin(durable: boolean): boolean {
    this.assertOpen()
    try {
      if (!durable) this.#database.exec('PRAGMA synchronous = NORMAL')
      this.sql.beginWriting.run()
      return true
    } catch (error) {
      if (!durable) this.#database.exec(`PRAGMA synchronous = ${this.#synchronous}`)
      if (isBusy(error)) return false
      throw explained(error, 'cannot write to the log in', this.path)
    }
  }

  #finish<Result>(body: () => Result): Result {
    try {
      const result = body()
      this.sql.commit.run()
      return result
    } catch (error) {
      rollBack(this.#database)
      throw error
    }
  }

  #locked(): Error {
    const advice = 'is one of them stopped (SIGSTOP, a debugger) in the middle of a write?'
    const waited = `for ${this.settings.lockTimeout} ms other processes were writing to the log in ${this.path}`
    return fileError('timeout', `${waited}: ${advice}`, true)
  }
}

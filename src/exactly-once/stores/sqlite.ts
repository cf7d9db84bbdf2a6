import type { DatabaseSync } from 'node:sqlite'
import { systemEnvironment, type Environment } from '../../core/environment.ts'
import { messageOf, StreamError } from '../../core/errors.ts'
import { InTurn } from '../../core/in-turn.ts'
import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import { decodeOutbox } from '../outbox.ts'
import type { Lease } from '../leases.ts'
import type { ClientStore, Holding, TaskLog, TaskName, UnsentOutputs } from '../store.ts'
import { Checkpointer } from './checkpointer.ts'
import { SqliteTaskLog, type HeadRow } from './sqlite-log.ts'
import { isBusy, openSqlite } from './sqlite-open.ts'
import { prepare, type Statements } from './sqlite-schema.ts'
import { WalSync } from './wal-sync.ts'

/**
 * What writes, of all stores of this process, one after the other. A transaction may take turns of the event loop, and whoever waits
 * for the lock of a file blocks the process: with a file each, two processes would wait for each other.
 */
const queue = new InTurn()

/**
 * The embedded commit store. One file may be shared by the processes of one host: its locks and the condition on
 * (epoch, number) fence them. A process that is stopped inside of a write keeps the lock, and all others wait. An acknowledged commit survives a power cut: it is acknowledged after
 * a sync of the write-ahead log, which runs beside the event loop (decision 0012).
 */
export class SqliteStore implements ClientStore {
  readonly location: string
  readonly scope = 'host' as const
  readonly outputs = 'relay' as const
  readonly database: DatabaseSync
  readonly environment: Environment
  readonly #statements: Statements
  readonly #wal: WalSync
  readonly #checkpointer: Checkpointer

  private constructor(path: string, database: DatabaseSync, environment: Environment) {
    this.location = `sqlite:${path}`
    this.database = database
    this.environment = environment
    this.#statements = prepare(database)
    // No checkpoint within a commit: it would keep the thread.
    database.exec('PRAGMA wal_autocheckpoint = 0')
    const alone = (body: () => Promise<unknown>): Promise<unknown> => queue.run(body)
    this.#checkpointer = new Checkpointer(path, environment, alone, () =>
      database.exec('PRAGMA wal_autocheckpoint = 1000')
    )
    this.#wal = new WalSync(path, environment, bytes => this.#checkpointer.grown(bytes))
  }

  /**
   * @param path a file on a local disk, created with its folder; `:memory:` for tests. Errors: `corrupt` when it is not a
   *   database, `bad-config` when it cannot be opened or is on a network file system (as far as Linux can tell), `timeout` when
   *   it is locked for long or the disk is full.
   */
  static async open(path: string, environment: Environment = systemEnvironment): Promise<SqliteStore> {
    const [file, database] = await queue.run(() => openSqlite(path))
    return new SqliteStore(file, database, environment)
  }

  async acquire(task: TaskName): Promise<TaskLog> {
    const statements = this.#statements
    const log = await this.#alone(() => {
      statements.raise.run(task.id)
      const row = statements.head.get(task.id) as unknown as HeadRow
      const unsent = (statements.unsent.all(task.id) as { number: number; outputs: Uint8Array }[]).map(
        (outbox): UnsentOutputs => ({ commit: outbox.number, outputs: decodeOutbox(outbox.outputs) })
      )
      return new SqliteTaskLog(this, statements, task.id, row, unsent)
    })
    // What the one before has left may be known to nobody but the page cache: nothing is built on that.
    await this.durable()
    return log
  }

  async leases(scope: string): Promise<readonly Lease[]> {
    return this.#next(() => this.#statements.leases.all(scope).map(row => leaseOf(row as unknown as LeaseRow)))
  }

  async take(scope: string, name: string, owner: string, seen: Lease | undefined): Promise<boolean> {
    const { addLease, take } = this.#statements
    const { changes } = await this.#next(() =>
      seen ? take.run(owner, scope, name, seen.owner ?? null, seen.beat) : addLease.run(scope, name, owner)
    )
    return changes === 1
  }

  async beat(scope: string, owner: string): Promise<void> {
    await this.#next(() => this.#statements.beat.run(scope, owner))
  }

  async ask(scope: string, name: string, by: string): Promise<void> {
    await this.#next(() => this.#statements.ask.run(by, scope, name))
  }

  async release(scope: string, name: string, owner: string): Promise<void> {
    await this.#next(() => this.#statements.release.run(scope, name, owner))
  }

  async remove(scope: string, name: string, seen: Lease): Promise<void> {
    await this.#next(() => this.#statements.remove.run(scope, name, seen.owner ?? null, seen.beat))
  }

  async positions(group: string, topic: string): Promise<ReadonlyMap<number, Position>> {
    const rows = this.#statements.positions.all(group, topic) as { partition: number; position: string }[]
    return new Map(rows.map(row => [row.partition, row.position]))
  }

  async storePositions(
    group: string,
    positions: readonly (TopicPartition & { readonly position: Position })[],
    holding?: Holding
  ): Promise<boolean> {
    const { holder, putPosition } = this.#statements
    const stored = await this.#alone(() => {
      const holds = (name: string): boolean => holder.get(holding!.scope, name)?.['owner'] === holding!.owner
      if (holding && !holding.names.every(holds)) return false
      for (const { topic, partition, position } of positions) putPosition.run(group, topic, partition, position)
      return true
    })
    if (stored) await this.durable()
    return stored
  }

  async close(): Promise<void> {
    await this.#checkpointer.close()
    await queue.run(async () => {
      await this.#wal.close()
      if (this.database.isOpen) this.database.close()
    })
  }

  /**
   * `IMMEDIATE`: the write lock is taken at once, so that what is read inside stays true until the end. The body may take turns of
   * the event loop: whatever else this process wants to write waits until it has ended.
   */
  transaction<Result>(body: () => Result | Promise<Result>): Promise<Result> {
    return queue.run(async () => {
      this.database.exec('BEGIN IMMEDIATE')
      try {
        const result = await body()
        this.database.exec('COMMIT')
        return result
      } catch (error) {
        if (this.database.isOpen && this.database.isTransaction) this.database.exec('ROLLBACK')
        throw error
      }
    })
  }

  /** Resolves when what was committed before the call survives a power cut. */
  durable(): Promise<void> {
    return this.#wal.sync()
  }

  #alone<Result>(body: () => Result): Promise<Result> {
    return this.#guarded(() => this.transaction(body))
  }

  /** One statement, which must not slip into the transaction of somebody else. */
  #next<Result>(body: () => Result): Promise<Result> {
    return this.#guarded(() => queue.run(async () => body()))
  }

  /** For a caller that may try again: a lock held for long, or a full disk, is told as such. */
  async #guarded<Result>(body: () => Promise<Result>): Promise<Result> {
    try {
      return await body()
    } catch (error) {
      if (!isBusy(error)) throw error
      throw new StreamError('timeout', `the commit store ${this.location} is busy or full: ${messageOf(error)}`, {
        retryable: true,
        cause: error
      })
    }
  }
}

interface LeaseRow {
  readonly name: string
  readonly owner: string | null
  readonly beat: number
  readonly wish: string | null
}

const leaseOf = ({ name, owner, beat, wish }: LeaseRow): Lease => ({
  name,
  owner: owner ?? undefined,
  beat,
  wish: wish ?? undefined
})

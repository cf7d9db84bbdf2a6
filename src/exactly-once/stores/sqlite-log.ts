import type { DatabaseSync } from 'node:sqlite'
import { Turns } from '../../core/turns.ts'
import type { RowReader } from '../../state/index.ts'
import { encodeOutbox } from '../outbox.ts'
import type { AppendOutcome, Commit, LastCommit, ReadBack, TaskLog, UnsentOutputs } from '../store.ts'
import { isBusy } from './sqlite-open.ts'
import { SqliteRowReader } from './sqlite-rows.ts'
import type { Statements } from './sqlite-schema.ts'
import type { SqliteStore } from './sqlite.ts'

/** Rows, and bytes of outputs, that a commit writes before others get a turn of the event loop: a millisecond or two. */
const rowsAtOnce = 500
const bytesAtOnce = 256 * 1024

/** Called inside the transaction of a commit: rows of a sink that shares the database. */
export type WithCommit = (database: DatabaseSync) => void

export interface HeadRow {
  readonly epoch: number
  readonly number: number
  readonly token: string
  readonly head: Uint8Array | null
}

/** The commits of one task: each a transaction of its own. */
export class SqliteTaskLog implements TaskLog {
  readonly epoch: number
  readonly last: LastCommit | undefined
  readonly unsent: readonly UnsentOutputs[]
  readonly state: RowReader
  readonly #store: SqliteStore
  readonly #statements: Statements
  readonly #task: string
  /** Set by a sink that writes its rows in the same transaction. */
  withCommit: WithCommit | undefined

  constructor(
    store: SqliteStore,
    statements: Statements,
    task: string,
    row: HeadRow,
    unsent: readonly UnsentOutputs[]
  ) {
    this.epoch = row.epoch
    this.last = lastOf(row)
    this.unsent = unsent
    this.state = new SqliteRowReader(statements, task, row.epoch)
    this.#store = store
    this.#statements = statements
    this.#task = task
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    const statements = this.#statements
    // A piece and the slice of a task in one turn of the loop would block it for the sum of both.
    const turns = Turns.of(this.#store.environment)
    const blob = commit.outputs.length > 0 ? encodeOutbox(commit.outputs) : undefined
    try {
      const outcome = await this.#store.transaction<AppendOutcome>(async () => {
        const moved = statements.advance.run(
          commit.number,
          commit.token,
          commit.head,
          this.#task,
          this.epoch,
          commit.number - 1
        )
        if (moved.changes !== 1) return 'fenced'
        let written = 0
        for (const row of commit.state) {
          if (++written % rowsAtOnce === 0) await turns.soon()
          const key = Buffer.from(row.key, 'latin1')
          if (row.value === null) statements.deleteState.run(this.#task, row.slot, key)
          else statements.putState.run(this.#task, row.slot, key, row.value)
        }
        // Large outputs take milliseconds each time: to write, to forget, and to bring into the log.
        const isLarge = written > rowsAtOnce || (blob !== undefined && blob.length > bytesAtOnce)
        const turn = async (): Promise<void> => (isLarge ? turns.soon() : undefined)
        await turn()
        if (blob) statements.putOutbox.run(this.#task, commit.number, blob)
        await turn()
        if (commit.relayedTo > 0) statements.forget.run(this.#task, commit.relayedTo)
        await turn()
        this.withCommit?.(this.#store.database)
        return 'ok'
      })
      if (outcome === 'ok') await this.#store.durable()
      return outcome
    } catch (error) {
      // A full disk, or a lock that another process holds for long: SQLite has rolled back, or the read-back will tell.
      if (isBusy(error)) return 'unknown'
      throw error
    }
  }

  async readBack(): Promise<ReadBack> {
    const row = this.#statements.head.get(this.#task) as unknown as HeadRow
    await this.#store.durable()
    if (row.epoch !== this.epoch) return 'fenced'
    return { epoch: this.epoch, last: lastOf(row) }
  }

  async close(): Promise<void> {}
}

function lastOf(row: HeadRow): LastCommit | undefined {
  return row.head === null ? undefined : { number: row.number, token: row.token, head: row.head }
}

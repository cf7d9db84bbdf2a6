import { StreamError } from '../../core/errors.ts'
import type { RowReader } from '../../state/index.ts'
import { decodeOutbox } from '../outbox.ts'
import type { AppendOutcome, Commit, LastCommit, ReadBack, TaskLog, UnsentOutputs } from '../store.ts'
import type { Connections } from './postgres-connections.ts'
import { refusesRows } from './postgres-errors.ts'
import { PostgresRowReader } from './postgres-rows.ts'
import type { Tables } from './postgres-schema.ts'
import { appendStatement, raiseText, readBackText, unsentText, type StagedRows } from './postgres-statements.ts'

interface HeadRow {
  /** 64 bits come as text. */
  readonly epoch: string
  readonly number: string
  readonly token: string
  readonly head: Uint8Array | null
}

/** One owner's hold on one task. */
export class PostgresTaskLog implements TaskLog {
  readonly epoch: number
  readonly last: LastCommit | undefined
  readonly unsent: readonly UnsentOutputs[]
  readonly state: RowReader
  /** Set by a sink that writes its rows in the same transaction; they belong to every append until it sets others. */
  staged: StagedRows | undefined
  readonly #connections: Connections
  readonly #tables: Tables
  readonly #task: string
  /** Token of the last append whose outcome was unclear. */
  #unclear: string | undefined

  private constructor(
    connections: Connections,
    tables: Tables,
    task: string,
    row: HeadRow,
    unsent: readonly UnsentOutputs[]
  ) {
    this.epoch = Number(row.epoch)
    this.last = lastOf(row)
    this.unsent = unsent
    this.state = new PostgresRowReader(connections, tables, task, this.epoch)
    this.#connections = connections
    this.#tables = tables
    this.#task = task
  }

  /** Raises the epoch, *then* reads, in statements of their own: each sees what was committed before it began. */
  static acquire(connections: Connections, tables: Tables, task: string): Promise<PostgresTaskLog> {
    return connections.use(`acquiring task '${task}'`, async run => {
      const [row] = await run<HeadRow>(raiseText(tables), [task])
      const unsent = await run<{ number: string; outputs: Uint8Array }>(unsentText(tables), [task])
      const outputs = unsent.map(each => ({ commit: Number(each.number), outputs: decodeOutbox(each.outputs) }))
      return new PostgresTaskLog(connections, tables, task, row!, outputs)
    })
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    const { staged } = this
    const { text, values } = appendStatement(this.#tables, this.#task, this.epoch, commit, staged)
    try {
      const moved = await this.#connections.query(`committing task '${this.#task}'`, text, values)
      if (moved.length === 1) return 'ok'
      if (this.#unclear !== commit.token) return 'fenced'
      // The attempt before this one was still under way when it was looked for, and has taken effect since.
      const found = await this.readBack()
      return found !== 'fenced' && found.last?.token === commit.token ? 'ok' : 'fenced'
    } catch (error) {
      const cause = (error as { readonly cause?: unknown }).cause
      if (staged && refusesRows(cause)) throw staged.refused(cause)
      if (!(StreamError.is(error) && error.retryable)) throw error
      this.#unclear = commit.token
      return 'unknown'
    }
  }

  async readBack(): Promise<ReadBack> {
    const doing = `reading the last commit of task '${this.#task}'`
    const [row] = await this.#connections.query<HeadRow>(doing, readBackText(this.#tables), [this.#task])
    if (!row || Number(row.epoch) !== this.epoch) return 'fenced'
    return { epoch: this.epoch, last: lastOf(row) }
  }

  async close(): Promise<void> {}
}

function lastOf(row: HeadRow): LastCommit | undefined {
  return row.head === null ? undefined : { number: Number(row.number), token: row.token, head: row.head }
}

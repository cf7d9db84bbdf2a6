import { StreamError } from '../../core/errors.ts'
import type { LogReader } from '../../spec/index.ts'
import type { AppendOutcome, Commit, CommitStore, ReadBack, Standby, TaskLog, TaskName } from '../store.ts'

/**
 * At-least-once without state: the commit is the broker's own group commit, after the outputs are durable. A crash
 * between the two sends the outputs again.
 */
export class GroupStore implements CommitStore {
  readonly location: string
  readonly scope = 'network' as const
  readonly outputs = 'before' as const
  readonly #reader: LogReader

  constructor(reader: LogReader, location: string) {
    this.#reader = reader
    this.location = location
  }

  async acquire(): Promise<TaskLog> {
    return {
      epoch: 0,
      last: undefined,
      state: [],
      unsent: [],
      append: commit => this.#commit(commit),
      readBack: async (): Promise<ReadBack> => ({ epoch: 0, last: undefined }),
      close: async () => {}
    }
  }

  async close(): Promise<void> {}

  async #commit(commit: Commit): Promise<AppendOutcome> {
    try {
      if (commit.positions.length > 0) await this.#reader.commit(commit.positions)
      return 'ok'
    } catch (error) {
      if (StreamError.is(error) && (error.code === 'not-owner' || error.code === 'fenced')) return 'fenced'
      throw error
    }
  }
}

/** At-least-once with state: state and positions are one commit, the outputs go before it. */
export class OutputsFirst implements CommitStore {
  readonly location: string
  readonly scope: CommitStore['scope']
  readonly outputs = 'before' as const
  readonly standby: Standby | undefined
  readonly #inner: CommitStore

  constructor(inner: CommitStore) {
    this.#inner = inner
    this.location = inner.location
    this.scope = inner.scope
    this.standby = inner.standby
  }

  async acquire(task: TaskName): Promise<TaskLog> {
    const log = await this.#inner.acquire(task)
    return {
      epoch: log.epoch,
      last: log.last,
      state: log.state,
      unsent: log.unsent,
      append: commit => log.append({ ...commit, outputs: [] }),
      readBack: () => log.readBack(),
      close: () => log.close()
    }
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

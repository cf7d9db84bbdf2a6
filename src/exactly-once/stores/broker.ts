import { diagnose } from '../../core/diagnostics.ts'
import type { Environment } from '../../core/environment.ts'
import { asStreamError, StreamError } from '../../core/errors.ts'
import { noHeaders, type OutgoingRecord } from '../../core/record.ts'
import type { AnyAdapter, FencedProducer, StartAt, TopicPartition } from '../../spec/index.ts'
import type { StateRow } from '../../state/index.ts'
import { readToEnd } from '../read-to-end.ts'
import type { AppendOutcome, Commit, CommitStore, LastCommit, ReadBack, TaskLog, TaskName } from '../store.ts'
import { ChangelogRows } from './broker-rows.ts'
import { BrokerStandby } from './broker-standby.ts'
import type { TailEnd } from './broker-tail.ts'

/** The compacted topic that holds the commits of a stage: partition i for task i. */
export function changelogTopic(pipeline: string, stage: string): string {
  return `${pipeline}.${stage}.changelog`
}

export interface StandbyOptions {
  readonly environment: Environment
  /** Most bytes, about, of what is kept of tasks that others hold. */
  readonly maxBytes: number
}

/**
 * A commit store in the broker itself, for brokers with transactions: outputs, changelog and offsets in one transaction
 * of the task's own producer, whose id is the task (decision 4). The changelog is the truth; the group's offsets are
 * written for the user's own tools only.
 *
 * A task's rows are records keyed `task 0x00 h` (head) and `task 0x00 s slot 0x00 key` (state), so compaction keeps
 * exactly what recovery needs.
 */
export class BrokerStore implements CommitStore {
  readonly location: string
  readonly scope: 'process' | 'network'
  readonly outputs = 'atomic' as const
  /** What tasks that others hold have committed, where it was asked for. */
  readonly standby: BrokerStandby | undefined
  readonly #adapter: AnyAdapter
  readonly #partitions: number

  /** @param partitions of the changelog topic, which must exist. */
  constructor(adapter: AnyAdapter, partitions: number, standby?: StandbyOptions) {
    if (!adapter.transactions || !adapter.partitionReader)
      throw new StreamError(
        'unsupported',
        `'${adapter.name}' has no transactions: commit to a database instead (connect({ store }))`
      )
    this.#adapter = adapter
    this.#partitions = partitions
    this.location = adapter.location
    this.scope = adapter.capabilities.scope === 'network' ? 'network' : 'process'
    if (standby) this.standby = new BrokerStandby({ ...standby, adapter, placeOf: task => this.#placeOf(task) })
  }

  async acquire(task: TaskName): Promise<TaskLog> {
    const log = new BrokerTaskLog(this.#adapter, task, this.#placeOf(task), this.standby)
    try {
      await log.acquire()
    } catch (error) {
      await log.close().catch(() => {})
      throw error
    }
    return log
  }

  async close(): Promise<void> {
    await this.standby?.close()
  }

  #placeOf({ pipeline, stage, ordinal }: TaskName): TopicPartition {
    return { topic: changelogTopic(pipeline, stage), partition: ordinal % this.#partitions }
  }
}

class BrokerTaskLog implements TaskLog {
  epoch = 0
  last: LastCommit | undefined
  readonly unsent: readonly [] = []
  #rows: ChangelogRows | undefined
  /** Token of the last commit: the next head names it. */
  #previous: string | undefined
  #producer: FencedProducer | undefined
  readonly #adapter: AnyAdapter
  readonly #task: TaskName
  readonly #place: TopicPartition
  readonly #standby: BrokerStandby | undefined
  #isTaken = false
  /** What the standby has, until it is taken over. */
  #base: TailEnd | undefined
  readonly #prefix: Buffer
  readonly #headPrefix: Buffer
  readonly #slotPrefixes = new Map<string, Buffer>()

  constructor(adapter: AnyAdapter, task: TaskName, place: TopicPartition, standby: BrokerStandby | undefined) {
    this.#adapter = adapter
    this.#task = task
    this.#place = place
    this.#standby = standby
    this.#prefix = Buffer.from(`${task.id}\0`, 'utf8')
    this.#headPrefix = Buffer.concat([this.#prefix, Buffer.from('h')])
  }

  /** The rows of the last commit, handed over once: recovery is their only reader. */
  get state(): Iterable<StateRow> {
    const rows = this.#rows
    this.#rows = undefined
    return rows?.rows() ?? []
  }

  // First the fence, which also ends what the predecessor left open; only then the end of the changelog is final (R0, R1).
  async acquire(): Promise<void> {
    this.#producer = await this.#adapter.transactions!().producer(this.#task.id)
    this.epoch++
    if (this.#standby && !this.#isTaken) {
      this.#isTaken = true
      this.#base = await this.#standby.take(this.#task.id)
    }
    const kept = this.#base && (await this.#readOn(this.#base))
    this.#rows = kept ?? (await this.#read(new ChangelogRows(this.#task.id), 'earliest'))
    this.#base = undefined
    this.last = this.#rows.last
    this.#previous = this.last?.token
  }

  /**
   * The rest of what the standby has, from its last head on. `undefined` where that head is not there, or what comes behind it does not
   * follow: the log was cut or made anew, and what was kept is not of this chain. Nor where it may have missed a deletion.
   */
  async #readOn(base: TailEnd): Promise<ChangelogRows | undefined> {
    const { rows } = base
    rows.expectLast()
    try {
      await this.#read(rows, rows.anchor === undefined ? 'earliest' : { after: rows.anchor })
    } catch (error) {
      // The base is still good for the next attempt.
      if (this.#adapter.classify(error).retryable) throw error
      return undefined
    }
    return rows.confirmed && this.#standby!.isFresh(base) ? rows : undefined
  }

  async #read(rows: ChangelogRows, from: StartAt): Promise<ChangelogRows> {
    const before = rows.records
    await readToEnd(this.#adapter, this.#place, from, record => rows.apply(record))
    diagnose('changelog-read', { task: this.#task.id, records: rows.records - before, standby: before > 0 })
    return rows
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    const records = [...commit.outputs]
    for (const { slot, key, value } of commit.state) records.push(this.#record(this.#slotPrefix(slot), key, value))
    records.push({
      ...this.#record(this.#headPrefix, '', commit.head),
      headers: {
        number: Buffer.from(String(commit.number)),
        token: Buffer.from(commit.token),
        ...(this.#previous !== undefined && { previous: Buffer.from(this.#previous) })
      }
    })
    const positions = commit.positions
    const { outcome, error } = await this.#producer!.commit({
      records,
      ...(positions.length > 0 && { offsets: { group: `${this.#task.pipeline}.${this.#task.stage}`, positions } })
    })
    if (outcome === 'committed') {
      this.#previous = commit.token
      return 'ok'
    }
    if (outcome === 'fenced') return 'fenced'
    // Refused for good (too large, unauthorized): the same again would be refused the same way, for ever.
    if (outcome === 'aborted' && error !== undefined) this.#assertRetryable(error)
    return 'unknown'
  }

  // A fresh producer settles the fate of the unclear transaction before it returns; then the changelog tells.
  async readBack(): Promise<ReadBack> {
    await this.#producer?.close().catch(() => {})
    await this.acquire()
    this.#rows = undefined
    return { epoch: this.epoch, last: this.last }
  }

  async close(): Promise<void> {
    try {
      await this.#producer?.close()
    } finally {
      if (this.#isTaken) this.#standby!.release(this.#task.id, this.#base)
      this.#isTaken = false
    }
  }

  #assertRetryable(error: unknown): void {
    const { code, retryable } = this.#adapter.classify(error)
    if (retryable) return
    throw asStreamError(error, code, `the transaction of task '${this.#task.id}' was refused`, {
      adapter: this.#adapter.name
    })
  }

  /** Slots are few: a state each. */
  #slotPrefix(slot: string): Buffer {
    let prefix = this.#slotPrefixes.get(slot)
    if (!prefix) {
      prefix = Buffer.concat([this.#prefix, Buffer.from(`s${encodeURIComponent(slot)}\0`)])
      this.#slotPrefixes.set(slot, prefix)
    }
    return prefix
  }

  #record(prefix: Buffer, key: string, value: Uint8Array | null): OutgoingRecord {
    const bytes = Buffer.allocUnsafe(prefix.length + key.length)
    bytes.set(prefix)
    if (key !== '') bytes.write(key, prefix.length, 'latin1')
    const { topic, partition } = this.#place
    return { topic, partition, key: bytes, value, headers: noHeaders, stamp: undefined, timestamp: 0 }
  }
}

import { view } from '../../core/codec.ts'
import { asStreamError, StreamError } from '../../core/errors.ts'
import { headerText, noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import type { AnyAdapter, FencedProducer } from '../../spec/index.ts'
import type { StateRow } from '../../state/index.ts'
import type { AppendOutcome, Commit, CommitStore, LastCommit, ReadBack, TaskLog, TaskName } from '../store.ts'

/** The compacted topic that holds the commits of a stage: partition i for task i. */
export function changelogTopic(pipeline: string, stage: string): string {
  return `${pipeline}.${stage}.changelog`
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
  readonly #adapter: AnyAdapter
  readonly #partitions: number

  /** @param partitions of the changelog topic, which must exist. */
  constructor(adapter: AnyAdapter, partitions: number) {
    if (!adapter.transactions || !adapter.partitionReader)
      throw new StreamError(
        'unsupported',
        `'${adapter.name}' has no transactions: commit to a database instead (connect({ store }))`
      )
    this.#adapter = adapter
    this.#partitions = partitions
    this.location = adapter.location
    this.scope = adapter.capabilities.scope === 'network' ? 'network' : 'process'
  }

  async acquire(task: TaskName): Promise<TaskLog> {
    const log = new BrokerTaskLog(this.#adapter, task, task.ordinal % this.#partitions)
    try {
      await log.acquire()
    } catch (error) {
      await log.close().catch(() => {})
      throw error
    }
    return log
  }

  async close(): Promise<void> {}
}

class BrokerTaskLog implements TaskLog {
  epoch = 0
  last: LastCommit | undefined
  readonly unsent: readonly [] = []
  /** Rows by the encoded name of their slot, then by key. */
  #state = new Map<string, Map<string, Uint8Array>>()
  #producer: FencedProducer | undefined
  readonly #adapter: AnyAdapter
  readonly #task: TaskName
  readonly #topic: string
  readonly #partition: number
  readonly #prefix: Buffer
  readonly #headPrefix: Buffer
  readonly #slotPrefixes = new Map<string, Buffer>()

  constructor(adapter: AnyAdapter, task: TaskName, partition: number) {
    this.#adapter = adapter
    this.#task = task
    this.#topic = changelogTopic(task.pipeline, task.stage)
    this.#partition = partition
    this.#prefix = Buffer.from(`${task.id}\0`, 'utf8')
    this.#headPrefix = Buffer.concat([this.#prefix, Buffer.from('h')])
  }

  /** The rows of the last commit, handed over once: recovery is their only reader. */
  get state(): Iterable<StateRow> {
    const slots = this.#state
    this.#state = new Map()
    return rowsOf(slots)
  }

  // First the fence, which also ends what the predecessor left open; only then the end of the changelog is final (R0, R1).
  async acquire(): Promise<void> {
    this.#producer = await this.#adapter.transactions!().producer(this.#task.id)
    this.epoch++
    const reader = await this.#adapter.partitionReader!({
      topic: this.#topic,
      partition: this.#partition,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 8 * 1024 * 1024
    })
    try {
      for (let atEnd = false; !atEnd;) {
        const received = await reader.receive({ wait: 100 })
        for (const record of received.records) this.#restore(record)
        atEnd = received.atEnd
      }
    } finally {
      await reader.close()
    }
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    const records = [...commit.outputs]
    for (const { slot, key, value } of commit.state) records.push(this.#record(this.#slotPrefix(slot), key, value))
    records.push({
      ...this.#record(this.#headPrefix, '', commit.head),
      headers: { number: Buffer.from(String(commit.number)), token: Buffer.from(commit.token) }
    })
    const positions = commit.positions
    const { outcome, error } = await this.#producer!.commit({
      records,
      ...(positions.length > 0 && { offsets: { group: `${this.#task.pipeline}.${this.#task.stage}`, positions } })
    })
    if (outcome === 'committed') return 'ok'
    if (outcome === 'fenced') return 'fenced'
    // Refused for good (too large, unauthorized): the same again would be refused the same way, for ever.
    if (outcome === 'aborted' && error !== undefined) this.#assertRetryable(error)
    return 'unknown'
  }

  // A fresh producer settles the fate of the unclear transaction before it returns; then the changelog tells.
  async readBack(): Promise<ReadBack> {
    await this.#producer?.close().catch(() => {})
    this.#state = new Map()
    await this.acquire()
    this.#state = new Map()
    return { epoch: this.epoch, last: this.last }
  }

  async close(): Promise<void> {
    await this.#producer?.close()
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
    return {
      topic: this.#topic,
      partition: this.#partition,
      key: bytes,
      value,
      headers: noHeaders,
      stamp: undefined,
      timestamp: 0
    }
  }

  #restore(record: RawRecord): void {
    if (record.key === null) return
    const key = view(record.key)
    const start = this.#prefix.length
    if (key.length <= start || this.#prefix.compare(key, 0, start) !== 0) return
    if (key[start] === 0x68 /* h */) {
      if (record.value === null) return
      const number = Number(headerText(record.headers, 'number'))
      this.last = { number, token: headerText(record.headers, 'token') ?? '', head: record.value }
      return
    }
    const end = key.indexOf(0, start)
    const slot = key.toString('latin1', start + 1, end)
    const rowKey = key.toString('latin1', end + 1)
    let rows = this.#state.get(slot)
    if (!rows) this.#state.set(slot, (rows = new Map()))
    if (record.value === null) rows.delete(rowKey)
    else rows.set(rowKey, record.value)
  }
}

function* rowsOf(slots: ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>): Iterable<StateRow> {
  for (const [encoded, rows] of slots) {
    const slot = decodeURIComponent(encoded)
    for (const [key, value] of rows) yield { slot, key, value }
  }
}

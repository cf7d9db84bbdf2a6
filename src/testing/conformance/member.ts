import assert from 'node:assert/strict'
import { systemEnvironment } from '../../core/environment.ts'
import type { Position, RawRecord } from '../../core/record.ts'
import type { AnyAdapter, LogEvent, LogReader, PartitionsRevoked, StartAt, TopicPartition } from '../../spec/index.ts'
import type { CaseContext } from './context.ts'

export interface MemberOptions {
  readonly group: string
  readonly topics: readonly string[]
  /** Where assigned partitions start; `nowhere` leaves them silent. Default `committed`. */
  readonly at?: StartAt | 'committed' | 'nowhere'
  readonly adapter?: AnyAdapter
  readonly maxBytes?: number
  readonly sessionTimeout?: number
  /** What happens on a revocation, before `release`. Default: nothing. */
  readonly onRevoked?: (event: PartitionsRevoked, member: GroupMember) => Promise<void>
  /** Do not release: the case does. */
  readonly keepRevoked?: boolean
}

export interface Received extends RawRecord, TopicPartition {}

/** A log reader as the front drives it: seeks what it gets, releases what it loses, remembers what it saw. */
export class GroupMember {
  readonly reader: LogReader
  readonly records: Received[] = []
  readonly revocations: PartitionsRevoked[] = []
  readonly #context: CaseContext
  readonly #adapter: AnyAdapter
  readonly #options: MemberOptions
  readonly #owned = new Map<string, TopicPartition>()
  readonly #last = new Map<string, Position>()
  #failures: string[] = []

  constructor(context: CaseContext, adapter: AnyAdapter, reader: LogReader, options: MemberOptions) {
    this.#context = context
    this.#adapter = adapter
    this.#options = options
    this.reader = reader
  }

  /** `topic/partition` of all that it holds, sorted. */
  get owned(): string[] {
    return [...this.#owned.keys()].toSorted()
  }

  get partitions(): TopicPartition[] {
    return [...this.#owned.values()]
  }

  /** The values that it saw, of one partition or of all. */
  values(partition?: number): string[] {
    const records =
      partition === undefined ? this.records : this.records.filter(record => record.partition === partition)
    return records.map(({ value }) => Buffer.from(value ?? '').toString())
  }

  /** One receive, and what follows from its events. */
  async step(wait = 50): Promise<readonly LogEvent[]> {
    let events: readonly LogEvent[]
    try {
      events = await this.reader.receive({ wait, signal: this.#context.signal })
    } catch (error) {
      if (!this.#adapter.classify(error).retryable) throw error
      this.#failures.push(String(error))
      await this.#context.sleep(100)
      return []
    }
    for (const event of events) await this.#handle(event)
    return events
  }

  /** Commits the last record seen of every partition held, or of those given. */
  async commit(partitions: readonly TopicPartition[] = this.partitions): Promise<void> {
    const positions = partitions.flatMap(({ topic, partition }) => {
      const position = this.#last.get(keyOf({ topic, partition }))
      return position === undefined ? [] : { topic, partition, position }
    })
    if (positions.length > 0) await this.#context.retrying(this.#adapter, () => this.reader.commit(positions))
  }

  close(): Promise<void> {
    return this.reader.close()
  }

  toString(): string {
    return `a member holds [${this.owned.join(', ')}] and saw ${this.records.length} records ${this.#failures.at(-1) ?? ''}`
  }

  async #handle(event: LogEvent): Promise<void> {
    if (event.kind === 'records') return this.#remember(event)
    if (event.kind === 'partitions-assigned') {
      for (const partition of event.partitions) {
        assert.ok(!this.#owned.has(keyOf(partition)), `${keyOf(partition)} was assigned twice without a revocation`)
        this.#owned.set(keyOf(partition), partition)
        await this.#seek(partition)
      }
      return
    }
    this.revocations.push(event)
    for (const partition of event.partitions) this.#owned.delete(keyOf(partition))
    await this.#options.onRevoked?.(event, this)
    if (!this.#options.keepRevoked) event.release()
  }

  #remember(event: Extract<LogEvent, { kind: 'records' }>): void {
    const { topic, partition, records } = event
    const key = keyOf(event)
    assert.ok(records.length > 0, 'a records event holds at least one record')
    assert.ok(this.#owned.has(key), `records of ${key}, which this member does not hold`)
    for (const record of records) this.records.push({ ...record, topic, partition })
    this.#last.set(key, records.at(-1)!.position)
  }

  /** A seek may find that the partition has just gone: the revocation is already under way then. */
  async #seek(partition: TopicPartition): Promise<void> {
    const { at = 'committed' } = this.#options
    if (at === 'nowhere') return
    try {
      await this.#context.retrying(this.#adapter, () => this.reader.seek(partition, at))
    } catch (error) {
      if (this.#adapter.classify(error).code !== 'not-owner') throw error
    }
  }
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** Milliseconds that a call took. */
export async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = systemEnvironment.monotonic()
  await call()
  return systemEnvironment.monotonic() - start
}

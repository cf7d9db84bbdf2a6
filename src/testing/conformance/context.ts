import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemEnvironment } from '../../core/environment.ts'
import { noHeaders, type OutgoingRecord, type Position, type RawRecord } from '../../core/record.ts'
import type {
  AdminDriver,
  AnyAdapter,
  FencedProducer,
  PartitionReader,
  ProducerDriver,
  StartAt
} from '../../spec/index.ts'
import { GroupMember, type MemberOptions } from './member.ts'
import type { Harness, WorkerProcess } from './types.ts'

/** What a case works with. Everything opened through it is closed after the case, topics are deleted. */
export class CaseContext {
  readonly harness: Harness
  /** Aborted when the case has run out of time. */
  readonly signal: AbortSignal
  readonly #opened: { close(): Promise<void> }[] = []
  readonly #topics: string[] = []
  #adapter: AnyAdapter | undefined
  #admin: AdminDriver | undefined

  constructor(harness: Harness, signal: AbortSignal) {
    this.harness = harness
    this.signal = signal
  }

  get sessionTimeout(): number {
    return this.harness.sessionTimeout ?? 10_000
  }

  /** A time in ms, stretched for slow servers. */
  paced(milliseconds: number): number {
    return milliseconds * (this.harness.pace ?? 1)
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise(resolve => systemEnvironment.timer(milliseconds, resolve))
  }

  /** The adapter of the case; `start` gives further ones. */
  async adapter(): Promise<AnyAdapter> {
    return (this.#adapter ??= await this.start())
  }

  async start(): Promise<AnyAdapter> {
    return this.keep(await this.harness.start())
  }

  keep<Closable extends { close(): Promise<void> }>(opened: Closable): Closable {
    this.#opened.push(opened)
    return opened
  }

  /** A name that nobody else uses. */
  name(prefix: string): string {
    const suffix = Math.floor(systemEnvironment.random() * 2 ** 48).toString(36)
    return `${prefix}-${suffix.padStart(10, '0')}`
  }

  /** Kept until the end of the case, whatever becomes of it. */
  worker(worker: WorkerProcess): WorkerProcess {
    this.keep({
      async close() {
        worker.kill('SIGKILL')
        await worker.exited
      }
    })
    return worker
  }

  /** Where worker processes of this case commit. */
  storeFor(commitIn: 'store' | 'broker'): string {
    if (commitIn === 'broker') return 'broker'
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-case-'))
    this.keep({ close: () => rm(folder, { recursive: true, force: true }) })
    return `sqlite:${join(folder, 'commits.db')}`
  }

  async topic(partitions = 1): Promise<string> {
    const topic = this.name('conformance')
    this.#admin ??= await this.admin()
    await this.#admin.createTopic({ topic, partitions })
    this.#topics.push(topic)
    return topic
  }

  /** The admin driver, asked again as the front would. */
  async admin(adapter?: AnyAdapter): Promise<AdminDriver> {
    const opened = adapter ?? (await this.adapter())
    const admin = this.keep(opened.admin())
    const again = <Value>(call: () => Promise<Value>): Promise<Value> => this.retrying(opened, call)
    return {
      createTopic: topic => again(() => admin.createTopic(topic)),
      deleteTopic: topic => again(() => admin.deleteTopic(topic)),
      describeTopic: topic => again(() => admin.describeTopic(topic)),
      listTopics: () => again(() => admin.listTopics()),
      backlog: (group, topics) => again(() => admin.backlog(group, topics)),
      committed: (group, topic) => again(() => admin.committed(group, topic)),
      ...(admin.behind && { behind: (topic, positions) => again(() => admin.behind!(topic, positions)) }),
      ...(admin.ensureGroup && { ensureGroup: (group, topic) => again(() => admin.ensureGroup!(group, topic)) }),
      close: () => admin.close()
    }
  }

  async producer(adapter?: AnyAdapter): Promise<ProducerDriver> {
    return this.keep(await (adapter ?? (await this.adapter())).producer())
  }

  async member(options: MemberOptions): Promise<GroupMember> {
    const adapter = options.adapter ?? (await this.adapter())
    assert.ok(adapter.logReader, 'an adapter with groups must have logReader')
    const { group, topics, maxBytes = 1 << 20, sessionTimeout = this.sessionTimeout } = options
    const open = (): ReturnType<NonNullable<AnyAdapter['logReader']>> =>
      adapter.logReader!({ group, topics, maxBytes, sessionTimeout })
    return this.keep(new GroupMember(this, adapter, await this.retrying(adapter, open), options))
  }

  async partitionReader(
    topic: string,
    partition = 0,
    from: StartAt = 'earliest',
    maxBytes: number = 1 << 20
  ): Promise<PartitionReader> {
    const adapter = await this.adapter()
    assert.ok(adapter.partitionReader, 'an adapter with positions must have partitionReader')
    return this.keep(await adapter.partitionReader({ topic, partition, from, readCommitted: true, maxBytes }))
  }

  async fencedProducer(id: string, adapter?: AnyAdapter): Promise<FencedProducer> {
    const opened = adapter ?? (await this.adapter())
    assert.ok(opened.transactions, 'an adapter with transactions must have transactions()')
    return this.keep(await this.retrying(opened, () => opened.transactions!().producer(id)))
  }

  /** Sends one batch that must succeed as a whole; returns the positions. */
  async send(records: readonly OutgoingRecord[], producer?: ProducerDriver): Promise<(Position | undefined)[]> {
    const results = await (producer ?? (await this.producer())).send(records)
    assert.equal(results.length, records.length, 'one result per record')
    return results.map(result => {
      if (!result.ok) throw result.error
      return result.position
    })
  }

  /** Values `from` to `to - 1` as text into one partition. */
  async sendNumbers(
    topic: string,
    partition: number,
    from: number,
    to: number,
    producer?: ProducerDriver
  ): Promise<(Position | undefined)[]> {
    return this.send(numbers(topic, partition, from, to), producer)
  }

  /** Everything in a partition, from the start to its end as of now. */
  async readAll(topic: string, partition = 0, from: StartAt = 'earliest'): Promise<RawRecord[]> {
    const reader = await this.partitionReader(topic, partition, from)
    try {
      return await this.readToEnd(reader)
    } finally {
      await reader.close()
    }
  }

  async readToEnd(reader: PartitionReader): Promise<RawRecord[]> {
    const records: RawRecord[] = []
    for (const deadline = this.deadline(); ;) {
      const batch = await reader.receive({ wait: 100, signal: this.signal })
      records.push(...batch.records)
      if (batch.atEnd) return records
      assert.ok(
        systemEnvironment.monotonic() < deadline,
        `atEnd did not become true; ${records.length} records were read`
      )
    }
  }

  /** Steps the members at the same time until the condition holds. */
  async until(what: string, condition: () => boolean, ...members: readonly GroupMember[]): Promise<void> {
    const deadline = this.deadline()
    const run = async (member: GroupMember): Promise<void> => {
      while (!condition()) {
        if (systemEnvironment.monotonic() > deadline)
          assert.fail(`waited in vain for: ${what}. ${members.map(each => each.toString()).join('; ')}`)
        await member.step()
      }
    }
    await Promise.all(members.map(run))
  }

  /** Steps the members for a while, to see that nothing happens. */
  async linger(milliseconds: number, ...members: readonly GroupMember[]): Promise<void> {
    const end = systemEnvironment.monotonic() + milliseconds
    await this.until('the end of time', () => systemEnvironment.monotonic() >= end, ...members)
  }

  /** As the front does: again, for as long as the adapter says that it may help. */
  async retrying<Value>(adapter: AnyAdapter, call: () => Promise<Value>): Promise<Value> {
    for (const deadline = this.deadline(); ;) {
      try {
        return await call()
      } catch (error) {
        if (!adapter.classify(error).retryable || systemEnvironment.monotonic() > deadline) throw error
        await this.sleep(100)
      }
    }
  }

  deadline(): number {
    return systemEnvironment.monotonic() + this.paced(20_000)
  }

  /** Asserts a rejection that the adapter classifies as one of the codes. */
  async rejects(adapter: AnyAdapter, call: Promise<unknown>, ...codes: readonly string[]): Promise<void> {
    let error: unknown
    try {
      await call
    } catch (thrown) {
      error = thrown
    }
    assert.ok(error !== undefined, `expected a rejection with ${codes.join(' or ')}, but the call succeeded`)
    const { code } = adapter.classify(error)
    assert.ok(codes.includes(code), `expected ${codes.join(' or ')}, got ${code}: ${String(error)}`)
  }

  async close(): Promise<void> {
    const failures: unknown[] = []
    if (this.#adapter && this.#topics.length > 0) await this.#deleteTopics(this.#adapter)
    for (const opened of this.#opened.toReversed()) await opened.close().catch((error: unknown) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }

  /** Best effort, and after the readers: the case may have closed the adapter, or deleted them. */
  async #deleteTopics(adapter: AnyAdapter): Promise<void> {
    const readers = this.#opened.filter(opened => opened !== adapter && !('specification' in opened))
    for (const opened of readers.toReversed()) await opened.close().catch(() => {})
    const admin = adapter.admin()
    for (const topic of this.#topics) await admin.deleteTopic(topic).catch(() => {})
    await admin.close().catch(() => {})
  }
}

/** A record with nothing but what is given. */
export function outgoing(
  topic: string,
  partition: number,
  value: Uint8Array | string | null,
  more: Partial<OutgoingRecord> = {}
): OutgoingRecord {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return {
    topic,
    partition,
    key: null,
    value: bytes,
    headers: noHeaders,
    stamp: undefined,
    timestamp: systemEnvironment.now(),
    ...more
  }
}

export function numbers(topic: string, partition: number, from: number, to: number): OutgoingRecord[] {
  return Array.from({ length: to - from }, (_, index) => outgoing(topic, partition, String(from + index)))
}

/** The values as text. */
export function texts(records: readonly Pick<RawRecord, 'value'>[]): string[] {
  return records.map(({ value }) => (value === null ? '<null>' : Buffer.from(value).toString()))
}

/** `['3', '4', '5']` for 3 to 6. */
export function range(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index))
}

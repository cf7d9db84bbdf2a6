/** Consumer groups by leases, on a broker whose readers can be fenced. */
import { setTimeout as wait } from 'node:timers/promises'
import { EventHubConsumerClient } from '@azure/event-hubs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { MemoryStore } from '../../../src/exactly-once/index.ts'
import { openGroupReader } from '../../../src/pipeline/leased-reader.ts'
import type { LogEvent, LogReader } from '../../../src/spec/index.ts'
import { failure } from '../../support/failure.ts'
import { createTopic, numbers, recordsOf, send, texts, unique } from '../../support/records.ts'
import { type EventhubsAdapter, notRun, OwnServer, running } from './server.ts'

const own = new OwnServer()

class Member {
  readonly reader: LogReader
  readonly events: LogEvent[] = []
  readonly adapter: EventhubsAdapter

  constructor(reader: LogReader, adapter: EventhubsAdapter) {
    this.reader = reader
    this.adapter = adapter
  }

  /** Takes part until the condition holds. */
  async until(condition: () => boolean, patience = 20_000): Promise<void> {
    const signal = AbortSignal.timeout(patience)
    while (!condition()) {
      for (const event of await this.reader.receive({ wait: 100, signal })) {
        this.events.push(event)
        if (event.kind === 'partitions-assigned')
          for (const place of event.partitions) await this.reader.seek(place, 'committed')
        if (event.kind === 'partitions-revoked') event.release()
      }
    }
  }

  get values(): string[] {
    return texts(recordsOf(this.events))
  }

  count(kind: LogEvent['kind']): number {
    return this.events.filter(event => event.kind === kind).length
  }
}

async function join(store: MemoryStore, topic: string, partitions: number, sessionTimeout = 1_000): Promise<Member> {
  const adapter = await own.open()
  const options = { group: `${topic}.group`, topics: [topic], sessionTimeout, maxBytes: 1 << 20 }
  const reader = await openGroupReader(adapter, systemEnvironment, async () => store, options, partitions)
  onTestFinished(() => reader.close())
  return new Member(reader, adapter)
}

describe.skipIf(!running)(`leases and owner levels${notRun}`, () => {
  it('partitions that are added are read without a restart', async () => {
    const admin = await own.open()
    const topic = await createTopic(admin, 1)
    const member = await join(new MemoryStore(), topic, 1)
    await send(admin, numbers(topic, 0, 2))
    await member.until(() => member.values.length === 2)
    const body = JSON.stringify({ properties: { partitionCount: 3 } })
    await fetch(`${own.server.management}/eventhubs/${topic}?api-version=2024-01-01`, { method: 'PUT', body })
    await send(admin, numbers(topic, 2, 3, 10))
    await member.until(() => member.values.length === 5)
    expect(member.values).toEqual(['0', '1', '10', '11', '12'])
    expect(member.count('partitions-assigned')).toBe(3)
  })

  it('a newer owner disconnects the reader of an older one, which takes it for the loss that it is', async () => {
    const admin = await own.open()
    const topic = await createTopic(admin, 1)
    const store = new MemoryStore()
    const first = await join(store, topic, 1)
    await send(admin, numbers(topic, 0, 2))
    await first.until(() => first.values.length === 2)
    // As when it was stopped for longer than its session: the lease goes on without its knowledge.
    const scope = JSON.stringify([`${topic}.group`, topic])
    const [row] = (await store.leases(scope)).filter(({ name }) => name === '0')
    expect(await store.take(scope, '0', 'somebody', row)).toBe(true)
    const { connectionString } = own.server
    const thief = new EventHubConsumerClient(`${topic}.group`, connectionString, topic)
    onTestFinished(() => thief.close())
    const seen: number[] = []
    thief.subscribe(
      '0',
      {
        async processEvents(events) {
          for (const { sequenceNumber } of events) seen.push(sequenceNumber)
        },
        async processError() {}
      },
      { ownerLevel: row!.beat + 1, startPosition: { offset: '-1' }, maxWaitTimeInSeconds: 1 }
    )
    await first.until(() => first.count('partitions-revoked') === 1)
    expect(first.events.at(-1)).toMatchObject({ kind: 'partitions-revoked', deadline: 0 })
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual([0, 1])
    // `somebody` never beats: the lease comes back, with an epoch that is higher still.
    await first.until(() => first.values.length === 4, 25_000)
    expect(first.count('partitions-assigned')).toBe(2)
  }, 60_000)

  it('a reader that does not heed the leases is an error, after a few tries', async () => {
    const admin = await own.open()
    const topic = await createTopic(admin, 1)
    await send(admin, numbers(topic, 0, 1))
    const thief = new EventHubConsumerClient(`${topic}.group`, own.server.connectionString, topic)
    onTestFinished(() => thief.close())
    const member = await join(new MemoryStore(), topic, 1)
    await member.until(() => member.values.length === 1)
    thief.subscribe(
      '0',
      { async processEvents() {}, async processError() {} },
      { ownerLevel: 1_000_000, startPosition: { offset: '-1' }, maxWaitTimeInSeconds: 1 }
    )
    const error = await failure(() => member.until(() => false))
    expect(error).toMatchObject({ code: 'fenced', retryable: false })
    expect(error.message).toContain('higher owner level')
    expect(member.count('partitions-revoked')).toBe(5)
  }, 60_000)

  it('two members share the partitions and hand over without a fence', async () => {
    const admin = await own.open()
    const topic = await createTopic(admin, 4)
    const store = new MemoryStore()
    const first = await join(store, topic, 4)
    for (const partition of [0, 1, 2, 3]) await send(admin, numbers(topic, partition, 5, partition * 10))
    await first.until(() => first.values.length === 20)
    const positions = recordsOf(first.events).length
    expect(positions).toBe(20)
    const committed = [0, 1, 2, 3].map(partition => ({ topic, partition, position: '4' }))
    await first.reader.commit(committed)
    const second = await join(store, topic, 4)
    await Promise.all([
      first.until(() => first.count('partitions-revoked') === 2),
      second.until(() => second.count('partitions-assigned') === 2)
    ])
    for (const partition of [0, 1, 2, 3]) await send(admin, numbers(topic, partition, 1, 100 + partition))
    const all = (): string[] => [...first.values.slice(20), ...second.values].toSorted()
    await Promise.all([first.until(() => all().length === 4), second.until(() => all().length === 4)])
    expect(all()).toEqual(['100', '101', '102', '103'])
    await wait(500)
    expect(first.count('partitions-revoked')).toBe(2)
    expect(second.count('partitions-revoked')).toBe(0)
  }, 40_000)

  it('without owner levels readers of all groups share the consumer groups, and nobody is fenced', async () => {
    const admin = await own.open({ ownerLevels: false })
    const topic = await createTopic(admin, 1)
    await send(admin, numbers(topic, 0, 2))
    const open = (epoch: number): ReturnType<NonNullable<EventhubsAdapter['partitionReader']>> =>
      admin.partitionReader!({
        topic,
        partition: 0,
        from: 'earliest',
        readCommitted: true,
        maxBytes: 1 << 20,
        owner: { group: unique('group'), epoch }
      })
    const [old, young] = [await open(1), await open(2)]
    for (const reader of [old, young, old, young]) {
      const { records } = await reader.receive({ wait: 2_000 })
      expect(records.length === 2 || records.length === 0).toBe(true)
    }
  })
})

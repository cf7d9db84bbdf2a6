import { setTimeout as wait } from 'node:timers/promises'
import { EventHubProducerClient } from '@azure/event-hubs'
import { describe, expect, it } from 'vitest'
import { sizeOf, type RawRecord } from '../../../src/core/record.ts'
import { failure } from '../../support/failure.ts'
import { createTopic, numbers, readAll, record, send, texts } from '../../support/records.ts'
import { notRun, OwnServer, reader, running, take } from './server.ts'

const own = new OwnServer()
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

/** Writes without this adapter. */
async function write(topic: string, events: readonly object[]): Promise<void> {
  const producer = new EventHubProducerClient(own.server.connectionString, topic)
  await producer.sendBatch(events as never, { partitionId: '0' })
  await producer.close()
}

describe.skipIf(!running)(`reading a partition of a hub${notRun}`, () => {
  it('starts at a time: the first event of that time or later', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    for (let index = 0; index < 6; index++) {
      await send(adapter, numbers(topic, 0, 2, index * 2))
      await wait(5)
    }
    const records = await readAll(adapter, topic)
    const times = records.map(({ timestamp }) => timestamp)
    for (const index of [0, 4, 8, 11])
      expect(texts(await readAll(adapter, topic, 0, { from: { time: times[index]! } }))).toEqual(
        texts(records.filter(({ timestamp }) => timestamp >= times[index]!))
      )
    expect(await readAll(adapter, topic, 0, { from: { time: times[11]! + 1 } })).toEqual([])
    expect(await readAll(adapter, topic, 0, { from: { time: times[0]! - 0.5 } })).toHaveLength(12)
  })

  it('what retention has removed is lost only to those who had not read it', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 10))
    const positions = (await readAll(adapter, topic)).map(({ position }) => position)
    await own.server.control('trim', { hub: topic, partition: 0, before: 6 })
    expect(texts(await readAll(adapter, topic))).toEqual(range(6, 10))
    expect(texts(await readAll(adapter, topic, 0, { from: { after: positions[5]! } }))).toEqual(range(6, 10))
    const lost = await failure(() => readAll(adapter, topic, 0, { from: { after: positions[4]! } }))
    expect(lost).toMatchObject({ code: 'position-lost', retryable: false })
    expect(lost.message).toContain('was read up to 4, but begins at 6 by now')
    expect(await adapter.admin().behind!(topic, [positions[1]])).toEqual([{ topic, partition: 0, records: 4 }])
    await own.server.control('trim', { hub: topic, partition: 0, before: 10 })
    expect(await readAll(adapter, topic)).toEqual([])
    expect(await adapter.admin().behind!(topic, [])).toEqual([{ topic, partition: 0, records: 0 }])
  })

  it('retention that overtakes a reader is told, not jumped over', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 5))
    const reading = await reader(adapter, topic)
    expect(await take(reading, 5)).toHaveLength(5)
    // While its connection is gone.
    await own.server.control('drop')
    const other = await own.open()
    await send(other, numbers(topic, 0, 10, 5))
    await own.server.control('drop')
    await own.server.control('trim', { hub: topic, partition: 0, before: 12 })
    const seen: RawRecord[] = []
    const error = await failure(async () => {
      for (const end = performance.now() + 20_000; performance.now() < end;)
        try {
          seen.push(...(await reading.receive({ wait: 300, end: false })).records)
        } catch (thrown) {
          if (!adapter.classify(thrown).retryable) throw thrown
        }
    })
    expect(error.code).toBe('position-lost')
    expect(texts(seen)).toEqual(range(5, 5 + seen.length))
  })

  it('a hub that was made anew is not the one that was read before', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 10))
    const [last] = (await readAll(adapter, topic)).slice(-1)
    const admin = adapter.admin()
    await admin.deleteTopic(topic)
    await admin.createTopic({ topic, partitions: 1 })
    await send(adapter, numbers(topic, 0, 3))
    const error = await failure(() => readAll(adapter, topic, 0, { from: { after: last!.position } }))
    expect(error).toMatchObject({ code: 'position-lost' })
    expect(error.message).toContain('it is not the hub that was read before')
  })

  it('events of other producers: texts, numbers, several sections, a partition key', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await write(topic, [
      {
        body: { json: true },
        properties: { text: 'é', number: 5, yes: true, bytes: Buffer.from([0, 255]), when: new Date(7) }
      },
      { body: 'a value', bodyType: 'value' },
      { body: 42, bodyType: 'value' },
      { body: [1, 'two'], bodyType: 'sequence' },
      { body: Buffer.from('data'), bodyType: 'data', messageAnnotations: { 'x-opt-partition-key': 'its key' } }
    ])
    const records = await readAll(adapter, topic)
    expect(texts(records)).toEqual(['{"json":true}', 'a value', '42', '[1,"two"]', 'data'])
    const headers = Object.entries(records[0]!.headers).map(([name, value]) => [
      name,
      Buffer.from(value).toString('latin1')
    ])
    expect(Object.fromEntries(headers)).toEqual({
      text: 'Ã©',
      number: '5',
      yes: 'true',
      bytes: '\u0000ÿ',
      when: '"1970-01-01T00:00:00.007Z"'
    })
    expect(records[0]!.key).toBeNull()
    expect(Buffer.from(records[4]!.key!).toString()).toBe('its key')
  })

  it('a reader that is not received from holds little, whatever the size of the events and however long it was idle', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    const maxBytes = 1 << 20
    const reading = await reader(adapter, topic, { maxBytes })
    // A quiet time: the client asks the server for more with each of its waits.
    await send(adapter, numbers(topic, 0, 3))
    expect(await take(reading, 3)).toHaveLength(3)
    await wait(3_500)
    const value = Buffer.alloc(100_000, 1)
    for (let batch = 0; batch < 20; batch++)
      await send(
        adapter,
        Array.from({ length: 50 }, () => record(topic, 0, value))
      )
    await wait(1_500)
    const before = process.memoryUsage().arrayBuffers
    await wait(1_500)
    // 100 MB are waiting at the server.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 << 20)
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(60 << 20)
    let seen = 0
    for (const end = performance.now() + 25_000; seen < 1_000 && performance.now() < end;) {
      const { records } = await reading.receive({ wait: 500, end: false })
      const bytes = records.reduce((sum, each) => sum + sizeOf(each), 0)
      expect(bytes).toBeLessThanOrEqual(maxBytes + 200_000)
      for (const each of records) expect(each.position).toBe(String(seen++ + 3))
    }
    expect(seen).toBe(1_000)
  }, 60_000)

  it('in a consumer group that is full the next one is taken; when all are full, the sentence says so', async () => {
    const groups = ['$Default', 'second']
    const adapter = await own.open({ consumerGroups: groups })
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 2))
    const readers = await Promise.all(Array.from({ length: 10 }, () => reader(adapter, topic)))
    for (const each of readers) expect(texts(await take(each, 2))).toEqual(['0', '1'])
    const error = await failure(async () => take(await reader(adapter, topic), 1))
    expect(error).toMatchObject({ code: 'throttled', retryable: true })
    expect(error.message).toMatch(/takes five readers of a partition, and \$Default, second are full/)
    await readers[3]!.close()
    expect(await take(await reader(adapter, topic), 2)).toHaveLength(2)
  })

  it('owner levels need a consumer group of the name: it is made where that can be done', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 2))
    const { connectionString } = own.server
    const { eventhubs } = await import('../../../src/adapters/eventhubs/index.ts')
    const { systemEnvironment } = await import('../../../src/core/environment.ts')
    await using stack = new AsyncDisposableStack()
    const bare = stack.adopt(eventhubs({ connectionString, ownerLevels: true }), each => each.close())
    await bare.open(systemEnvironment)
    const owner = { group: 'orders.count', epoch: 1 }
    const error = await failure(async () => take(await reader(bare, topic, { owner }), 1))
    expect(error).toMatchObject({ code: 'unknown-topic' })
    expect(error.message).toContain(
      "its consumer group 'orders.count' is not there: create it, or set 'ownerLevels' to false"
    )
    expect(await take(await reader(adapter, topic, { owner }), 2)).toHaveLength(2)
    expect(await take(await reader(bare, topic, { owner: { ...owner, epoch: 2 } }), 2)).toHaveLength(2)
  })
})

/** The private view of a partition: what the vitals are read by. */
import { describe, expect, test } from 'vitest'
import {
  atEnd,
  createTopic,
  foreignClient,
  linger,
  notRun,
  numbers,
  opened,
  running,
  send,
  subscribe,
  texts
} from './server.ts'
import type { PubsubAdapter } from './server.ts'
import type { PartitionReader } from '../../../src/spec/index.ts'

async function view(
  adapter: PubsubAdapter,
  topic: string,
  partition = 0,
  maxBytes = 1 << 20
): Promise<PartitionReader> {
  const reader = await adapter.partitionReader!({ topic, partition, from: 'earliest', readCommitted: false, maxBytes })
  atEnd(() => reader.close())
  return reader
}

describe.skipIf(!running).concurrent(`the private view of a partition${notRun}`, () => {
  test('is a subscription that ends with it, or after a day', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const reader = await view(adapter, topic)
    const client = foreignClient()
    const [[subscription]] = await client.topic(topic).getSubscriptions()
    const [{ expirationPolicy, enableMessageOrdering, filter }] = await subscription!.getMetadata()
    expect(Number(expirationPolicy!.ttl!.seconds)).toBe(86_400)
    expect([enableMessageOrdering, filter]).toEqual([true, ''])
    await reader.close()
    expect((await client.topic(topic).getSubscriptions())[0]).toEqual([])
  })

  test('sees its partition alone, in order, and its marker is for nobody else', async () => {
    const adapter = await opened({ orderedTopics: ['*'] })
    const topic = await createTopic(adapter, 2)
    const subscription = await subscribe(adapter, topic, { partitions: [0, 1] })
    const [reader, other] = [await view(adapter, topic, 1), await view(adapter, topic, 1)]
    await send(adapter, [...numbers(topic, 0, 50), ...numbers(topic, 1, 50, 50)])
    for (const each of [reader, other]) {
      const { records, atEnd: end } = await each.receive({ wait: 0 })
      expect(texts(records)).toEqual(Array.from({ length: 50 }, (_, index) => String(50 + index)))
      expect(end).toBe(true)
    }
    expect(await linger(subscription, 700), 'the records alone').toHaveLength(100)
    expect((await reader.receive({ wait: 50 })).records).toEqual([])
  })

  test('gives what is larger than its bound piece by piece', async () => {
    const adapter = await opened({ orderedTopics: ['*'] })
    const topic = await createTopic(adapter)
    const reader = await view(adapter, topic, 0, 64 * 1024)
    for (let batch = 0; batch < 20; batch++)
      await send(
        adapter,
        numbers(topic, 0, 10, batch * 10).map(each => ({ ...each, value: Buffer.alloc(100_000, '0') }))
      )
    let seen = 0
    for (let end = false; !end;) {
      const batch = await reader.receive({ wait: 0 })
      // 20 MB are waiting; the service has at most 1 MiB under way.
      expect(batch.records.length).toBeLessThanOrEqual(12)
      seen += batch.records.length
      end = batch.atEnd
    }
    expect(seen).toBe(200)
  })

  test('has no past to start at', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    for (const from of [{ time: 5 }, { after: 'm1' }])
      await expect(
        adapter.partitionReader!({ topic, partition: 0, from, readCommitted: false, maxBytes: 1 })
      ).rejects.toMatchObject({ code: 'unsupported' })
  })
})

import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AggregateWriter } from '../../../src/adapters/kinesis/aggregate.ts'
import type { AnyAdapter, PartitionReader, StartAt } from '../../../src/spec/index.ts'
import { createTopic, numbers, readAll, record, send, texts, unique } from '../../support/records.ts'
import { ask, merge, notRun, open, running, split } from './server.ts'

const hashOf = (key: string): bigint => BigInt(`0x${createHash('md5').update(key).digest('hex')}`)
const partitionOf = (key: string, partitions: number): number => Number((hashOf(key) * BigInt(partitions)) >> 128n)
const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`)

describe.runIf(running)('what others write', () => {
  let adapter: AnyAdapter
  beforeEach(async () => {
    adapter = await open({ pollInterval: 50 })
  })
  afterEach(() => adapter.close())

  const put = (stream: string, key: string, data: string | Buffer, hashKey?: bigint): Promise<unknown> =>
    ask(adapter, 'PutRecord', {
      StreamName: stream,
      PartitionKey: key,
      Data: Buffer.from(data),
      ...(hashKey !== undefined && { ExplicitHashKey: String(hashKey) })
    })

  async function all(topic: string, partitions: number): Promise<string[][]> {
    return Promise.all(
      Array.from({ length: partitions }, async (_, partition) => texts(await readAll(adapter, topic, partition)))
    )
  }

  it('is in the partition that its partition key leads to, whatever the shards', async () => {
    for (const shards of [1, 2, 3, 4, 6]) {
      const topic = await createTopic(adapter, 4, { shards: String(shards) })
      for (const key of keys.slice(0, 16)) await put(topic, key, key)
      const found = await all(topic, 4)
      for (const [partition, values] of found.entries())
        expect(values.toSorted()).toEqual(
          keys
            .slice(0, 16)
            .filter(key => partitionOf(key, 4) === partition)
            .toSorted()
        )
    }
  })

  it('has a key, a value and nothing else', async () => {
    const topic = await createTopic(adapter)
    await put(topic, 'ключ', 'value')
    const [read] = await readAll(adapter, topic)
    expect(read).toMatchObject({ headers: {}, stamp: undefined })
    expect([Buffer.from(read!.key!).toString(), Buffer.from(read!.value!).toString()]).toEqual(['ключ', 'value'])
    expect(Math.abs(read!.timestamp - Date.now())).toBeLessThan(60_000)
  })

  it('in aggregates is taken apart, with its tags as headers; what has strayed into a shard is left to its producer', async () => {
    const topic = await createTopic(adapter, 2, { shards: '2' })
    const low = 1n << 126n
    const high = 3n << 126n
    const aggregate = (hashKey: bigint, name: string): Buffer => {
      const writer = new AggregateWriter(String(hashKey), 0)
      for (let index = 0; index < 3; index++)
        writer.add(`${name}-key`, Buffer.from(`${name}-${index}`), [['origin', name]], 1e6)
      return writer.finish()
    }
    await put(topic, 'a', aggregate(low, 'low'), low)
    await put(topic, 'a', aggregate(high, 'high'), high)
    await put(topic, 'a', aggregate(low, 'strayed'), high)
    const [first, second] = await all(topic, 2)
    expect(first).toEqual(['low-0', 'low-1', 'low-2'])
    expect(second).toEqual(['high-0', 'high-1', 'high-2'])
    const [read] = await readAll(adapter, topic, 1)
    expect(Buffer.from(read!.headers['origin']!).toString()).toBe('high')
    expect(Buffer.from(read!.key!).toString()).toBe('high-key')
  })

  it('with a hash key of its own is read once, where no partition key would lead', async () => {
    const topic = await createTopic(adapter, 4, { shards: '4' })
    for (let shard = 0n; shard < 4n; shard++)
      for (const key of keys.slice(0, 5)) await put(topic, key, `${shard}-${key}`, (shard << 126n) + 17n)
    const found = (await all(topic, 4)).flat()
    expect(found.toSorted()).toEqual(
      [0, 1, 2, 3].flatMap(shard => keys.slice(0, 5).map(key => `${shard}-${key}`)).toSorted()
    )
  })

  it('on a stream without a tag is read by a partition count that is given, and refused without', async () => {
    const stream = unique('foreign')
    await ask(adapter, 'CreateStream', { StreamName: stream, ShardCount: 3 })
    await new Promise(resolve => setTimeout(resolve, 100))
    for (const key of keys) await put(stream, key, key)
    const options = { topic: stream, partition: 0, from: 'earliest' as const, readCommitted: true, maxBytes: 1 << 20 }
    await expect(adapter.partitionReader!(options)).rejects.toMatchObject({ code: 'bad-config' })
    const given = await open({ pollInterval: 50, partitions: { [stream]: 8 } })
    try {
      expect(await given.admin().describeTopic(stream)).toEqual({ topic: stream, partitions: 8 })
      const found = await Promise.all(
        Array.from({ length: 8 }, async (_, partition) => texts(await readAll(given, stream, partition)))
      )
      for (const [partition, values] of found.entries())
        expect(values.toSorted()).toEqual(keys.filter(key => partitionOf(key, 8) === partition).toSorted())
    } finally {
      await given.close()
    }
  })

  describe('a partition that lies in several shards', () => {
    const options = (topic: string, from: StartAt) => ({
      topic,
      partition: 0,
      from,
      readCommitted: true,
      maxBytes: 1 << 20
    })

    async function take(reader: PartitionReader, count: number): Promise<{ value: string; position: string }[]> {
      const signal = AbortSignal.timeout(20_000)
      const seen: { value: string; position: string }[] = []
      while (seen.length < count)
        for (const { value, position } of (await reader.receive({ wait: 300, signal })).records)
          seen.push({ value: Buffer.from(value!).toString(), position })
      return seen
    }

    it('goes on from any of its positions with all that was not read, and nothing that was', async () => {
      const topic = await createTopic(adapter, 1, { shards: '4' })
      for (const key of keys) await put(topic, key, `1-${key}`)
      await split(adapter, topic, 2)
      await merge(adapter, topic, 0)
      for (const key of keys) await put(topic, key, `2-${key}`)
      const reader = await adapter.partitionReader!(options(topic, 'earliest'))
      const seen = await take(reader, 80)
      await reader.close()
      expect(seen.map(({ value }) => value).toSorted()).toEqual(
        keys.flatMap(key => [`1-${key}`, `2-${key}`]).toSorted()
      )
      for (const key of keys) {
        const own = seen.filter(({ value }) => value.endsWith(`-${key}`)).map(({ value }) => value)
        expect(own).toEqual([`1-${key}`, `2-${key}`])
      }
      for (const at of [0, 3, 17, 39, 45, 60, 78]) {
        const again = await adapter.partitionReader!(options(topic, { after: seen[at]!.position }))
        const rest = await take(again, 79 - at)
        expect(rest.map(({ value }) => value).toSorted()).toEqual(
          seen
            .slice(at + 1)
            .map(({ value }) => value)
            .toSorted()
        )
        await again.close()
      }
    })

    it('starts at the latest in all of them, and remembers those that gave nothing', async () => {
      const topic = await createTopic(adapter, 1, { shards: '3' })
      for (const key of keys) await put(topic, key, 'old')
      const reader = await adapter.partitionReader!(options(topic, 'latest'))
      await put(topic, 'key-1', 'new')
      const [first] = await take(reader, 1)
      expect(first!.value).toBe('new')
      await reader.close()
      for (const key of keys.slice(0, 9)) await put(topic, key, `newer ${key}`)
      const again = await adapter.partitionReader!(options(topic, { after: first!.position }))
      expect((await take(again, 9)).map(({ value }) => value).toSorted()).toEqual(
        keys
          .slice(0, 9)
          .map(key => `newer ${key}`)
          .toSorted()
      )
      await again.close()
    })
  })

  it('beside what we write: both are read, ours in order', async () => {
    const topic = await createTopic(adapter, 2, { shards: '2' })
    await send(adapter, numbers(topic, 0, 5))
    for (const key of keys.slice(0, 10)) await put(topic, key, key)
    await send(adapter, [...numbers(topic, 0, 5, 5), record(topic, 1, 'other')])
    const [first, second] = await all(topic, 2)
    expect(first!.filter(text => !text.startsWith('key'))).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    expect([...first!, ...second!].filter(text => text.startsWith('key'))).toHaveLength(10)
  })
})

it.skipIf(running)(`what others write${notRun}`, () => {})

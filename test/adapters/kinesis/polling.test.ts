import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { classify } from '../../../src/adapters/kinesis/errors.ts'
import type { AnyAdapter, PartitionReader, StartAt } from '../../../src/spec/index.ts'
import { createTopic, numbers, readAll, record, send, texts } from '../../support/records.ts'
import { ask, injectFaults, notRun, open, running, serviceError, split, throttled } from './server.ts'

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

describe.runIf(running)('looking at shards', () => {
  let adapter: AnyAdapter
  const others: AnyAdapter[] = []
  afterEach(async () => {
    for (const each of [adapter, ...others.splice(0)]) await each.close()
  })

  function reader(
    topic: string,
    partition = 0,
    from: StartAt = 'earliest',
    maxBytes = 1 << 20,
    by = adapter
  ): Promise<PartitionReader> {
    return by.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes })
  }

  async function receive(from: PartitionReader, count: number): Promise<string[]> {
    const signal = AbortSignal.timeout(20_000)
    const seen: string[] = []
    while (seen.length < count) seen.push(...texts((await from.receive({ wait: 300, signal })).records))
    return seen
  }

  /** When the shards of a stream were looked at, ms. */
  function looks(by: AnyAdapter, into: { at: number; input: any }[] = []): { at: number; input: any }[] {
    injectFaults(by, (name, input) => {
      if (name === 'GetRecords') into.push({ at: performance.now(), input })
      return undefined
    })
    return into
  }

  it('takes five calls per second and shard at most, whoever reads in this process', async () => {
    adapter = await open({ pollInterval: 1 })
    const other = await open({ pollInterval: 1 })
    others.push(other)
    const topic = await createTopic(adapter, 8, { shards: '1' })
    const calls: { at: number; input: any }[] = []
    looks(adapter, calls)
    looks(other, calls)
    const readers = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        reader(topic, index % 8, 'earliest', 1 << 20, index < 8 ? adapter : other)
      )
    )
    for (let round = 0; round < 8; round++) {
      await send(
        adapter,
        Array.from({ length: 8 }, (_, partition) => record(topic, partition, String(round)))
      )
      await wait(250)
    }
    for (const each of readers) expect(await receive(each, 8)).toEqual(range(0, 8))
    for (const { at } of calls) {
      const inThatSecond = calls.filter(call => call.at >= at && call.at < at + 995)
      expect(inThatSecond.length).toBeLessThanOrEqual(5)
    }
  })

  it('serves many partitions of a shard by one cursor, after they have met', async () => {
    adapter = await open({ pollInterval: 100 })
    const topic = await createTopic(adapter, 8, { shards: '1' })
    for (let round = 0; round < 3; round++)
      await send(
        adapter,
        Array.from({ length: 8 }, (_, partition) => record(topic, partition, String(round)))
      )
    const positions = await Promise.all(Array.from({ length: 8 }, (_, partition) => readAll(adapter, topic, partition)))
    const calls = looks(adapter)
    const readers = await Promise.all(
      positions.map((records, partition) => reader(topic, partition, { after: records[partition % 3]!.position }))
    )
    for (const [partition, each] of readers.entries())
      if (partition % 3 < 2) expect(await receive(each, 2 - (partition % 3))).toEqual(range((partition % 3) + 1, 3))
    // All of them in the first one or two looks, and from then on together.
    expect(calls.length).toBeLessThanOrEqual(3)
    await send(
      adapter,
      Array.from({ length: 8 }, (_, partition) => record(topic, partition, 'new'))
    )
    await Promise.all(readers.map(async each => expect(await receive(each, 1)).toEqual(['new'])))
    expect(calls.length).toBeLessThanOrEqual(7)
  })

  it('leaves a reader behind that takes nothing, and gives it everything when it does', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter, 2, { shards: '1' })
    const slow = await reader(topic, 0, 'earliest', 2_000)
    const quick = await reader(topic, 1, 'earliest', 1 << 20)
    const value = (index: number): Buffer => Buffer.from(String(index).padEnd(1_000))
    for (let round = 0; round < 20; round++)
      await send(
        adapter,
        [0, 1].map(partition => record(topic, partition, value(round)))
      )
    expect((await receive(quick, 20)).map(text => text.trim())).toEqual(range(0, 20))
    await send(adapter, numbers(topic, 1, 5, 20))
    expect(await receive(quick, 5)).toEqual(range(20, 25))
    expect((await receive(slow, 20)).map(text => text.trim())).toEqual(range(0, 20))
    await send(
      adapter,
      [0, 1].map(partition => record(topic, partition, 'both'))
    )
    expect([await receive(slow, 1), await receive(quick, 1)]).toEqual([['both'], ['both']])
  })

  it('gets slower while Kinesis refuses, tells of it, loses nothing, and gets faster again', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    const told: { topics: readonly string[]; attempt: number; error: unknown }[] = []
    const onEvent = (event: unknown): void => void told.push(event as (typeof told)[number])
    subscribe('tidemark:receive-retried', onEvent)
    try {
      const calls = looks(adapter)
      let refusing = true
      injectFaults(adapter, name => (refusing && name === 'GetRecords' ? throttled() : undefined))
      const waiting = await reader(topic)
      await send(adapter, numbers(topic, 0, 10))
      await wait(2_500)
      expect(calls.length).toBeGreaterThan(1)
      expect(calls.length).toBeLessThan(6)
      expect(await waiting.receive({ wait: 10 })).toEqual({ records: [], atEnd: false })
      refusing = false
      expect(await receive(waiting, 10)).toEqual(range(0, 10))
      expect(told.length).toBeGreaterThanOrEqual(2)
      expect(told.map(({ attempt }) => attempt)).toEqual(told.map((_, index) => index + 1))
      expect(
        told.every(({ topics, error }) => topics[0] === topic && adapter.classify(error).code === 'throttled')
      ).toBe(true)
      const before = calls.length
      for (let round = 0; round < 10; round++) await readAll(adapter, topic)
      await wait(1_000)
      expect(calls.length - before).toBeGreaterThan(8)
    } finally {
      unsubscribe('tidemark:receive-retried', onEvent)
    }
  })

  it('renews iterators that have expired, wherever it is', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 5))
    const used = new Set<string>()
    const asked: string[] = []
    // Every iterator is good for one look.
    injectFaults(adapter, (name, input) => {
      if (name === 'GetShardIterator') asked.push(input.ShardIteratorType)
      if (name !== 'GetRecords') return undefined
      const expired = used.size > 0 && !used.has('fresh')
      used.delete('fresh')
      used.add(input.ShardIterator)
      return expired ? serviceError('ExpiredIteratorException', 'Iterator expired') : undefined
    })
    injectFaults(adapter, name => {
      if (name === 'GetShardIterator') used.add('fresh')
      return undefined
    })
    const latest = await reader(topic, 0, 'latest')
    const whole = await reader(topic)
    expect(await receive(whole, 5)).toEqual(range(0, 5))
    await send(adapter, numbers(topic, 0, 5, 5))
    expect(await receive(whole, 5)).toEqual(range(5, 10))
    expect(await receive(latest, 5)).toEqual(range(5, 10))
    expect(asked).toContain('AFTER_SEQUENCE_NUMBER')
  })

  it('fails once for what is no matter of pace, and goes on where it was', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    const waiting = await reader(topic)
    await send(adapter, numbers(topic, 0, 5))
    expect(await receive(waiting, 5)).toEqual(range(0, 5))
    let failing = true
    injectFaults(adapter, name => {
      if (!failing || name !== 'GetRecords') return undefined
      failing = false
      return serviceError('InternalFailure', 'internal', 500)
    })
    const failed = (async () => {
      for (;;) await waiting.receive({ wait: 500 })
    })()
    await expect(failed.catch(error => Promise.reject(adapter.classify(error)))).rejects.toEqual({
      code: 'connection',
      retryable: true
    })
    await send(adapter, numbers(topic, 0, 5, 5))
    expect(await receive(waiting, 5)).toEqual(range(5, 10))
  })

  it('starts at a time, by the arrival of records, in shards that are closed too', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter, 1, { shards: '1' })
    await send(adapter, numbers(topic, 0, 5))
    await split(adapter, topic, 0)
    await wait(30)
    await send(adapter, numbers(topic, 0, 5, 5))
    await wait(30)
    await split(adapter, topic, 0)
    await send(adapter, numbers(topic, 0, 5, 10))
    const records = await readAll(adapter, topic)
    expect(texts(records)).toEqual(range(0, 15))
    const startingAt = async (time: number): Promise<string[]> =>
      texts(await readAll(adapter, topic, 0, { from: { time } }))
    expect(await startingAt(records[5]!.timestamp)).toEqual(range(5, 15))
    expect(await startingAt(records[5]!.timestamp + 1)).toEqual(range(10, 15))
    expect(await startingAt(records[0]!.timestamp - 1)).toEqual(range(0, 15))
    expect(await startingAt(records[14]!.timestamp + 1)).toEqual([])
    expect(await startingAt(Date.now() + 60_000)).toEqual([])
  })

  it('tells how far it is behind', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 5))
    await wait(300)
    for (let round = 0; round < 5; round++) await send(adapter, [record(topic, 0, Buffer.alloc(50_000))])
    const behind = (await reader(topic, 0, 'earliest', 1)) as PartitionReader & {
      readonly behindLatest: number | undefined
    }
    await behind.receive({ wait: 2_000 })
    expect(behind.behindLatest).toBeGreaterThan(200)
    while (!(await behind.receive({ wait: 200 })).atEnd);
    expect(behind.behindLatest).toBe(0)
  })

  it('of a position whose record is gone is an error when newer ones are there, and none when nothing is', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 5))
    const records = await readAll(adapter, topic)
    const [shard, sequence] = records[2]!.position.split(':') as [string, string]
    // A sequence number that no record has, before all that are there: its record has been trimmed.
    const trimmed = `${shard}:${BigInt(sequence) - 10_000_000n}:0`
    const lost = await reader(topic, 0, { after: trimmed })
    const reading = (async () => {
      for (;;) await lost.receive({ wait: 500 })
    })()
    await expect(reading).rejects.toMatchObject({ code: 'position-lost', retryable: false })
    const empty = await createTopic(adapter)
    const waiting = await reader(empty, 0, { after: trimmed })
    expect(await waiting.receive({ wait: 300 })).toEqual({ records: [], atEnd: true })
    await send(adapter, [record(empty, 0, 'first')])
    expect(await receive(waiting, 1)).toEqual(['first'])
    await expect(reader(topic, 0, { after: 'nonsense' })).rejects.toMatchObject({ code: 'position-lost' })
  })

  it('ends with unknown-topic when the stream is deleted', async () => {
    adapter = await open({ pollInterval: 50 })
    const topic = await createTopic(adapter)
    const waiting = await reader(topic)
    await waiting.receive({ wait: 100 })
    await ask(adapter, 'DeleteStream', { StreamName: topic })
    const reading = (async () => {
      for (;;) {
        try {
          await waiting.receive({ wait: 500 })
        } catch (error) {
          // While it is being deleted, Kinesis says that it is in use.
          if (!classify(error).retryable) throw error
        }
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'unknown-topic' })
  })
})

it.skipIf(running)(`looking at shards${notRun}`, () => {})

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it } from 'vitest'
import type { AnyAdapter, PartitionReader, StartAt } from '../../../src/spec/index.ts'
import { createTopic, numbers, readAll, record, send, texts, unique, until } from '../../support/records.ts'
import { ask, injectFaults, notRun, open, running, serviceError, split } from './server.ts'

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

describe.runIf(running)('enhanced fan-out', () => {
  let adapter: AnyAdapter
  afterEach(() => adapter.close())

  function reader(
    topic: string,
    partition = 0,
    from: StartAt = 'earliest',
    maxBytes = 1 << 20
  ): Promise<PartitionReader> {
    return adapter.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes })
  }

  async function receive(from: PartitionReader, count: number): Promise<string[]> {
    const signal = AbortSignal.timeout(20_000)
    const seen: string[] = []
    while (seen.length < count) seen.push(...texts((await from.receive({ wait: 5_000, signal })).records))
    return seen
  }

  it('registers its consumer and gets records pushed', async () => {
    const fanOut = unique('consumer')
    adapter = await open({ fanOut, pollInterval: 60_000 })
    const topic = await createTopic(adapter, 2, { shards: '1' })
    await send(adapter, [...numbers(topic, 0, 5), ...numbers(topic, 1, 5)])
    // Later, looking gives nothing: what comes is pushed.
    let looking = true
    injectFaults(adapter, name => (name !== 'GetRecords' || looking ? undefined : new Promise<undefined>(() => {})))
    const readers = [await reader(topic, 0), await reader(topic, 1)]
    expect(await receive(readers[0]!, 5)).toEqual(range(0, 5))
    // Who comes second catches up by looking.
    expect(await receive(readers[1]!, 5)).toEqual(range(0, 5))
    looking = false
    for (let round = 1; round < 4; round++) {
      const partitions = [0, 1]
      await send(
        adapter,
        partitions.flatMap(partition => numbers(topic, partition, 5, round * 5))
      )
      for (const each of readers) expect(await receive(each, 5)).toEqual(range(round * 5, round * 5 + 5))
    }
    const { StreamDescriptionSummary } = await ask(adapter, 'DescribeStreamSummary', { StreamName: topic })
    const { Consumers } = await ask(adapter, 'ListStreamConsumers', { StreamARN: StreamDescriptionSummary.StreamARN })
    expect(Consumers.map(({ ConsumerName }: { ConsumerName: string }) => ConsumerName)).toEqual([fanOut])
  })

  it('gives each record once, to readers that come at any time and are slow', async () => {
    adapter = await open({ fanOut: unique('consumer'), pollInterval: 100 })
    const topic = await createTopic(adapter, 2, { shards: '1' })
    const value = (index: number): string => String(index).padEnd(500)
    const write = async (from: number, to: number): Promise<void> => {
      for (let index = from; index < to; index++)
        await send(
          adapter,
          [0, 1].map(partition => record(topic, partition, value(index)))
        )
    }
    const first = await reader(topic, 0)
    await write(0, 10)
    const small = await reader(topic, 1, 'earliest', 1_500)
    const writing = write(10, 40)
    const [one, two] = await Promise.all([receive(first, 40), receive(small, 40)])
    await writing
    expect(one).toEqual(range(0, 40).map(text => text.padEnd(500)))
    expect(two).toEqual(one)
    const late = await reader(topic, 0)
    expect(await receive(late, 40)).toEqual(one)
    await write(40, 45)
    for (const each of [first, small, late])
      expect(await receive(each, 5)).toEqual(range(40, 45).map(text => text.padEnd(500)))
  })

  it('goes on over a split, which it finds by looking', async () => {
    adapter = await open({ fanOut: unique('consumer') })
    const topic = await createTopic(adapter, 1, { shards: '1' })
    const each = await reader(topic)
    await send(adapter, numbers(topic, 0, 5))
    expect(await receive(each, 5)).toEqual(range(0, 5))
    await split(adapter, topic, 0)
    await send(adapter, numbers(topic, 0, 5, 5))
    expect(await receive(each, 5)).toEqual(range(5, 10))
    expect(texts(await readAll(adapter, topic))).toEqual(range(0, 10))
  })

  it('that is refused is told, and does not keep records from being read', async () => {
    adapter = await open({ fanOut: unique('consumer'), pollInterval: 50 })
    const told: unknown[] = []
    const onEvent = (event: unknown): void => void told.push((event as { error: unknown }).error)
    subscribe('tidemark:receive-retried', onEvent)
    try {
      injectFaults(adapter, name =>
        name === 'SubscribeToShard'
          ? serviceError('ResourceInUseException', 'Another active subscription exists')
          : undefined
      )
      const topic = await createTopic(adapter)
      const each = await reader(topic)
      await send(adapter, numbers(topic, 0, 5))
      expect(await receive(each, 5)).toEqual(range(0, 5))
      await until(async () => told.length > 0)
      expect(String(told[0])).toBe('ResourceInUseException: Another active subscription exists')
      await send(adapter, numbers(topic, 0, 5, 5))
      expect(await receive(each, 5)).toEqual(range(5, 10))
    } finally {
      unsubscribe('tidemark:receive-retried', onEvent)
    }
  })

  it('subscribes again where it was when a subscription ends', async () => {
    adapter = await open({ fanOut: unique('consumer'), pollInterval: 60_000 })
    const topic = await createTopic(adapter)
    const other = await open()
    const places: any[] = []
    // A subscription that gives one event and ends, as all do after five minutes.
    injectFaults(adapter, async (name, input) => {
      // Looking gives nothing.
      if (name === 'GetRecords') return new Promise<undefined>(() => {})
      if (name !== 'SubscribeToShard') return undefined
      places.push(input.StartingPosition)
      const { Type, SequenceNumber } = input.StartingPosition
      const { ShardIterator } = await ask(other, 'GetShardIterator', {
        StreamName: topic,
        ShardId: input.ShardId,
        ShardIteratorType: Type,
        ...(SequenceNumber && { StartingSequenceNumber: SequenceNumber })
      })
      const events = async function* (): AsyncGenerator<object> {
        const content = await ask(other, 'GetRecords', { ShardIterator, Limit: 2 })
        yield { SubscribeToShardEvent: { ...content, ContinuationSequenceNumber: '1' } }
      }
      return { EventStream: events() }
    })
    for (let index = 0; index < 6; index++) await send(adapter, [record(topic, 0, String(index))])
    const each = await reader(topic, 0, 'earliest', 1 << 20)
    expect(await receive(each, 6)).toEqual(range(0, 6))
    expect(places.slice(0, 3).map(({ Type }) => Type)).toEqual([
      'TRIM_HORIZON',
      'AFTER_SEQUENCE_NUMBER',
      'AFTER_SEQUENCE_NUMBER'
    ])
    await other.close()
  })
})

it.skipIf(running)(`enhanced fan-out${notRun}`, () => {})

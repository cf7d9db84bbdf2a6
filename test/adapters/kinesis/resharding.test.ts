import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnyAdapter, PartitionReader } from '../../../src/spec/index.ts'
import { createTopic, numbers, readAll, send, texts } from '../../support/records.ts'
import { merge, notRun, open, running, split, updateShardCount } from './server.ts'

const range = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))

/** Sends numbers to every partition until it is stopped, and says how many each one got. */
class Stream {
  sent = 0
  readonly #adapter: AnyAdapter
  readonly #topic: string
  readonly #partitions: number
  #stopped = false
  #running: Promise<void> | undefined

  constructor(adapter: AnyAdapter, topic: string, partitions: number) {
    this.#adapter = adapter
    this.#topic = topic
    this.#partitions = partitions
  }

  start(): this {
    this.#running = this.#run()
    return this
  }

  async past(count: number): Promise<void> {
    for (const deadline = performance.now() + 20_000; this.sent < count;) {
      if (performance.now() > deadline) throw new Error(`only ${this.sent} of ${count} were sent`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  async stop(): Promise<number> {
    this.#stopped = true
    await this.#running
    return this.sent
  }

  async #run(): Promise<void> {
    const producer = await this.#adapter.producer()
    while (!this.#stopped) {
      const partitions = Array.from({ length: this.#partitions }, (_, partition) => partition)
      const batch = partitions.flatMap(partition => numbers(this.#topic, partition, 10, this.sent))
      for (const result of await producer.send(batch)) if (!result.ok) throw result.error
      this.sent += 10
    }
    await producer.close()
  }
}

/** Reads until so many records have come. */
async function collect(reader: PartitionReader, into: string[], count: () => number): Promise<void> {
  const signal = AbortSignal.timeout(25_000)
  while (into.length < count()) {
    const { records } = await reader.receive({ wait: 500, signal })
    into.push(...texts(records))
  }
}

describe.runIf(running)('shards that change under way', () => {
  let adapter: AnyAdapter
  beforeAll(async () => {
    adapter = await open({ pollInterval: 50 })
  })
  afterAll(() => adapter.close())

  const changes: Readonly<Record<string, (topic: string) => Promise<void>>> = {
    'a split': topic => split(adapter, topic, 0),
    'a split beside the middle': topic => split(adapter, topic, 1, 250n * 10n ** 36n),
    'a merge': topic => merge(adapter, topic, 0),
    'a split and a merge of its halves': async topic => {
      await split(adapter, topic, 1)
      await merge(adapter, topic, 1)
    },
    'a shard count that is doubled': topic => updateShardCount(adapter, topic, 4),
    'a shard count that is halved': topic => updateShardCount(adapter, topic, 1)
  }
  it.each(Object.entries(changes))(
    '%s while records are written and read: none lost, none twice, in order',
    async (_, change) => {
      const partitions = 4
      const topic = await createTopic(adapter, partitions, { shards: '2' })
      const seen: string[][] = Array.from({ length: partitions }, () => [])
      const readers = await Promise.all(
        seen.map((_, partition) =>
          adapter.partitionReader!({ topic, partition, from: 'earliest', readCommitted: true, maxBytes: 1 << 20 })
        )
      )
      const stream = new Stream(adapter, topic, partitions).start()
      let total = Infinity
      const reading = Promise.all(readers.map((reader, partition) => collect(reader, seen[partition]!, () => total)))
      await stream.past(100)
      await change(topic)
      await stream.past(stream.sent + 100)
      total = await stream.stop()
      await reading
      for (const partition of seen) expect(partition).toEqual(range(total))
      await Promise.all(readers.map(reader => reader.close()))
      // And for whoever comes later, from the start and from any place.
      const records = await readAll(adapter, topic, 2)
      expect(texts(records)).toEqual(range(total))
      for (const at of [0, Math.floor(total / 2), total - 1]) {
        const after = { after: records[at]!.position }
        expect(texts(await readAll(adapter, topic, 2, { from: after }))).toEqual(range(total).slice(at + 1))
      }
    }
  )

  it('positions grow across splits and merges', async () => {
    const topic = await createTopic(adapter, 2, { shards: '1' })
    await send(adapter, numbers(topic, 0, 5))
    await split(adapter, topic, 0)
    await send(adapter, numbers(topic, 0, 5, 5))
    await merge(adapter, topic, 0)
    await send(adapter, numbers(topic, 0, 5, 10))
    const records = await readAll(adapter, topic, 0)
    expect(texts(records)).toEqual(range(15))
    const positions = records.map(({ position }) => position)
    for (let index = 1; index < positions.length; index++)
      expect(adapter.comparePositions(positions[index - 1]!, positions[index]!)).toBeLessThan(0)
    expect(new Set(positions.map(position => position.split(':')[0]))).toEqual(new Set(['0', '1', '3']))
  })

  it('a reader at the latest goes on into shards that come after it was opened', async () => {
    const topic = await createTopic(adapter, 1, { shards: '1' })
    await send(adapter, numbers(topic, 0, 5))
    const options = { topic, partition: 0, readCommitted: true, maxBytes: 1 << 20 }
    const reader = await adapter.partitionReader!({ ...options, from: 'latest' })
    await split(adapter, topic, 0)
    await send(adapter, numbers(topic, 0, 5, 5))
    const seen: string[] = []
    await collect(reader, seen, () => 5)
    expect(seen).toEqual(['5', '6', '7', '8', '9'])
    await reader.close()
  })
})

it.skipIf(running)(`resharding${notRun}`, () => {})

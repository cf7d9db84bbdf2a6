/** What users of other systems complain about in event time, tried here. Each case names its source; docs/neighbours.md has all of them. */
import { describe, expect, inject, it } from 'vitest'
import {
  aggregate,
  connect,
  json,
  number,
  pipeline,
  processor,
  source,
  text,
  topic,
  tumbling,
  type Pipeline
} from '../../src/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { World } from '../pipeline/world.ts'

const minute = 60_000
const hour = 60 * minute
const begin = Date.UTC(2025, 0, 1)

const readings = topic('readings', { key: text, value: number, partitions: 1 })
const sums = topic('sums', { key: text, value: json<readonly [number, number]>(), partitions: 1 })
const counting = (from = readings, to = sums): Pipeline =>
  pipeline('counting', [
    aggregate({
      name: 'count',
      from,
      to,
      window: tumbling(10 * minute),
      accumulator: number,
      init: () => 0,
      add: sum => sum + 1,
      result: ({ key, value, window }) => ({ key, value: [(window.start - begin) / minute, value] })
    })
  ])

describe('one producer that is ahead of another in the same partition', () => {
  // One stream time per partition, the newest there is, closes the windows of everybody else: KAFKA-8769, KIP-540.
  it('closes no windows of the other one', async () => {
    const world = new World()
    for (const each of [readings, sums]) world.broker.createTopic({ topic: each.name, partitions: 1 })
    const clients = await Promise.all(['fast', 'slow'].map(name => world.connect(name)))
    const [fast, slow] = await world.environment.run(Promise.all(clients.map(client => client.producer(readings))))
    const at = (key: string, time: number) => ({ key, value: 1, eventTime: begin + time })
    void world
      .worker()
      .run(counting(), { handleSignals: false })
      .catch(() => {})
    for (let step = 0; step < 60; step++) {
      await world.environment.run(fast!.send(at('fast', step * 10 * minute)))
      await world.environment.run(slow!.send(at('slow', step * minute)))
      await world.environment.advance(100)
    }
    await world.environment.run(Promise.all([fast!.close(), slow!.close()]))
    await world.environment.advance(5_000)
    expect(await world.counts('count')).toMatchObject({ processed: 120, late: 0, expired: 0 })
    const found = (await world.records(sums)).filter(({ key }) => key === 'slow').map(({ value }) => value)
    // The last window is open: other producers may come.
    expect(found).toEqual([0, 10, 20, 30, 40].map(start => [start, 10]))
  })
})

describe('a partition that has come to its end', () => {
  // Alignment waits for ever for those that have finished: FLINK-35157, apache/flink#24757.
  it('holds up nobody who must not run ahead', async () => {
    const world = new World()
    const two = topic('two', { key: text, value: number, partitions: 2 })
    const feed = source({
      name: 'feed',
      to: two,
      splits: () => ['short', 'long'],
      async *run({ split }) {
        const count = split === 'short' ? 10 : 500
        for (let index = 0; index < count; index++)
          yield { key: split, value: index, partition: split === 'short' ? 0 : 1, eventTime: begin + index * minute }
      }
    })
    const seen = [0, 0]
    const work = processor({
      name: 'work',
      from: two,
      async process({ partition }) {
        seen[partition]!++
        await sleep(world.environment, 5)
      }
    })
    const before = world.environment.monotonic()
    await world.run(pipeline('aligned', [feed, work]), { maxSkew: 5 * minute })
    expect(seen).toEqual([10, 500])
    // 500 records of 5 ms each, and no half minute for one that does not get on.
    expect(world.environment.monotonic() - before).toBeLessThan(15_000)
  })
})

describe('a source that has had nothing yet', () => {
  // An empty source never starts the watermark (numaproj/numaflow#3006); an idle one overtakes a slow one (#3399).
  it('starts the watermark by a claim, and what it holds back is held until then', async () => {
    const world = new World()
    const other = topic('other', { key: text, value: number, partitions: 1 })
    let release = (): void => {}
    const claimed = new Promise<void>(resolve => (release = resolve))
    const busy = source({
      name: 'busy',
      to: readings,
      async *run({ signal }) {
        for (let index = 0; index < 30; index++) yield { key: 'k', value: index, eventTime: begin + index * minute }
        await sleep(world.environment, hour, signal)
      }
    })
    const idle = source({
      name: 'idle',
      to: other,
      async *run({ signal }) {
        await claimed
        yield { watermark: begin + 20 * minute }
        await sleep(world.environment, hour, signal)
      }
    })
    const told: number[] = []
    const look = processor({
      name: 'look',
      from: [readings, other],
      process: () => {},
      onWatermark: time => void told.push((time - begin) / minute)
    })
    const stop = new AbortController()
    const app = pipeline('idle', [busy, idle, look])
    const running = world.worker().run(app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(2 * minute)
    expect(told).toEqual([])
    release()
    await world.environment.advance(10_000)
    expect(told.at(-1)).toBe(20)
    stop.abort()
    await world.environment.run(running)
  })
})

const pubsub = inject('pubsub')
const notRun = pubsub.state === 'running' ? '' : ` (not run: ${pubsub.reason})`

describe('windows over a queue that keeps an order', () => {
  // The next message is not given before the one in the buffer of the window is acknowledged: redpanda-data/connect#1269.
  it.skipIf(pubsub.state !== 'running')(
    `close: a record is acknowledged with the commit that holds it in its window${notRun}`,
    async () => {
      if (pubsub.state !== 'running') return
      const name = `windows-${Date.now().toString(36)}`
      const from = topic(`${name}-readings`, { key: text, value: number, partitions: 1 })
      const to = topic(`${name}-sums`, { key: text, value: json<readonly [number, number]>(), partitions: 1 })
      const url = `${pubsub.url}&orderedTopics=*`
      await using client = await connect({ brokers: { default: url }, store: 'memory:', variables: {} })
      await client.admin.prepare(counting(from as never, to as never))
      const stop = new AbortController()
      const limit = setTimeout(() => stop.abort(), 60_000)
      const found: unknown[] = []
      const look = client.consumer(to, { group: 'look', signal: stop.signal })
      const reading = (async () => {
        for await (const { value } of look) {
          found.push(value)
          if (found.length === 4) stop.abort()
        }
      })()
      await using producer = await client.producer(from)
      const running = client.run(counting(from as never, to as never), { handleSignals: false, signal: stop.signal })
      for (let index = 0; index < 50; index++)
        await producer.send({ key: 'k', value: index, eventTime: begin + index * minute })
      await Promise.all([reading, running])
      clearTimeout(limit)
      expect(found).toEqual([0, 10, 20, 30].map(start => [start, 10]))
    },
    90_000
  )
})

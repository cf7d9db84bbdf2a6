/** Replay on real brokers: a shadow of a pipeline, compared; a range left out; a rewind in place; all exactly once. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import {
  connect,
  json,
  keyed,
  number,
  partitionOf,
  pipeline,
  processor,
  shadow,
  shadowTopic,
  text,
  topic,
  type AnyTopic,
  type Client,
  type Pipeline
} from '../../src/index.ts'
import * as dynamodb from '../support/dynamodb.ts'
import * as postgres from '../support/postgres.ts'

const servers = {
  kafka: inject('kafka'),
  pulsar: inject('pulsar'),
  kinesis: inject('kinesis'),
  eventhubs: inject('eventhubs')
}
const chosen = inject('backends')
const patience = 60_000
const records = 60

interface Counted {
  readonly id: number
  readonly nth: number
}

class Scene {
  handled = 0
  readonly client: Client
  readonly #name: string
  readonly orders
  readonly counted

  constructor(client: Client, name: string) {
    this.client = client
    this.#name = name
    this.orders = topic(`${name}-orders`, { key: text, value: number, partitions: 2 })
    this.counted = topic(`${name}-counted`, { key: text, value: json<Counted>(), partitions: 2 })
  }

  /** @param from numbers of a key begin with it */
  app(from: (id: number) => number = () => 0): Pipeline {
    return pipeline(this.#name, [
      processor({
        name: 'count',
        from: this.orders,
        to: this.counted,
        state: { nth: keyed(number, 0) },
        process: ({ key, value: id }, { state }) => {
          this.handled++
          state.nth.set(state.nth.get() + 1)
          return { key, value: { id, nth: state.nth.get() + from(id) } }
        }
      })
    ])
  }

  /** Runs until so many are handled, and drains. A worker that ends by itself fails the test. */
  async work(app: Pipeline, count: number): Promise<void> {
    const stop = new AbortController()
    let ended = false
    const running = this.client
      .run(app, { signal: stop.signal, handleSignals: false, commitInterval: 20, sessionTimeout: 6_000 })
      .finally(() => (ended = true))
    running.catch(() => {})
    const deadline = performance.now() + patience
    for (const until = this.handled + count; this.handled < until && !ended; await sleep(20))
      if (performance.now() > deadline) break
    await sleep(200) // more than there should be would come now
    stop.abort()
    await running
  }

  async values(of: AnyTopic, count: number): Promise<Counted[]> {
    const found: Counted[] = []
    const stop = new AbortController()
    const limit = setTimeout(() => stop.abort(), patience)
    for await (const { value } of this.client.consumer(of, {
      group: `read-${Math.random()}`.replace('.', ''),
      signal: stop.signal
    })) {
      found.push(value as Counted)
      if (found.length === count) stop.abort()
    }
    clearTimeout(limit)
    return found
  }
}

/** Broker, and where commits are kept: beside its data, in the broker, or in a server. */
const cases = [
  ['memory', 'memory'],
  ['file', 'sqlite'],
  ['file', 'postgres'],
  ['file', 'dynamodb'],
  ['kafka', 'broker'],
  ['pulsar', 'sqlite'],
  ['kinesis', 'sqlite'],
  ['eventhubs', 'sqlite']
] as const

describe.each(cases)('on %s, with commits in %s', (backend, kept) => {
  const server = backend === 'memory' || backend === 'file' ? undefined : servers[backend]
  const stores = { postgres, dynamodb }
  const outside = kept === 'postgres' || kept === 'dynamodb' ? stores[kept] : undefined
  const reason =
    [backend, ...(outside ? [kept] : [])]
      .filter(name => !chosen.includes(name))
      .map(name => `BACKENDS leaves out ${name}`)[0] ??
    (server && server.state !== 'running' ? server.reason : outside?.running === false ? outside.notRun : undefined)

  test.skipIf(reason !== undefined)(
    `a shadow is compared, and the pipeline rewound${reason ? ` (not run: ${reason})` : ''}`,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-replay-'))
      const url = server?.state === 'running' ? server.url : backend === 'file' ? `file:${folder}` : 'memory:'
      const store = outside
        ? { store: outside.storeUrl() }
        : server && kept === 'sqlite'
          ? { store: `sqlite:${join(folder, 'commits.db')}` }
          : {}
      const client = await connect({ brokers: { default: url }, ...store, variables: {} })
      onTestFinished(async () => {
        await client.close()
        await rm(folder, { recursive: true, force: true })
      })
      const scene = new Scene(client, `replay-${backend}-${kept}-${Date.now().toString(36)}`)
      const { orders, counted } = scene
      await client.admin.ensure(orders)
      const producer = await client.producer(orders)
      const begin = Date.now() - records * 1_000
      await producer.sendAll(
        Array.from({ length: records }, (_, id) => ({ key: `k${id % 5}`, value: id, eventTime: begin + id * 1_000 }))
      )
      await scene.work(scene.app(), records)

      // The same program comes to the same; another one differs where it should.
      for (const [suffix, from, different] of [
        ['same', () => 0, 0],
        ['other', (id: number) => (id % 5 === 3 ? 100 : 0), records / 5]
      ] as const) {
        const trial = shadow(scene.app(from), { suffix })
        await client.admin.replay(trial, { from: 'earliest', state: 'reset', sessionTimeout: 6_000 })
        await scene.work(trial, records)
        expect(await client.admin.compare(counted, shadowTopic(counted, suffix))).toEqual({
          left: records,
          right: records,
          same: records - different,
          missing: 0,
          extra: 0,
          different
        })
      }

      // Back to the middle of event time, without ten of the records behind it.
      const watermark = begin + 30_000
      const options = {
        from: { watermark },
        state: 'reset',
        skip: [{ since: watermark + 10_000, until: watermark + 20_000 }],
        sessionTimeout: 6_000
      } as const
      const would = await client.admin.replay(scene.app(), { ...options, dryRun: true })
      expect(would.map(({ partition }) => partition)).toEqual([0, 1])
      expect(would.reduce((sum, { rows }) => sum + rows, 0)).toBe(5)
      const done = await client.admin.replay(scene.app(), options)
      expect(done).toEqual(would)
      await scene.work(scene.app(), 20)
      const values = await scene.values(counted, records + 20)
      const again = values.map(({ id }) => id).toSorted((left, right) => left - right)
      const once = Array.from({ length: records }, (_, id) => id)
      expect(again).toEqual(
        [...once, ...once.filter(id => id >= 30 && !(id >= 40 && id < 50))].toSorted((left, right) => left - right)
      )
      // Its state had been reset.
      expect(values.filter(({ id, nth }) => id >= 30 && nth === 1).length).toBe(5)

      // Behind one record, as its place is known from what was parked.
      let place: { partition: number; position: string } | undefined
      await client.admin.redrive(orders, {
        dryRun: true,
        onRecord: ({ origin, eventTime }) => {
          const [, partition, position] = origin.split('/')
          if (eventTime === begin + 49_000) place = { partition: Number(partition), position: position! }
        }
      })
      const keys = [0, 1, 2, 3, 4].map(key => `k${key}`)
      const after = [{ topic: orders.name, ...place! }]
      expect(await client.admin.replay(scene.app(), { from: { after }, state: 'keep', sessionTimeout: 6_000 })).toEqual(
        [expect.objectContaining({ partition: place!.partition, start: { after: place!.position }, rows: 0 })]
      )
      const there = keys.filter(key => partitionOf(Buffer.from(key), 2) === place!.partition)
      await scene.work(scene.app(), there.length * 2)
      const written = records + 20 + there.length * 2
      expect((await scene.values(counted, written)).length).toBe(written)

      // A new version takes over: it reads all of it without a word, and writes what is new.
      const young = scene.app(() => 1_000)
      await client.admin.replay(young, { from: 'earliest', state: 'reset', outputs: 'new', sessionTimeout: 6_000 })
      await producer.sendAll(Array.from({ length: 10 }, (_, id) => ({ key: `k${id % 5}`, value: records + id })))
      await scene.work(young, records + 10)
      const all = await scene.values(counted, written + 10)
      expect(all.filter(({ id }) => id < records).length).toBe(written)
      const young10 = all.filter(({ id }) => id >= records).toSorted((left, right) => left.id - right.id)
      expect(young10).toEqual(
        Array.from({ length: 10 }, (_, id) => ({ id: records + id, nth: 1_000 + records / 5 + (id < 5 ? 1 : 2) }))
      )
      await scene.work(young, 0)
      expect((await scene.values(counted, written + 10)).length).toBe(written + 10)
    },
    300_000
  )
})

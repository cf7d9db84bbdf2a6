/** Handlers that are slow, workers that come and go: who has a record, and when. */
import diagnostics from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'vitest'
import { connect, json, pipeline, processor, sink, text, topic, type Client } from '../../../src/index.ts'
import { atEnd, foreignClient, notRun, opened, running, unique, until, url } from './server.ts'

async function client(): Promise<Client> {
  const opened = await connect({ brokers: { default: `${url}&ackDeadline=10000` }, store: 'memory:' })
  atEnd(() => opened.close())
  return opened
}

describe.skipIf(!running).concurrent(`workers on Pub/Sub${notRun}`, () => {
  test(
    'a handler that takes longer than the deadline gets its record once',
    { timeout: 300_000 },
    async ({ expect }) => {
      const jobs = topic(unique('jobs'), { key: text, value: json<number>(), partitions: 1 })
      const calls: number[] = []
      let repeats = 0
      const count = (event: unknown): void => {
        if ((event as { topic: string }).topic === jobs.name) repeats++
      }
      diagnostics.subscribe('tidemark:record-duplicate', count)
      atEnd(() => diagnostics.unsubscribe('tidemark:record-duplicate', count))
      const app = pipeline(unique('slow'), [
        sink({
          name: 'work',
          from: jobs,
          async write(records) {
            for (const { value } of records) {
              calls.push(value)
              await sleep(value === 0 ? 16_000 : 1)
            }
          }
        })
      ])
      const worker = await client()
      await worker.admin.prepare(app)
      const producer = await worker.producer(jobs)
      await producer.sendAll(Array.from({ length: 20 }, (_, value) => ({ key: 'one', value })))
      const stop = new AbortController()
      const run = worker.run(app, { signal: stop.signal, vitalsInterval: 100 })
      await until(async () => calls.length >= 20)
      await sleep(1_000)
      stop.abort()
      await run
      expect(calls.toSorted((left, right) => left - right)).toEqual(Array.from({ length: 20 }, (_, value) => value))
      expect(repeats, 'it did not even come again').toBe(0)
    }
  )

  test(
    'two handlers never have one key at the same time, while workers join and leave',
    { timeout: 300_000 },
    async ({ expect }) => {
      const orders = topic(unique('orders'), { key: text, value: json<number>(), partitions: 4 })
      const busy = new Map<string, number>()
      const done = new Map<number, number>()
      let most = 0
      const app = (): ReturnType<typeof pipeline> =>
        pipeline(`overlap-${orders.name}`, [
          processor({
            name: 'hold',
            from: orders,
            to: topic(`${orders.name}-out`, { key: text, value: json<number>(), partitions: 1 }),
            async process({ key, value }) {
              busy.set(key, (busy.get(key) ?? 0) + 1)
              most = Math.max(most, busy.get(key)!)
              await sleep(3)
              busy.set(key, busy.get(key)! - 1)
              done.set(value, (done.get(value) ?? 0) + 1)
            }
          })
        ])
      const store = await import('../../../src/exactly-once/index.ts').then(({ MemoryStore }) => new MemoryStore())
      const open = async (): Promise<Client> => {
        const opened = await connect({ brokers: { default: `${url}&ackDeadline=10000` }, store })
        atEnd(() => opened.close())
        return opened
      }
      const clients = [await open(), await open(), await open()]
      await clients[0]!.admin.prepare(app())
      const producer = await clients[0]!.producer(orders)
      const work = (index: number): { stop(): Promise<void> } => {
        const stop = new AbortController()
        const run = clients[index]!.run(app(), { signal: stop.signal, sessionTimeout: 2_000, vitalsInterval: 100 })
        return {
          stop: () => {
            stop.abort()
            return run
          }
        }
      }
      const first = work(0)
      const sent = producer.sendAll(Array.from({ length: 2_000 }, (_, value) => ({ key: `k${value % 8}`, value })))
      await until(async () => done.size > 100)
      const second = work(1)
      await until(async () => done.size > 500)
      const third = work(2)
      await first.stop()
      await until(async () => done.size > 1_000)
      await second.stop()
      await until(async () => done.size >= 2_000)
      await sent
      await third.stop()
      expect(most).toBe(1)
      expect([...done.values()].every(times => times === 1)).toBe(true)
    }
  )

  test(
    'a worker that is stopped gives back what it has not begun, at once',
    { timeout: 300_000 },
    async ({ expect }) => {
      const orders = topic(unique('orders'), { key: text, value: json<number>(), partitions: 2 })
      const others = foreignClient()
      let written = 0
      const app = pipeline(unique('stop'), [
        sink({
          name: 'slow',
          from: orders,
          async write(records) {
            await sleep(20 * records.length)
            written += records.length
          }
        })
      ])
      const worker = await connect({ brokers: { default: `${url}&ackDeadline=600000` }, store: 'memory:' })
      atEnd(() => worker.close())
      await worker.admin.prepare(app)
      const producer = await worker.producer(orders)
      await producer.sendAll(Array.from({ length: 400 }, (_, value) => ({ key: `k${value % 8}`, value })))
      const stop = new AbortController()
      const run = worker.run(app, { signal: stop.signal, commitRecords: 5, vitalsInterval: 100 })
      await until(async () => written >= 40)
      stop.abort()
      await run
      // With a deadline of ten minutes, what a subscriber gets right away was given back.
      const [subscriptions] = await others.topic(orders.name).getSubscriptions()
      const back = new Set<string>()
      for (const subscription of subscriptions.filter(({ name }) => name.includes('slow'))) {
        subscription.on('message', message => {
          back.add(message.id)
          message.ack()
        })
        atEnd(() => subscription.close())
      }
      await until(async () => back.size >= 400 - written, 20_000)
      await sleep(500)
      expect(back.size, 'the rest, and nothing that was done').toBe(400 - written)
    }
  )

  test('what others wrote, was committed and could not be acknowledged is known to the next life', async ({
    expect
  }) => {
    const adapter = await opened()
    // No acknowledgement arrives: everything comes again at once, for ever.
    const subscribe = adapter.queueSubscription!.bind(adapter)
    adapter.queueSubscription = async options => {
      const subscription = await subscribe(options)
      subscription.acknowledge = async ids => {
        await subscription.release(ids)
        return ids
      }
      return subscription
    }
    const orders = topic(unique('orders'), { key: text, value: json<number>(), partitions: 1 })
    const once = new Map<number, number>()
    const app = pipeline(unique('unacknowledged'), [
      sink({
        name: 'count',
        from: orders,
        write(records) {
          for (const { value } of records) once.set(value, (once.get(value) ?? 0) + 1)
        }
      })
    ])
    const worker = await connect({ brokers: { default: adapter }, store: 'memory:' })
    atEnd(() => worker.close())
    await worker.admin.prepare(app)
    const publisher = foreignClient().topic(orders.name, { messageOrdering: true })
    const numbers = Array.from({ length: 100 }, (_, index) => index)
    await Promise.all(
      numbers.map(value => publisher.publishMessage({ orderingKey: `k${value % 5}`, data: Buffer.from(String(value)) }))
    )
    let repeats = 0
    const count = (event: unknown): void => {
      if ((event as { topic: string }).topic === orders.name) repeats++
    }
    diagnostics.subscribe('tidemark:record-duplicate', count)
    atEnd(() => diagnostics.unsubscribe('tidemark:record-duplicate', count))
    for (const life of [1, 2]) {
      const stop = new AbortController()
      const run = worker.run(app, { signal: stop.signal, vitalsInterval: 100 })
      const before = repeats
      await until(async () => once.size === 100 && repeats - before >= 150)
      stop.abort()
      await run
      expect([...once.values()], `life ${life}`).toEqual(Array(100).fill(1))
    }
  })
})

/**
 * Google's Java emulator, where its Debian package is installed: what the fake cannot do. It knows no filters, so topics
 * have one partition here.
 */
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { fromUrl, type PubsubOptions } from '../../../src/adapters/pubsub/index.ts'
import { connect, json, text, topic } from '../../../src/index.ts'
import { pubsubEmulatorAvailable, startPubsubEmulator, type PubsubServer } from '../../../testcontainers/pubsub.ts'
import {
  atEnd,
  createTopic,
  failure,
  linger,
  numbers,
  opened,
  send,
  sorted,
  subscribe,
  take,
  unique
} from './server.ts'

const chosen = inject('backends').includes('pubsub')
const missing = chosen ? await pubsubEmulatorAvailable() : 'BACKENDS leaves out pubsub'

describe.skipIf(missing).concurrent(`the emulator of Pub/Sub${missing ? ` (not run: ${missing})` : ''}`, () => {
  let emulator: PubsubServer
  beforeAll(async () => {
    emulator = await startPubsubEmulator()
    atEnd(() => emulator.stop())
  })
  const options = (): PubsubOptions => fromUrl(emulator.url)
  const kept = { ackDeadline: 10_000, topicRetention: 600_000 }

  test('a group that is moved to a time gets what it has acknowledged again, and skips what it has not', async () => {
    const adapter = await opened({ ...options(), ...kept })
    const name = await createTopic(adapter)
    const first = await subscribe(adapter, name)
    await send(adapter, numbers(name, 0, 10))
    await first.acknowledge((await take(first, 10)).map(({ id }) => id))
    await new Promise(resolve => setTimeout(resolve, 1_500))
    const middle = Date.now()
    await send(adapter, numbers(name, 0, 10, 10))
    await first.acknowledge((await take(first, 10)).map(({ id }) => id))
    await first.close()
    const admin = adapter.admin()
    const readAgain = async (time: number, count: number): Promise<(string | undefined)[]> => {
      await admin.seekGroup!('group', name, time)
      const subscription = await subscribe(adapter, name)
      const deliveries = await take(subscription, count)
      deliveries.push(...(await linger(subscription, 700)))
      await subscription.acknowledge(deliveries.map(({ id }) => id))
      await subscription.close()
      return sorted([...new Map(deliveries.map(delivery => [delivery.identity, delivery])).values()])
    }
    expect(await readAgain(0, 20)).toEqual(Array.from({ length: 20 }, (_, index) => String(index)))
    expect(await readAgain(middle, 10)).toEqual(Array.from({ length: 10 }, (_, index) => String(10 + index)))
    // Nothing of the past, acknowledged or not.
    await send(adapter, numbers(name, 0, 5, 20))
    await admin.seekGroup!('group', name, Date.now() + 1_000)
    expect(await readAgain(Date.now() + 1_000, 0)).toEqual([])
  })

  test('a consumer that is moved reads again, and one that is new begins with what the topic has kept', async () => {
    await using client = await connect({
      brokers: { default: { adapter: 'pubsub', ...options(), ...kept } },
      store: 'memory:'
    })
    const orders = topic(unique('orders'), { key: text, value: json<number>(), partitions: 1 })
    const producer = await client.producer(orders)
    await producer.sendAll([1, 2, 3].map(value => ({ key: 'k', value })))
    const read = async (group: string): Promise<number[]> => {
      const seen: number[] = []
      const stop = new AbortController()
      for await (const { value } of client.consumer(orders, { group, signal: stop.signal }))
        if (seen.push(value) === 3) stop.abort()
      return seen.toSorted((left, right) => left - right)
    }
    // The topic was there before the group.
    expect(await read('late')).toEqual([1, 2, 3])
    await client.admin.seekGroup('late', orders, Date.now() - 300_000)
    expect(await read('late')).toEqual([1, 2, 3])
    await producer.close()
  })

  test('with exactly-once delivery a stale acknowledgement is not confirmed', async () => {
    const adapter = await opened({ ...options(), ...kept, exactlyOnce: true })
    const name = await createTopic(adapter)
    const subscription = await subscribe(adapter, name)
    await send(adapter, numbers(name, 0, 2))
    const [first, second] = await take(subscription, 2)
    expect(await subscription.acknowledge([first!.id])).toEqual([])
    await subscription.release([second!.id])
    const [again] = await take(subscription, 1)
    expect(again!.identity).toBe(second!.identity)
    // The emulator refuses the whole request and names no id: nothing is known of any, so none counts as done.
    const stale = await subscription.acknowledge([second!.id]).catch((error: unknown) => error)
    expect(stale === undefined || (Array.isArray(stale) && stale.length === 0)).toBe(false)
    expect(await subscription.acknowledge([again!.id])).toEqual([])
  })

  test('a thousand messages a second and more go through, each once', async () => {
    const adapter = await opened({ ...options(), ...kept })
    const name = await createTopic(adapter)
    const subscription = await subscribe(adapter, name)
    await send(adapter, numbers(name, 0, 5_000))
    const seen = new Set<string>()
    const started = performance.now()
    while (seen.size < 5_000) {
      const deliveries = await subscription.receive({ wait: 1_000 })
      for (const { identity } of deliveries) seen.add(identity)
      await subscription.acknowledge(deliveries.map(({ id }) => id))
      expect(performance.now() - started).toBeLessThan(20_000)
    }
  })

  test('a topic that keeps nothing cannot be read again', async () => {
    const adapter = await opened({ ...options(), ackDeadline: 10_000 })
    const name = await createTopic(adapter)
    const error = await failure(adapter.admin().seekGroup!('group', name, 0))
    expect(error).toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/keeps nothing.*topicRetention/)
    })
  })
})

/** One existing subscription, read by somebody who may do nothing else: no topic is looked at, nothing is created. */
import { describe, expect, test } from 'vitest'
import { memory } from '../../../src/adapters/memory/index.ts'
import { connect, json, keyed, number, pipeline, processor, text, topic, optional } from '../../../src/index.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { atEnd, failure, foreignClient, notRun, opened, running, unique, until } from './server.ts'

interface Order {
  readonly cents: number
}

/** A topic of somebody else's, with a subscription; and a client whose own project refuses everything. */
async function given(): Promise<{
  name: string
  publish(from: number, to: number): Promise<void>
  broker: AnyAdapter
}> {
  const name = unique('orders')
  const client = foreignClient()
  await client.createTopic(name)
  const [subscription] = await client.topic(name).createSubscription(`${name}-sub`, { ackDeadlineSeconds: 10 })
  const broker = await opened({ projectId: 'tidemark-forbidden', subscriptions: { [name]: subscription.name } })
  const foreign = client.topic(name, { messageOrdering: true })
  const publish = async (from: number, to: number): Promise<void> => {
    const numbers = Array.from({ length: to - from }, (_, index) => from + index)
    const one = (each: number): Promise<string> =>
      foreign.publishMessage({ orderingKey: `customer-${each % 5}`, json: { cents: each } })
    await Promise.all(numbers.map(one))
  }
  return { name, publish, broker }
}

describe.skipIf(!running).concurrent(`one existing subscription${notRun}`, () => {
  test('a pipeline reads it exactly once, over restarts, with vitals and outputs elsewhere', async ({ expect }) => {
    const { name, publish, broker } = await given()
    const orders = topic(name, { key: text, value: json<Order>() })
    const totals = topic(`${name}-totals`, {
      key: text,
      value: json<{ count: number; cents: number }>(),
      partitions: 2
    })
    const app = pipeline(unique('app'), [
      processor({
        name: 'add-up',
        from: orders,
        to: totals,
        failure: { then: 'stop' }, // to park takes a topic, and the right to write to it
        state: { count: keyed(number, 0), cents: keyed(number, 0) },
        process({ key, value }, { state }) {
          state.count.set(state.count.get() + 1)
          state.cents.set(state.cents.get() + value.cents)
          return { key, value: { count: state.count.get(), cents: state.cents.get() } }
        }
      })
    ])
    const local = memory()
    const client = await connect({
      brokers: { default: local, cloud: broker },
      topics: { [name]: { broker: 'cloud' }, 'tidemark.vitals': { broker: 'default' } },
      store: 'memory:'
    })
    atEnd(() => client.close())
    const last = new Map<string, { count: number; cents: number }>()
    const watching = new AbortController()
    const watched = (async () => {
      for await (const { key, value } of client.consumer(totals, { group: 'watch', signal: watching.signal }))
        last.set(key, value)
    })()
    const counted = (): number => [...last.values()].reduce((sum, { count }) => sum + count, 0)
    for (const round of [0, 1, 2]) {
      const stop = new AbortController()
      const run = client.run(app, { signal: stop.signal, sessionTimeout: 2_000, vitalsInterval: 100 })
      await publish(round * 100, round * 100 + 100)
      // Stopped in the middle: what is in hand and not committed is given back.
      await until(async () => counted() >= round * 100 + (round === 2 ? 100 : 30))
      stop.abort()
      await run
    }
    for (let customer = 0; customer < 5; customer++) {
      const cents = Array.from({ length: 60 }, (_, index) => index * 5 + customer).reduce((sum, each) => sum + each, 0)
      expect(last.get(`customer-${customer}`)).toEqual({ count: 60, cents })
    }
    watching.abort()
    await watched
  })

  test('a consumer reads it; two of them take turns, one at a time', async ({ expect }) => {
    const { name, publish, broker } = await given()
    const orders = topic(name, { key: optional(text), value: json<Order>() })
    const client = await connect({ brokers: { default: broker }, store: 'memory:' })
    atEnd(() => client.close())
    const seen: Set<number>[] = [new Set(), new Set()]
    const stops = seen.map(() => new AbortController())
    const reading = seen.map(async (mine, index) => {
      const signal = stops[index]!.signal
      const consumer = client.consumer(orders, { group: 'g', poison: 'throw', sessionTimeout: 2_000, signal })
      for await (const { value } of consumer) mine.add(value.cents)
    })
    const all = (): number => seen[0]!.size + seen[1]!.size
    await publish(0, 100)
    await until(async () => all() >= 100)
    const first = seen[0]!.size > 0 ? 0 : 1
    expect(seen[1 - first]!.size, 'the lease is with one of them').toBe(0)
    stops[first]!.abort()
    await reading[first]
    await publish(100, 200)
    await until(async () => seen[1 - first]!.size >= 100)
    stops[1 - first]!.abort()
    await reading[1 - first]
    const both = [...seen[0]!, ...seen[1]!].toSorted((left, right) => left - right)
    expect(both).toEqual(Array.from({ length: 200 }, (_, index) => index))
  })

  test('what takes more rights than that is refused, and says so', async () => {
    const { name, broker } = await given()
    const client = await connect({ brokers: { default: broker }, store: 'memory:' })
    atEnd(() => client.close())
    const orders = topic(name, { key: text, value: json<Order>() })
    const parking = async (): Promise<void> => {
      for await (const { value } of client.consumer(orders, { group: 'g' })) expect(value).toBe(undefined)
    }
    expect(await failure(parking())).toMatchObject({
      code: 'unauthorized',
      message: expect.stringMatching(new RegExp(`'${name}\\.parked'.*PERMISSION_DENIED`))
    })
    const writing = topic(unique('mine'), { key: text, value: json<Order>(), partitions: 1 })
    expect(await failure(client.producer(writing))).toMatchObject({ code: 'unauthorized' })
  })
})

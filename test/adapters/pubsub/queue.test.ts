/** Deadlines, acknowledgements and flow, beyond what the conformance suite asks of a queue. */
import { describe, expect, test } from 'vitest'
import {
  createTopic,
  foreignClient,
  linger,
  notRun,
  numbers,
  opened,
  record,
  running,
  send,
  sorted,
  subscribe,
  take,
  text
} from './server.ts'

const deadline = 10_000

describe.skipIf(!running).concurrent(`a subscription of Pub/Sub${notRun}`, () => {
  test('what is in the hands of the front comes again after its deadline; what it extends does not', async () => {
    const adapter = await opened({ ackDeadline: deadline })
    const topic = await createTopic(adapter)
    const subscription = await subscribe(adapter, topic)
    await send(adapter, numbers(topic, 0, 10))
    const deliveries = await take(subscription, 10)
    const kept = deliveries.filter((_, index) => index < 5).map(({ id }) => id)
    const again: string[] = []
    for (const end = performance.now() + 1.6 * deadline; performance.now() < end;) {
      // As the front does while a handler is busy; for less than the deadline of the subscription it makes no difference.
      await subscription.extend(kept, 1)
      again.push(...(await linger(subscription, 1_500)).map(({ value }) => text(value)!))
    }
    expect(again.toSorted()).toEqual(sorted(deliveries.slice(5)))
    expect(await subscription.acknowledge(kept)).toEqual([])
  })

  test('what waits in the adapter does not come again, however slow the front is', { timeout: 300_000 }, async () => {
    const adapter = await opened({ ackDeadline: deadline })
    const topic = await createTopic(adapter)
    const slow = await subscribe(adapter, topic)
    await send(adapter, numbers(topic, 0, 20))
    // Now it is all with the slow one, which has not been asked for it yet.
    await slow.receive({ wait: 0 })
    await new Promise(resolve => setTimeout(resolve, 500))
    const other = await subscribe(adapter, topic)
    expect(await linger(other, 1.7 * deadline)).toEqual([])
    expect(sorted(await take(slow, 20))).toHaveLength(20)
  })

  test('with exactly-once delivery an acknowledgement after the deadline is not confirmed', async () => {
    const adapter = await opened({ ackDeadline: deadline, exactlyOnce: true })
    const topic = await createTopic(adapter)
    const subscription = await subscribe(adapter, topic)
    await send(adapter, numbers(topic, 0, 4))
    const first = await take(subscription, 4)
    const [mine, ...stale] = first
    expect(await subscription.acknowledge([mine!.id])).toEqual([])
    const again = await take(subscription, 3, 30_000)
    expect(again.map(({ identity }) => identity).toSorted()).toEqual(stale.map(({ identity }) => identity).toSorted())
    const staleIds = stale.map(({ id }) => id)
    expect((await subscription.acknowledge(staleIds)).toSorted()).toEqual(staleIds.toSorted())
    // To give back or to keep what is not ours any more is no failure, and leaves the new deliveries alone.
    await subscription.release(staleIds)
    await subscription.extend(staleIds, deadline)
    expect(await subscription.acknowledge([mine!.id, ...again.map(({ id }) => id)])).toEqual([])
    expect(await linger(subscription, 500)).toEqual([])
  })

  test('an id that is nobody’s is not confirmed', async () => {
    const adapter = await opened()
    const subscription = await subscribe(adapter, await createTopic(adapter))
    expect(await subscription.acknowledge(['7 m1:1', 'x', ''])).toEqual(['7 m1:1', 'x', ''])
  })

  test('a closed subscription gives back at once what waits in it and what is under way', async () => {
    const adapter = await opened({ ackDeadline: 600_000 })
    const topic = await createTopic(adapter, 2)
    const first = await subscribe(adapter, topic, { partitions: [0, 1], maxBytes: 64 * 1024 })
    await send(adapter, [...numbers(topic, 0, 300), ...numbers(topic, 1, 300, 300)])
    const held = await take(first, 100)
    await first.acknowledge(held.slice(0, 50).map(({ id }) => id))
    const closing = performance.now()
    await first.close()
    expect(performance.now() - closing).toBeLessThan(3_000)
    const second = await subscribe(adapter, topic, { partitions: [0, 1] })
    const rest = await take(second, 550)
    const done = new Set(held.slice(0, 50).map(({ value }) => text(value)))
    expect(sorted(rest)).toEqual(
      Array.from({ length: 600 }, (_, index) => String(index)).filter(value => !done.has(value))
    )
    expect(await linger(second, 500)).toEqual([])
  })

  test('a subscription that nobody takes from is paused, and goes on when there is room', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const subscription = await subscribe(adapter, topic, { maxBytes: 256 * 1024 })
    const values = Array.from({ length: 120 }, (_, index) => record(topic, 0, Buffer.alloc(100 * 1024, index)))
    await send(adapter, values)
    const seen = new Set<number>()
    while (seen.size < values.length) {
      const [deliveries] = [await take(subscription, 1)]
      for (const { value } of deliveries) seen.add(value![0]!)
      await subscription.acknowledge(deliveries.map(({ id }) => id))
    }
    expect(seen.size).toBe(120)
  })

  test('many streams of one adapter are more than one connection takes', { timeout: 300_000 }, async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter, 170)
    const partitions = Array.from({ length: 170 }, (_, partition) => partition)
    const subscription = await subscribe(adapter, topic, { partitions })
    await send(adapter, ...[partitions.map(partition => record(topic, partition, String(partition)))])
    const deliveries = await take(subscription, 170, 30_000)
    expect(sorted(deliveries)).toEqual(partitions.map(String))
    expect(deliveries.every(({ value, partition }) => text(value) === String(partition))).toBe(true)
    await subscription.acknowledge(deliveries.map(({ id }) => id))
  })

  test('the subscriptions of a group are the same for all, made once, and those of another reading are refused', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter, 2)
    const admin = adapter.admin()
    await Promise.all(Array.from({ length: 5 }, () => admin.ensureGroup!('grüppe/1', topic)))
    const client = foreignClient()
    const [found] = await client.topic(topic).getSubscriptions()
    const names = found.map(({ name }) => name.slice(name.lastIndexOf('/') + 1)).toSorted()
    expect(names).toEqual([0, 1].map(partition => `tidemark~gr%C3%BCppe%2F1~${topic}~${partition}`))
    const [{ filter, deadLetterPolicy, expirationPolicy, retryPolicy }] = await client
      .subscription(names[1]!)
      .getMetadata()
    expect([filter, deadLetterPolicy, expirationPolicy?.ttl ?? null, retryPolicy]).toEqual([
      'attributes.tidemark_partition = "1"',
      null,
      null,
      null
    ])
    // Somebody has made it anew, without the filter.
    await client.subscription(names[1]!).delete()
    await client.topic(topic).createSubscription(names[1]!)
    await expect(admin.ensureGroup!('grüppe/1', topic)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/reads .* with the filter ''.*delete it/)
    })
  })

  test('a dead-letter policy would be a gap: it is refused', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const client = foreignClient()
    const [dead] = await client.createTopic(`${topic}-dead`)
    await client.topic(topic).createSubscription(`tidemark~group~${topic}~0`, {
      filter: 'attributes.tidemark_partition = "0" OR NOT attributes:tidemark_partition',
      deadLetterPolicy: { deadLetterTopic: dead.name, maxDeliveryAttempts: 5 }
    })
    await expect(adapter.admin().ensureGroup!('group', topic)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/dead-letter policy.*--clear-dead-letter-policy/)
    })
  })

  test('a topic that was deleted and made anew has groups again', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const admin = adapter.admin()
    const client = foreignClient()
    await admin.ensureGroup!('group', topic)
    // By somebody who does not know of our subscriptions.
    await client.topic(topic).delete()
    await admin.createTopic({ topic, partitions: 1 })
    await admin.ensureGroup!('group', topic)
    await send(adapter, numbers(topic, 0, 3))
    expect(sorted(await take(await subscribe(adapter, topic), 3))).toEqual(['0', '1', '2'])
    await admin.deleteGroup!('group', topic)
    expect((await client.topic(topic).getSubscriptions())[0]).toEqual([])
    await admin.deleteGroup!('group', topic)
  })
})

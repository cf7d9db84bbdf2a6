import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sizeOf } from '../../core/record.ts'
import { all, queue, type Applies } from './applies.ts'
import { type CaseContext, numbers, outgoing, range, texts } from './context.ts'
import { timed } from './member.ts'
import { QueueReader, sortedTexts } from './queue-reader.ts'
import type { ConformanceCase } from './types.ts'

const group = 'queue'

const outside: Applies = capabilities =>
  capabilities.scope !== 'process' || 'the queue itself is in the memory of this process'

const kilobyte = 1024
/** Later than this the signal was not honoured. The contract says 100 ms; a busy machine gets some grace. */
const promptly = 1000

/** Bytes in buffers that somebody holds: what is only waiting for the garbage collector does not count. */
async function heldBytes(context: CaseContext): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What one collection finds is given back a little later.
  for (let round = 0; round < 3; round++) {
    collect()
    await context.sleep(50)
  }
  return process.memoryUsage().arrayBuffers
}

export const queueCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'a group gets what was written since it exists, though nobody was reading; another one gets it, too',
    applies: queue,
    async run(context) {
      const admin = await context.admin()
      const topic = await context.topic(2)
      assert.ok(admin.ensureGroup, 'a queue must have ensureGroup')
      for (const name of ['first', 'second']) await admin.ensureGroup(name, topic)
      await admin.ensureGroup('first', topic)
      for (const partition of [0, 1]) await context.sendNumbers(topic, partition, partition * 10, partition * 10 + 10)
      for (const name of ['first', 'second']) {
        const reader = await QueueReader.open(context, { group: name, topic, partitions: [0, 1] })
        assert.deepEqual(sortedTexts(await reader.take(20)), range(0, 20))
      }
    }
  },
  {
    group,
    name: 'acknowledged records do not come again; those that are neither acknowledged nor released come again after a close, at once',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const first = await QueueReader.open(context, { group: topic, topic })
      await context.sendNumbers(topic, 0, 0, 20)
      const deliveries = await first.take(20, false)
      const done = deliveries.filter(({ value }) => Number(Buffer.from(value!)) < 12)
      assert.deepEqual(await first.subscription.acknowledge(done.map(({ id }) => id)), [])
      await first.subscription.close()
      const second = await QueueReader.open(context, { group: topic, topic })
      const took = await timed(async () => assert.deepEqual(sortedTexts(await second.take(8)), range(12, 20)))
      assert.ok(took < context.paced(3000), `they came again after ${took} ms`)
      assert.deepEqual(await second.linger(500), [])
    }
  },
  {
    group,
    name: 'a released record comes again, with an id of its own; the others stay with their reader',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic })
      await context.sendNumbers(topic, 0, 0, 10)
      const deliveries = await reader.take(10, false)
      const released = deliveries.filter(({ value }) => Number(Buffer.from(value!)) % 5 === 0)
      await reader.subscription.release(released.map(({ id }) => id))
      const again = await reader.take(2)
      assert.deepEqual(sortedTexts(again), ['0', '5'])
      for (const { id, identity } of again) {
        assert.ok(!deliveries.some(delivery => delivery.id === id), 'an id is good for one delivery')
        assert.ok(
          released.some(delivery => delivery.identity === identity),
          'an identity is good for all of them'
        )
      }
      assert.equal(new Set(deliveries.map(({ identity }) => identity)).size, 10, 'no two records have one identity')
      assert.deepEqual(await reader.linger(500), [])
      await reader.subscription.extend(
        deliveries.map(({ id }) => id),
        20_000
      ) // those released are no error
      assert.deepEqual(await reader.linger(300), [])
    }
  },
  {
    group,
    name: 'acknowledging twice is confirmed',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic })
      await context.sendNumbers(topic, 0, 0, 5)
      const ids = (await reader.take(5, false)).map(({ id }) => id)
      for (let round = 0; round < 2; round++) assert.deepEqual(await reader.subscription.acknowledge(ids), [])
      assert.deepEqual(await reader.subscription.acknowledge([]), [])
    }
  },
  {
    group,
    name: 'two readers of a partition share its records: each record is with one of them',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const readers = [
        await QueueReader.open(context, { group: topic, topic }),
        await QueueReader.open(context, { group: topic, topic })
      ]
      await context.sendNumbers(topic, 0, 0, 200)
      for (const deadline = context.deadline(); readers.flatMap(({ deliveries }) => deliveries).length < 200;) {
        assert.ok(performance.now() < deadline, 'waited in vain for 200 records')
        for (const reader of readers) await reader.step(20)
      }
      for (const reader of readers) await reader.linger(300)
      assert.deepEqual(sortedTexts(readers.flatMap(({ deliveries }) => deliveries)), range(0, 200))
      for (const { subscription, deliveries } of readers) await subscription.acknowledge(deliveries.map(({ id }) => id))
    }
  },
  {
    group,
    name: 'a queue gives an empty array after the wait, and is woken by a record',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic })
      await reader.linger(300)
      const took = await timed(async () => assert.deepEqual(await reader.subscription.receive({ wait: 400 }), []))
      assert.ok(took >= 380 && took < 400 + promptly * 2, `it took ${took} ms`)
      const waiting = reader.step(context.paced(15_000))
      await context.sleep(100)
      await context.sendNumbers(topic, 0, 0, 1)
      const woken = await timed(async () => assert.deepEqual(texts(await waiting), ['0']))
      assert.ok(woken < context.paced(5000), `the record came after ${woken} ms`)
    }
  },
  {
    group,
    name: 'receiving from a queue is ended by the signal, and nothing is lost by that',
    applies: queue,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic })
      const stop = new AbortController()
      const receiving = reader.subscription.receive({ wait: 15_000, signal: stop.signal })
      stop.abort()
      const took = await timed(() => context.rejects(adapter, receiving, 'aborted'))
      assert.ok(took < promptly, `it took ${took} ms`)
      await context.sendNumbers(topic, 0, 0, 5)
      assert.deepEqual(sortedTexts(await reader.take(5)), range(0, 5))
    }
  },
  {
    group,
    name: 'a queue hands over about maxBytes at once, at most',
    applies: queue,
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic, maxBytes: 128 * kilobyte })
      await context.send(Array.from({ length: 50 }, () => outgoing(topic, 0, Buffer.alloc(32 * kilobyte))))
      let most = 0
      for (const deadline = context.deadline(); new Set(reader.deliveries.map(({ position }) => position)).size < 50;) {
        assert.ok(performance.now() < deadline, `waited in vain for 50 records, ${reader.deliveries.length} came`)
        const deliveries = await reader.step()
        most = Math.max(
          most,
          deliveries.reduce((sum, delivery) => sum + sizeOf(delivery), 0)
        )
        await reader.subscription.acknowledge(deliveries.map(({ id }) => id))
      }
      assert.ok(most <= 1024 * kilobyte, `one receive handed over ${most} bytes with maxBytes ${128 * kilobyte}`)
    }
  },
  {
    group,
    name: 'a queue that is not received from holds no more than its bound',
    applies: all(queue, outside),
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic, maxBytes: 1024 * kilobyte })
      const producer = await context.producer()
      const value = Buffer.alloc(256 * kilobyte, 1)
      const before = await heldBytes(context)
      for (let batch = 0; batch < 64; batch++)
        await context.send([outgoing(topic, 0, value), outgoing(topic, 0, value), outgoing(topic, 0, value)], producer)
      await context.sleep(2000)
      const held = (await heldBytes(context)) - before
      // 48 MB are waiting.
      assert.ok(held < 24 * kilobyte * kilobyte, `${held} bytes piled up with maxBytes ${1024 * kilobyte}`)
      await reader.take(192)
    }
  },
  {
    group,
    name: 'a queue of an unknown topic fails with unknown-topic, and does not create it',
    applies: queue,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = context.name('nowhere')
      const read = async (): Promise<void> => {
        const reader = await QueueReader.open(context, { group: topic, topic })
        await reader.step(context.paced(5000))
      }
      await context.rejects(adapter, read(), 'unknown-topic')
      await context.rejects(adapter, admin.ensureGroup!('group', topic), 'unknown-topic')
      assert.equal(await admin.describeTopic(topic), undefined)
    }
  },
  {
    group,
    name: 'a closed queue rejects with closed, a receive under way ends; closing twice is no error',
    applies: queue,
    async run(context) {
      const adapter = await context.start()
      const topic = await context.topic()
      const { subscription } = await QueueReader.open(context, { group: topic, topic, adapter })
      const receiving = subscription.receive({ wait: 20_000 }).catch((error: unknown) => {
        assert.equal(adapter.classify(error).code, 'closed')
      })
      await subscription.close()
      const took = await timed(() => receiving)
      assert.ok(took < 5000, `the receive under way ended ${took} ms after the close`)
      await subscription.close()
      await context.rejects(adapter, subscription.receive({ wait: 10 }), 'closed')
      await context.rejects(adapter, subscription.acknowledge(['0 a:1']), 'closed')
    }
  },
  {
    group,
    name: 'there is no backlog and nothing committed to tell',
    applies: queue,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = await context.topic()
      await context.rejects(adapter, admin.backlog(topic, [topic]), 'unsupported')
      await context.rejects(adapter, admin.committed(topic, topic), 'unsupported')
    }
  },
  {
    group,
    name: 'a private view sees all that is written since it was opened, and knows when it has',
    applies: queue,
    async run(context) {
      const adapter = await context.adapter()
      if (!adapter.partitionReader) return // its vitals are on another broker
      // The topic of the vitals: one partition, whose order is kept.
      const topic = 'tidemark.vitals'
      const admin = adapter.admin()
      if (!(await admin.describeTopic(topic))) await admin.createTopic({ topic, partitions: 1 }).catch(() => {})
      const readers = [await context.partitionReader(topic), await context.partitionReader(topic)]
      const producer = await context.producer()
      const mine = context.name('mine')
      for (let round = 0; round < 10; round++) {
        await context.send(
          numbers(topic, 0, round * 10, round * 10 + 10).map(record => ({ ...record, key: Buffer.from(mine) })),
          producer
        )
        for (const reader of readers) {
          const seen: string[] = []
          for (let atEnd = false; !atEnd;) {
            const batch = await reader.receive({ wait: 0, signal: context.signal })
            atEnd = batch.atEnd
            seen.push(...texts(batch.records.filter(({ key }) => key !== null && Buffer.from(key).toString() === mine)))
          }
          assert.deepEqual(seen, range(round * 10, round * 10 + 10))
        }
      }
      await readers[0]!.close()
      await context.rejects(adapter, readers[0]!.receive({ wait: 0 }), 'closed')
    }
  }
]

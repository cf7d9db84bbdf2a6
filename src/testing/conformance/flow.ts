import assert from 'node:assert/strict'
import { sizeOf } from '../../core/record.ts'
import { all, always, groups, log, type Applies } from './applies.ts'
import { numbers, outgoing, range } from './context.ts'
import { timed } from './member.ts'
import type { ConformanceCase } from './types.ts'

const group = 'flow'

const outside: Applies = capabilities =>
  capabilities.scope !== 'process' || 'the log itself is in the memory of this process'

const kilobyte = 1024
/** Later than this the signal was not honoured. The contract says 100 ms; a busy machine gets some grace. */
const promptly = 1000

export const flowCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'a paused partition is silent, the others go on; resumed, it misses nothing',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      const member = await context.member({ group: topic, topics: [topic] })
      await context.until('both partitions', () => member.owned.length === 2, member)
      await context.sendNumbers(topic, 0, 0, 5)
      await context.until('5 records', () => member.values(0).length === 5, member)
      member.reader.pause([{ topic, partition: 0 }])
      await context.sendNumbers(topic, 0, 5, 10)
      await context.sendNumbers(topic, 1, 0, 5)
      await context.until('the other partition', () => member.values(1).length === 5, member)
      await context.linger(300, member)
      assert.deepEqual(member.values(0), range(0, 5))
      member.reader.resume([{ topic, partition: 0 }])
      await context.until('the rest', () => member.values(0).length >= 10, member)
      assert.deepEqual(member.values(0), range(0, 10))
      assert.deepEqual(member.values(1), range(0, 5))
    }
  },
  {
    group,
    name: 'one receive of a group hands over about maxBytes at most',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      const value = Buffer.alloc(32 * kilobyte)
      for (const partition of [0, 1])
        await context.send(Array.from({ length: 25 }, () => outgoing(topic, partition, value)))
      const member = await context.member({ group: topic, topics: [topic], maxBytes: 128 * kilobyte })
      let most = 0
      await context.until('the partitions', () => member.owned.length === 2, member)
      for (const deadline = Date.now() + 20_000; member.records.length < 50 && Date.now() < deadline;) {
        const events = await member.step()
        const sizes = events.flatMap(event => (event.kind === 'records' ? event.records.map(sizeOf) : []))
        most = Math.max(
          most,
          sizes.reduce((sum, size) => sum + size, 0)
        )
      }
      assert.equal(member.records.length, 50)
      assert.ok(most <= 256 * kilobyte, `one receive handed over ${most} bytes with maxBytes ${128 * kilobyte}`)
    }
  },
  {
    group,
    name: 'a reader that does not receive holds no more than its bound',
    applies: all(groups, outside),
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      const value = Buffer.alloc(256 * kilobyte, 1)
      for (let batch = 0; batch < 64; batch++)
        await context.send([outgoing(topic, 0, value), outgoing(topic, 0, value), outgoing(topic, 0, value)], producer)
      const member = await context.member({ group: topic, topics: [topic], maxBytes: 1024 * kilobyte })
      await context.until('the first record', () => member.records.length > 0, member)
      const before = process.memoryUsage().arrayBuffers
      await context.sleep(2000)
      const held = process.memoryUsage().arrayBuffers - before
      // 48 MB are waiting; buffers that only wait for the garbage collector are counted too.
      assert.ok(held < 16 * kilobyte * kilobyte, `${held} bytes piled up with maxBytes ${1024 * kilobyte}`)
      await context.until('all', () => member.records.length >= 192, member)
    }
  },
  {
    group,
    name: 'a record that is larger than maxBytes is delivered all the same',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      await context.send([outgoing(topic, 0, Buffer.alloc(64 * kilobyte)), ...numbers(topic, 0, 0, 2)])
      const member = await context.member({ group: topic, topics: [topic], maxBytes: 16 * kilobyte })
      await context.until('3 records', () => member.records.length >= 3, member)
      assert.equal(member.records[0]!.value?.byteLength, 64 * kilobyte)
    }
  },
  {
    group,
    name: 'receive gives an empty array after its wait, not before',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      const member = await context.member({ group: topic, topics: [topic] })
      await context.until('the partition', () => member.owned.length === 1, member)
      await context.linger(300, member)
      const took = await timed(async () => assert.deepEqual(await member.reader.receive({ wait: 400 }), []))
      assert.ok(took >= 380, `it took ${took} ms`)
      assert.ok(took < 400 + promptly * 2, `it took ${took} ms`)
    }
  },
  {
    group,
    name: 'a waiting receive is woken by a record',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      const member = await context.member({ group: topic, topics: [topic] })
      await context.until('the partition', () => member.owned.length === 1, member)
      await context.linger(300, member)
      const waiting = member.step(context.paced(15_000))
      await context.sleep(100)
      await context.sendNumbers(topic, 0, 0, 1)
      const took = await timed(() => waiting)
      assert.deepEqual(member.values(), ['0'])
      assert.ok(took < context.paced(5000), `the record came after ${took} ms`)
    }
  },
  {
    group,
    name: 'receive of a group is ended by its signal, and nothing is lost by that',
    applies: groups,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic()
      const member = await context.member({ group: topic, topics: [topic] })
      await context.until('the partition', () => member.owned.length === 1, member)
      await context.linger(300, member)
      const stop = new AbortController()
      const receiving = member.reader.receive({ wait: 15_000, signal: stop.signal })
      stop.abort()
      const took = await timed(() => context.rejects(adapter, receiving, 'aborted'))
      assert.ok(took < promptly, `it took ${took} ms`)
      await context.rejects(adapter, member.reader.receive({ wait: 1000, signal: AbortSignal.abort() }), 'aborted')
      await context.sendNumbers(topic, 0, 0, 5)
      await context.until('the records', () => member.records.length >= 5, member)
      assert.deepEqual(member.values(), range(0, 5))
    }
  },
  {
    group,
    name: 'receive of a partition is ended by its signal, and nothing is lost by that',
    applies: log,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic()
      const reader = await context.partitionReader(topic)
      await context.readToEnd(reader)
      const stop = new AbortController()
      const receiving = reader.receive({ wait: 15_000, signal: stop.signal })
      stop.abort()
      const took = await timed(() => context.rejects(adapter, receiving, 'aborted'))
      assert.ok(took < promptly, `it took ${took} ms`)
      await context.sendNumbers(topic, 0, 0, 5)
      assert.equal((await context.readToEnd(reader)).length, 5)
    }
  },
  {
    group,
    name: 'send with a signal that has fired is refused, and writes nothing',
    applies: always,
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      const sending = producer.send(numbers(topic, 0, 0, 3), AbortSignal.abort())
      await context.rejects(await context.adapter(), sending, 'aborted')
      await context.sendNumbers(topic, 0, 3, 5, producer)
      if (context.harness.capabilities.positions === 'log') assert.equal((await context.readAll(topic)).length, 2)
    }
  }
]

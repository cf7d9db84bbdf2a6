import assert from 'node:assert/strict'
import { systemEnvironment } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import { encodeStamp } from '../../core/stamp.ts'
import type { Delivery } from '../../spec/index.ts'
import { all, queue, type Applies } from './applies.ts'
import { type CaseContext, numbers, outgoing, range } from './context.ts'
import { QueueReader, sortedTexts } from './queue-reader.ts'
import type { ConformanceCase } from './types.ts'

const group = 'queue records'

const tombstones: Applies = capabilities => capabilities.tombstones || 'the backend cannot tell null from empty'
const limited: Applies = capabilities => capabilities.maxRecord < Infinity || 'only memory limits a record'

/** Writes one record to a new topic and reads it back. */
async function roundTrip(context: CaseContext, record: Partial<OutgoingRecord>): Promise<Delivery> {
  const topic = await context.topic()
  const reader = await QueueReader.open(context, { group: topic, topic })
  await context.send([outgoing(topic, 0, 'value', record)])
  return (await reader.take(1))[0]!
}

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

function same(actual: Uint8Array | null | undefined, expected: Uint8Array): void {
  assert.ok(actual instanceof Uint8Array, `expected bytes, got ${String(actual)}`)
  assert.deepEqual(Buffer.from(actual), Buffer.from(expected))
}

export const queueRecordCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'over a queue, key and value come back byte for byte, whether they are text or not',
    applies: queue,
    async run(context) {
      const text = Buffer.from('größe ✓')
      for (const key of [every, text, Buffer.alloc(0)]) {
        const record = await roundTrip(context, { key, value: Buffer.concat([every, key]) })
        same(record.key, key)
        same(record.value, Buffer.concat([every, key]))
      }
    }
  },
  {
    group,
    name: 'over a queue, a record without a key, headers and stamp comes back without them',
    applies: queue,
    async run(context) {
      const record = await roundTrip(context, { key: null })
      assert.equal(record.key, null)
      assert.equal(record.stamp, undefined)
      assert.deepEqual(Object.keys(record.headers), [])
      assert.equal(record.partition, 0)
    }
  },
  {
    group,
    name: 'over a queue, an empty value is empty, a null value (tombstone) is null',
    applies: all(queue, tombstones),
    async run(context) {
      same((await roundTrip(context, { key: every, value: Buffer.alloc(0) })).value, Buffer.alloc(0))
      assert.equal((await roundTrip(context, { key: every, value: null })).value, null)
    }
  },
  {
    group,
    name: 'over a queue, headers come back, unicode names and empty values included; the stamp comes back apart from them',
    applies: queue,
    async run(context) {
      const headers = { 'trace-id': Buffer.from('4bf92f35'), größe: Buffer.from('naïve ✓ 🌊'), empty: Buffer.alloc(0) }
      const stamp = encodeStamp('\u00ff\u0000producer-id-12', 2 ** 40, 1_700_000_000_000, 1_699_999_999_000, false)
      const record = await roundTrip(context, { headers, stamp })
      assert.deepEqual(Object.keys(record.headers).toSorted(), Object.keys(headers).toSorted())
      for (const [name, value] of Object.entries(headers)) same(record.headers[name], value)
      same(record.stamp, stamp)
    }
  },
  {
    group,
    name: 'over a queue, the timestamp is the event time, or the time of the append where the broker says so',
    applies: queue,
    async run(context) {
      const timestamp = systemEnvironment.now() - 3_600_000
      const record = await roundTrip(context, { timestamp })
      if (context.harness.capabilities.brokerTime === 'client') assert.equal(record.timestamp, timestamp)
      else
        assert.ok(Math.abs(record.timestamp - systemEnvironment.now()) < 600_000, `append time is ${record.timestamp}`)
    }
  },
  {
    group,
    name: 'over a queue, a batch over several partitions and topics has a result per record; each partition gets its own',
    applies: queue,
    async run(context) {
      const topics = [await context.topic(3), await context.topic(2)]
      const places = topics.flatMap((topic, index) =>
        (index === 0 ? [0, 1, 2] : [0, 1]).map(partition => ({ topic, partition }))
      )
      const readers = await Promise.all(
        places.map(({ topic, partition }) =>
          QueueReader.open(context, { group: topic, topic, partitions: [partition] })
        )
      )
      const batch = Array.from({ length: 60 }, (_, index) => {
        const { topic, partition } = places[index % places.length]!
        return outgoing(topic, partition, String(index))
      })
      await context.send(batch)
      for (const [place, reader] of readers.entries()) {
        const mine = batch.flatMap((_, index) => (index % places.length === place ? [String(index)] : []))
        const deliveries = await reader.take(mine.length)
        assert.deepEqual(sortedTexts(deliveries), mine)
        assert.ok(deliveries.every(({ partition }) => partition === places[place]!.partition))
        assert.deepEqual(await reader.linger(300), [], 'nothing of the other partitions')
      }
    }
  },
  {
    group,
    name: 'over a queue, a record that is too large is refused with too-large, and nothing after it in its partition is written',
    applies: all(queue, limited),
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic(2)
      const reader = await QueueReader.open(context, { group: topic, topic, partitions: [0, 1] })
      const huge = outgoing(topic, 0, Buffer.alloc(adapter.capabilities.maxRecord + 1024 * 1024, 7))
      const batch = [...numbers(topic, 0, 0, 3), huge, ...numbers(topic, 0, 3, 6), ...numbers(topic, 1, 6, 8)]
      const results = await (await context.producer()).send(batch)
      const refused = results[3]!
      assert.ok(!refused.ok, 'the large record was accepted')
      assert.deepEqual(adapter.classify(refused.error), { code: 'too-large', retryable: false })
      for (const result of results.slice(4, 7)) assert.ok(!result.ok, 'a record after the refused one was accepted')
      const accepted = batch.filter((_, index) => results[index]!.ok)
      assert.equal(accepted.length, 5, 'what came before it, and the other partition')
      assert.deepEqual(sortedTexts(await reader.take(5)), sortedTexts(accepted))
      assert.deepEqual(await reader.linger(300), [])
    }
  },
  {
    group,
    name: 'over a queue, the largest record that is declared comes through, larger than what the reader may hold',
    applies: all(queue, limited),
    async run(context) {
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic, maxBytes: 64 * 1024 })
      const value = Buffer.alloc(context.harness.capabilities.maxRecord, 7)
      await context.send([outgoing(topic, 0, value), ...numbers(topic, 0, 0, 2)])
      const deliveries = await reader.take(3)
      assert.ok(deliveries.some(delivery => delivery.value?.byteLength === value.byteLength))
    }
  },
  {
    group,
    name: 'over a queue, a batch for a topic that exists and one that does not fails for the latter alone',
    applies: queue,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic()
      const reader = await QueueReader.open(context, { group: topic, topic })
      const batch = [...numbers(topic, 0, 0, 1), outgoing(context.name('nowhere'), 0, 'b'), ...numbers(topic, 0, 1, 2)]
      const results = await (await context.producer()).send(batch)
      assert.deepEqual(
        results.map(result => result.ok),
        [true, false, true]
      )
      const refused = results[1]!
      assert.ok(!refused.ok)
      assert.equal(adapter.classify(refused.error).code, 'unknown-topic')
      assert.deepEqual(sortedTexts(await reader.take(2)), range(0, 2))
    }
  }
]

import assert from 'node:assert/strict'
import { all, log, type Applies } from './applies.ts'
import { outgoing, range, texts } from './context.ts'
import { timed } from './member.ts'
import type { ConformanceCase } from './types.ts'

const group = 'partition reader'

const time: Applies = capabilities => capabilities.seekToTime || 'the backend cannot start at a time'
const client: Applies = capabilities => capabilities.brokerTime === 'client' || 'the broker keeps its own time'

export const partitionReaderCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'an empty partition is at its end',
    applies: log,
    async run(context) {
      const topic = await context.topic(2)
      assert.deepEqual(await context.readAll(topic, 1), [])
    }
  },
  {
    group,
    name: 'atEnd comes with or after the last record, never before',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 700)
      const reader = await context.partitionReader(topic, 0, 'earliest', 16 * 1024)
      assert.deepEqual(texts(await context.readToEnd(reader)), range(0, 700))
    }
  },
  {
    group,
    name: 'what was written before a receive is part of that end, time after time',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      const reader = await context.partitionReader(topic)
      assert.deepEqual(await context.readToEnd(reader), [])
      for (let round = 0; round < 20; round++) {
        await context.sendNumbers(topic, 0, round, round + 1, producer)
        assert.deepEqual(texts(await context.readToEnd(reader)), [String(round)])
      }
    }
  },
  {
    group,
    name: 'who does not wait comes to the end, though records come all the time',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      const reader = await context.partitionReader(topic)
      const writers = 16
      let written = 0
      let isOver = false
      const write = async (): Promise<void> => {
        while (!isOver && !context.signal.aborted)
          await context.sendNumbers(topic, 0, written, (written += 1), producer)
      }
      const reading = async (): Promise<void> => {
        let read = 0
        for (let before = 0, misses = 0; before < 200;) {
          before = written
          const batch = await reader.receive({ wait: 0, signal: context.signal })
          read += batch.records.length
          // The last ones may not have been acknowledged.
          if (batch.atEnd) assert.ok(read >= before - writers, `${read} records were read at the end of ${before}`)
          else {
            before = 0
            assert.ok(++misses < 50, `${misses} reads, and ${read} records, but never the end`)
          }
        }
      }
      await Promise.all([...Array.from({ length: writers }, write), reading().finally(() => (isOver = true))])
    }
  },
  {
    group,
    name: 'a new reader finds everything that was acknowledged before it was opened',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      for (let round = 1; round <= 10; round++) {
        await context.sendNumbers(topic, 0, round * 10 - 10, round * 10, producer)
        assert.equal((await context.readAll(topic)).length, round * 10)
      }
    }
  },
  {
    group,
    name: 'it starts at the latest, or after a position',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 10)
      const latest = await context.partitionReader(topic, 0, 'latest')
      assert.deepEqual(await context.readToEnd(latest), [])
      const records = await context.readAll(topic)
      await context.sendNumbers(topic, 0, 10, 12)
      assert.deepEqual(texts(await context.readToEnd(latest)), range(10, 12))
      assert.deepEqual(texts(await context.readAll(topic, 0, { after: records[6]!.position })), range(7, 12))
      assert.deepEqual(texts(await context.readAll(topic, 0, { after: records[0]!.position })), range(1, 12))
    }
  },
  {
    group,
    name: 'it starts at a time',
    applies: all(log, time, client),
    async run(context) {
      const topic = await context.topic()
      const start = 1_700_000_000_000
      await context.send(
        Array.from({ length: 8 }, (_, index) => outgoing(topic, 0, String(index), { timestamp: start + index * 1000 }))
      )
      assert.deepEqual(texts(await context.readAll(topic, 0, { time: start + 3000 })), range(3, 8))
      assert.deepEqual(texts(await context.readAll(topic, 0, { time: start + 3001 })), range(4, 8))
      assert.deepEqual(texts(await context.readAll(topic, 0, { time: start - 1 })), range(0, 8))
      assert.deepEqual(texts(await context.readAll(topic, 0, { time: start + 60_000 })), [])
    }
  },
  {
    group,
    name: 'a position read by a group is good for a partition reader, and the other way round',
    applies: (capabilities, traits) =>
      capabilities.groups ? log(capabilities, traits) : 'the broker has no consumer groups',
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 10)
      const positions = (await context.readAll(topic)).map(record => record.position)
      const member = await context.member({ group: topic, topics: [topic], at: { after: positions[3]! } })
      await context.until('6 records', () => member.records.length >= 6, member)
      assert.deepEqual(
        member.records.map(record => record.position),
        positions.slice(4)
      )
      assert.deepEqual(texts(await context.readAll(topic, 0, { after: member.records[2]!.position })), range(7, 10))
    }
  },
  {
    group,
    name: 'at the end it waits, and is woken by a record',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const reader = await context.partitionReader(topic)
      await context.readToEnd(reader)
      const empty = await timed(async () =>
        assert.deepEqual(await reader.receive({ wait: 300 }), { records: [], atEnd: true })
      )
      assert.ok(empty >= 280, `it waited ${empty} ms instead of 300`)
      const waiting = reader.receive({ wait: context.paced(15_000) })
      await context.sleep(100)
      await context.sendNumbers(topic, 0, 0, 1)
      const took = await timed(async () => assert.deepEqual(texts((await waiting).records), ['0']))
      assert.ok(took < context.paced(5000), `the record came after ${took} ms`)
    }
  },
  {
    group,
    name: 'two readers of one partition both see everything',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const readers = [await context.partitionReader(topic), await context.partitionReader(topic)]
      await context.sendNumbers(topic, 0, 0, 100)
      for (const records of await Promise.all(readers.map(reader => context.readToEnd(reader))))
        assert.deepEqual(texts(records), range(0, 100))
    }
  },
  {
    group,
    name: 'one receive hands over about maxBytes at most',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      const value = Buffer.alloc(32 * 1024)
      await context.send(Array.from({ length: 25 }, () => outgoing(topic, 0, value)))
      const reader = await context.partitionReader(topic, 0, 'earliest', 128 * 1024)
      let seen = 0
      for (const deadline = context.deadline(); seen < 25 && performance.now() < deadline;) {
        const { records } = await reader.receive({ wait: 200 })
        assert.ok(records.length <= 8, `${records.length} records of 32 kB at once with maxBytes of 128 kB`)
        seen += records.length
      }
      assert.equal(seen, 25)
    }
  }
]

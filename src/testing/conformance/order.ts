import assert from 'node:assert/strict'
import { all, log, type Applies } from './applies.ts'
import { numbers, outgoing, range, texts } from './context.ts'
import type { ConformanceCase } from './types.ts'

const group = 'order'

const ordered: Applies = capabilities =>
  capabilities.order === 'partition' || 'the transport does not keep the order of a partition'
const limited: Applies = capabilities => capabilities.maxRecord < Infinity || 'only memory limits a record'

export const orderCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'a partition keeps the order of many batches',
    applies: all(log, ordered),
    async run(context) {
      const topic = await context.topic()
      const producer = await context.producer()
      for (let batch = 0; batch < 100; batch++)
        await context.sendNumbers(topic, 0, batch * 20, batch * 20 + 20, producer)
      assert.deepEqual(texts(await context.readAll(topic)), range(0, 2000))
    }
  },
  {
    group,
    name: 'a batch over several partitions and topics has a result per record, in its order',
    applies: all(log, ordered),
    async run(context) {
      const topics = [await context.topic(3), await context.topic(2)]
      const batch = Array.from({ length: 60 }, (_, index) =>
        outgoing(topics[index % 2]!, index % 2 === 0 ? index % 3 : (index >> 1) % 2, String(index))
      )
      const positions = await context.send(batch)
      for (const topic of topics) {
        for (let partition = 0; partition < (topic === topics[0] ? 3 : 2); partition++) {
          const mine = batch.flatMap((record, index) =>
            record.topic === topic && record.partition === partition ? index : []
          )
          const records = await context.readAll(topic, partition)
          assert.deepEqual(texts(records), mine.map(String))
          const reported = mine.map(index => positions[index])
          if (reported.every(position => position !== undefined))
            assert.deepEqual(
              records.map(record => record.position),
              reported,
              'a result names the position of its record'
            )
        }
      }
    }
  },
  {
    group,
    name: 'batches sent at once to different partitions do not disturb each other',
    applies: all(log, ordered),
    async run(context) {
      const topic = await context.topic(4)
      const producer = await context.producer()
      const fill = async (partition: number): Promise<void> => {
        for (let batch = 0; batch < 10; batch++)
          await context.sendNumbers(topic, partition, batch * 30, batch * 30 + 30, producer)
      }
      await Promise.all([0, 1, 2, 3].map(fill))
      for (let partition = 0; partition < 4; partition++)
        assert.deepEqual(texts(await context.readAll(topic, partition)), range(0, 300))
    }
  },
  {
    group,
    name: 'positions of a partition grow, and compare as they were written',
    applies: log,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 150)
      const { comparePositions } = await context.adapter()
      const positions = (await context.readAll(topic)).map(record => record.position)
      assert.equal(positions.length, 150)
      for (let index = 1; index < positions.length; index++) {
        assert.ok(
          comparePositions(positions[index - 1]!, positions[index]!) < 0,
          `${positions[index - 1]} is before ${positions[index]}`
        )
        assert.ok(comparePositions(positions[index]!, positions[index - 1]!) > 0)
        assert.equal(comparePositions(positions[index]!, positions[index]!), 0)
      }
    }
  },
  {
    group,
    name: 'a record that is too large is refused with too-large, and nothing after it in its partition is written',
    applies: all(log, limited),
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic(2)
      const huge = outgoing(topic, 0, Buffer.alloc(adapter.capabilities.maxRecord + 1024, 7))
      const batch = [...numbers(topic, 0, 0, 3), huge, ...numbers(topic, 0, 3, 6)]
      const results = await (await context.producer()).send(batch)
      const refused = results[3]!
      assert.ok(!refused.ok, 'the large record was accepted')
      assert.deepEqual(adapter.classify(refused.error), { code: 'too-large', retryable: false })
      for (const result of results.slice(4)) assert.ok(!result.ok, 'a record after the refused one was accepted')
      const accepted = batch.filter((_, index) => results[index]!.ok)
      assert.deepEqual(texts(await context.readAll(topic)), texts(accepted))
    }
  }
]

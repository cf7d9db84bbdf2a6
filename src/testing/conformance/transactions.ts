import assert from 'node:assert/strict'
import type { AnyAdapter, TransactionOutcome } from '../../spec/index.ts'
import { all, groups, log, transactions, type Applies } from './applies.ts'
import { type CaseContext, numbers, outgoing, range, texts } from './context.ts'
import type { ConformanceCase } from './types.ts'

const group = 'transactions'

const transactional: Applies = all(transactions, log)

async function outcomeOf(
  ending: Promise<{ outcome: TransactionOutcome; error?: unknown }>
): Promise<TransactionOutcome> {
  return (await ending).outcome
}

async function values(context: CaseContext, topic: string, partition = 0): Promise<string[]> {
  return texts(await context.readAll(topic, partition))
}

/** Two adapters, as in two processes. */
async function two(context: CaseContext): Promise<[AnyAdapter, AnyAdapter]> {
  return [await context.start(), await context.start()]
}

export const transactionCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'all records are there when the commit has returned, over all partitions and topics',
    applies: transactional,
    async run(context) {
      const [first, second] = [await context.topic(3), await context.topic(1)]
      const producer = await context.fencedProducer(first)
      for (let round = 0; round < 15; round++) {
        const batch = [first, first, first, second].flatMap((topic, index) =>
          numbers(topic, topic === first ? index : 0, round * 10, round * 10 + 10)
        )
        assert.equal(await outcomeOf(producer.commit({ records: batch })), 'committed')
        const expected = range(0, round * 10 + 10)
        for (let partition = 0; partition < 3; partition++)
          assert.deepEqual(await values(context, first, partition), expected)
        assert.deepEqual(await values(context, second), expected)
      }
    }
  },
  {
    group,
    name: 'a transaction that cannot be written as a whole leaves nothing that a read-committed reader sees',
    applies: transactional,
    async run(context) {
      const topic = await context.topic(2)
      const producer = await context.fencedProducer(topic)
      const ending = await producer.commit({
        records: [...numbers(topic, 0, 0, 5), outgoing(context.name('nowhere'), 0, 'x'), ...numbers(topic, 1, 0, 5)]
      })
      assert.ok(ending.outcome !== 'committed' && ending.outcome !== 'fenced', `the outcome is ${ending.outcome}`)
      // An unclear end is settled by the next producer of the id; after an abort the same one goes on.
      const next = ending.outcome === 'aborted' ? producer : await context.fencedProducer(topic)
      for (const partition of [0, 1]) assert.deepEqual(await values(context, topic, partition), [])
      assert.equal(await outcomeOf(next.commit({ records: numbers(topic, 0, 100, 103) })), 'committed')
      assert.deepEqual(await values(context, topic), range(100, 103))
    }
  },
  {
    group,
    name: 'a group does not see what was aborted, and is not stopped by it',
    applies: all(transactional, groups),
    async run(context) {
      const topic = await context.topic()
      const member = await context.member({ group: topic, topics: [topic] })
      const producer = await context.fencedProducer(topic)
      assert.equal(await outcomeOf(producer.commit({ records: numbers(topic, 0, 0, 3) })), 'committed')
      await producer.commit({ records: [...numbers(topic, 0, 50, 55), outgoing(context.name('nowhere'), 0, 'x')] })
      const next = await context.fencedProducer(topic)
      assert.equal(await outcomeOf(next.commit({ records: numbers(topic, 0, 3, 6) })), 'committed')
      await context.until('6 records', () => member.records.length >= 6, member)
      await context.linger(300, member)
      assert.deepEqual(member.values(), range(0, 6))
    }
  },
  {
    group,
    name: 'a new producer of an id fences the one before it, whose records are never seen',
    applies: transactional,
    async run(context) {
      const topic = await context.topic(2)
      const [left, right] = await two(context)
      const old = await context.fencedProducer(topic, left)
      assert.equal(await outcomeOf(old.commit({ records: numbers(topic, 0, 0, 3) })), 'committed')
      const successor = await context.fencedProducer(topic, right)
      assert.equal(
        await outcomeOf(old.commit({ records: [...numbers(topic, 0, 50, 53), ...numbers(topic, 1, 50, 53)] })),
        'fenced'
      )
      assert.equal(await outcomeOf(successor.commit({ records: numbers(topic, 0, 3, 5) })), 'committed')
      // What is fenced stays so; a driver may also refuse to be used any more.
      const again = await outcomeOf(old.commit({ records: numbers(topic, 0, 60, 61) })).catch(() => 'refused')
      assert.ok(again === 'fenced' || again === 'refused', `the second commit of a fenced producer ended ${again}`)
      assert.deepEqual(await values(context, topic), range(0, 5))
      assert.deepEqual(await values(context, topic, 1), [])
    }
  },
  {
    group,
    name: 'each of several successors fences all before it',
    applies: transactional,
    async run(context) {
      const topic = await context.topic()
      const producers = []
      for (let index = 0; index < 4; index++) {
        producers.push(await context.fencedProducer(topic))
        assert.equal(
          await outcomeOf(producers[index]!.commit({ records: numbers(topic, 0, index, index + 1) })),
          'committed'
        )
      }
      for (const old of producers.slice(0, 3))
        assert.equal(await outcomeOf(old.commit({ records: numbers(topic, 0, 90, 91) })), 'fenced')
      assert.deepEqual(await values(context, topic), range(0, 4))
    }
  },
  {
    group,
    name: 'a take-over in the middle of a commit leaves all of it or nothing, as the outcome says',
    applies: transactional,
    async run(context) {
      const topic = await context.topic(3)
      const [left, right] = await two(context)
      for (let round = 0; round < 5; round++) {
        const old = await context.fencedProducer(topic, left)
        const records = [0, 1, 2].flatMap(partition => numbers(topic, partition, round * 10, round * 10 + 10))
        const ending = old.commit({ records })
        await context.sleep(round * 3)
        const successor = await context.fencedProducer(topic, right)
        // The predecessor's transaction is at its end now, whatever it was: both reads must agree with it.
        const before = await Promise.all(
          [0, 1, 2].map(async partition => (await values(context, topic, partition)).length)
        )
        const outcome = await outcomeOf(ending)
        const after = await Promise.all(
          [0, 1, 2].map(async partition => (await values(context, topic, partition)).length)
        )
        assert.deepEqual(after, before, 'the transaction came to its end only after the take-over')
        assert.equal(new Set(after).size, 1, `the transaction is torn: ${after.join(', ')} records`)
        const has = (await values(context, topic)).includes(String(round * 10))
        if (outcome === 'committed') assert.ok(has, 'committed, and not there')
        if (outcome === 'fenced' || outcome === 'aborted') assert.ok(!has, `${outcome}, and there`)
        await old.close()
        await successor.close()
      }
    }
  },
  {
    group,
    name: 'producers of different ids do not disturb each other',
    applies: transactional,
    async run(context) {
      const topic = await context.topic(4)
      const work = async (partition: number): Promise<void> => {
        const producer = await context.fencedProducer(`${topic}/${partition}`)
        for (let round = 0; round < 5; round++) {
          const records = [...numbers(topic, partition, round * 5, round * 5 + 5)]
          assert.equal(await outcomeOf(producer.commit({ records })), 'committed')
        }
      }
      await Promise.all([0, 1, 2, 3].map(work))
      for (let partition = 0; partition < 4; partition++)
        assert.deepEqual(await values(context, topic, partition), range(0, 25))
    }
  },
  {
    group,
    name: 'offsets are committed with the records, and not by one that was fenced',
    applies: all(transactional, groups),
    async run(context) {
      const [input, output] = [await context.topic(2), await context.topic()]
      const admin = await context.admin()
      await context.sendNumbers(input, 0, 0, 6)
      const positions = (await context.readAll(input)).map(record => record.position)
      const offsets = (
        index: number
      ): { group: string; positions: { topic: string; partition: number; position: string }[] } => ({
        group: input,
        positions: [{ topic: input, partition: 0, position: positions[index]! }]
      })
      const producer = await context.fencedProducer(output)
      assert.equal(
        await outcomeOf(producer.commit({ records: numbers(output, 0, 0, 1), offsets: offsets(2) })),
        'committed'
      )
      // Brokers may show offsets of a transaction a moment later than its records.
      for (const deadline = context.deadline(); performance.now() < deadline; await context.sleep(100))
        if ((await admin.committed(input, input))[0] !== undefined) break
      assert.deepEqual(await admin.committed(input, input), [positions[2], undefined])
      const successor = await context.fencedProducer(output)
      assert.equal(
        await outcomeOf(producer.commit({ records: numbers(output, 0, 7, 8), offsets: offsets(5) })),
        'fenced'
      )
      assert.deepEqual(await admin.committed(input, input), [positions[2], undefined])
      await successor.close()
      const member = await context.member({ group: input, topics: [input] })
      await context.until('the rest', () => member.records.length >= 3, member)
      assert.deepEqual(member.values(), range(3, 6))
    }
  },
  {
    group,
    name: 'keys, headers, stamps and tombstones survive a transaction',
    applies: transactional,
    async run(context) {
      const topic = await context.topic()
      const producer = await context.fencedProducer(topic)
      const more = {
        key: Buffer.from('key'),
        headers: { name: Buffer.from('header') },
        stamp: Buffer.from([0, 255, 7])
      }
      assert.equal(
        await outcomeOf(
          producer.commit({ records: [outgoing(topic, 0, 'value', more), outgoing(topic, 0, null, more)] })
        ),
        'committed'
      )
      const [first, second] = await context.readAll(topic)
      assert.equal(Buffer.from(first!.key!).toString(), 'key')
      assert.equal(Buffer.from(first!.headers['name']!).toString(), 'header')
      assert.deepEqual([...first!.stamp!], [0, 255, 7])
      if (context.harness.capabilities.tombstones) assert.equal(second!.value, null)
    }
  },
  {
    group,
    name: 'plain and transactional records share a partition in the order of their acknowledgement',
    applies: transactional,
    async run(context) {
      const topic = await context.topic()
      const plain = await context.producer()
      const producer = await context.fencedProducer(topic)
      for (let round = 0; round < 5; round++) {
        await context.sendNumbers(topic, 0, round * 4, round * 4 + 2, plain)
        assert.equal(
          await outcomeOf(producer.commit({ records: numbers(topic, 0, round * 4 + 2, round * 4 + 4) })),
          'committed'
        )
      }
      assert.deepEqual(await values(context, topic), range(0, 20))
    }
  }
]

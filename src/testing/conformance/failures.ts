import assert from 'node:assert/strict'
import { always, groups, log, transactions, type Applies } from './applies.ts'
import { type CaseContext, numbers, outgoing } from './context.ts'
import { timed } from './member.ts'
import type { ConformanceCase } from './types.ts'
import type { AnyAdapter, ProducerDriver } from '../../spec/index.ts'

const group = 'failures'

const network: Applies = (capabilities, traits) => {
  if (capabilities.scope !== 'network') return 'there is no connection that could break'
  return traits.unreachable !== undefined || 'the harness has no unreachable()'
}

/** The code with which a send fails, by rejection or by results that all fail. */
async function sendFailure(adapter: AnyAdapter, producer: ProducerDriver, topic: string): Promise<string> {
  try {
    const results = await producer.send(numbers(topic, 0, 0, 2))
    const codes = new Set(results.map(result => (result.ok ? 'ok' : adapter.classify(result.error).code)))
    assert.equal(codes.size, 1)
    return [...codes][0]!
  } catch (error) {
    return adapter.classify(error).code
  }
}

/** An adapter of its own, because the case closes it. */
async function own(context: CaseContext): Promise<{ adapter: AnyAdapter; topic: string }> {
  return { adapter: await context.start(), topic: await context.topic() }
}

export const failureCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'sending to an unknown topic fails with unknown-topic and does not create it',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      const topic = context.name('nowhere')
      assert.equal(await sendFailure(adapter, await context.producer(), topic), 'unknown-topic')
      assert.equal(await (await context.admin(adapter)).describeTopic(topic), undefined)
    }
  },
  {
    group,
    name: 'a batch for a topic that exists and one that does not fails for the latter alone',
    applies: log,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic()
      const batch = [outgoing(topic, 0, 'a'), outgoing(context.name('nowhere'), 0, 'b'), outgoing(topic, 0, 'c')]
      const results = await (await context.producer()).send(batch)
      assert.deepEqual(
        results.map(result => result.ok),
        [true, false, true]
      )
      const refused = results[1]!
      assert.ok(!refused.ok)
      assert.equal(adapter.classify(refused.error).code, 'unknown-topic')
      assert.equal((await context.readAll(topic)).length, 2)
    }
  },
  {
    group,
    name: 'reading a partition of an unknown topic fails with unknown-topic',
    applies: log,
    async run(context) {
      const adapter = await context.adapter()
      const topic = context.name('nowhere')
      const read = async (): Promise<void> => {
        const reader = await context.partitionReader(topic)
        await reader.receive({ wait: context.paced(5000) })
      }
      await context.rejects(adapter, read(), 'unknown-topic')
      assert.equal(await (await context.admin(adapter)).describeTopic(topic), undefined)
    }
  },
  {
    group,
    name: 'a group on an unknown topic fails with unknown-topic',
    applies: groups,
    async run(context) {
      const adapter = await context.adapter()
      const topic = context.name('nowhere')
      const join = async (): Promise<void> => {
        const reader = context.keep(
          await adapter.logReader!({
            group: topic,
            topics: [topic],
            maxBytes: 1 << 20,
            sessionTimeout: context.sessionTimeout
          })
        )
        await reader.receive({ wait: context.paced(15_000) })
      }
      await context.rejects(adapter, join(), 'unknown-topic')
      assert.equal(await (await context.admin(adapter)).describeTopic(topic), undefined)
    }
  },
  {
    group,
    name: 'a closed producer rejects with closed; closing twice is no error',
    applies: always,
    async run(context) {
      const { adapter, topic } = await own(context)
      const producer = await adapter.producer()
      await context.sendNumbers(topic, 0, 0, 2, producer)
      await producer.close()
      await producer.close()
      await context.rejects(adapter, producer.send(numbers(topic, 0, 0, 2)), 'closed')
    }
  },
  {
    group,
    name: 'a closed group reader rejects with closed, a receive under way ends; closing twice is no error',
    applies: groups,
    async run(context) {
      const { adapter, topic } = await own(context)
      const member = await context.member({ group: topic, topics: [topic], adapter })
      await context.until('the partition', () => member.owned.length === 1, member)
      const receiving = member.reader.receive({ wait: 20_000 }).catch((error: unknown) => {
        assert.equal(adapter.classify(error).code, 'closed')
      })
      await member.reader.close()
      const took = await timed(() => receiving)
      assert.ok(took < 5000, `the receive under way ended ${took} ms after the close`)
      await member.reader.close()
      await context.rejects(adapter, member.reader.receive({ wait: 10 }), 'closed')
      await context.rejects(adapter, member.reader.commit([{ topic, partition: 0, position: '0' }]), 'closed')
      await context.rejects(adapter, member.reader.seek({ topic, partition: 0 }, 'earliest'), 'closed')
    }
  },
  {
    group,
    name: 'a closed partition reader rejects with closed; closing twice is no error',
    applies: log,
    async run(context) {
      const { adapter, topic } = await own(context)
      const reader = await adapter.partitionReader!({
        topic,
        partition: 0,
        from: 'earliest',
        readCommitted: true,
        maxBytes: 1 << 20
      })
      await context.readToEnd(reader)
      await reader.close()
      await reader.close()
      await context.rejects(adapter, reader.receive({ wait: 10 }), 'closed')
    }
  },
  {
    group,
    name: 'a closed fenced producer rejects with closed',
    applies: transactions,
    async run(context) {
      const { adapter, topic } = await own(context)
      const producer = await context.fencedProducer(topic, adapter)
      await producer.close()
      await producer.close()
      await context.rejects(adapter, producer.commit({ records: numbers(topic, 0, 0, 2) }), 'closed')
    }
  },
  {
    group,
    name: 'a closed adapter opens nothing more; closing twice is no error',
    applies: always,
    async run(context) {
      const { adapter, topic } = await own(context)
      await context.sendNumbers(topic, 0, 0, 1, await adapter.producer())
      await adapter.close()
      await adapter.close()
      await context.rejects(adapter, adapter.producer(), 'closed')
      await context.rejects(adapter, (async () => adapter.admin().listTopics())(), 'closed')
    }
  },
  {
    group,
    name: 'a broker that cannot be reached is a connection error that may be retried',
    applies: network,
    async run(context) {
      const adapter = context.keep(await context.harness.unreachable!())
      try {
        await adapter.admin().listTopics()
      } catch (error) {
        assert.deepEqual(adapter.classify(error), { code: 'connection', retryable: true })
        return
      }
      assert.fail('a server that is not there listed its topics')
    }
  },
  {
    group,
    name: 'a stranger’s error is internal and not retried',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      assert.deepEqual(adapter.classify(new RangeError('a bug')), { code: 'internal', retryable: false })
      assert.deepEqual(adapter.classify('thrown text'), { code: 'internal', retryable: false })
    }
  }
]

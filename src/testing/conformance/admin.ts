import assert from 'node:assert/strict'
import { alone, always, groups } from './applies.ts'
import { systemEnvironment } from '../../core/environment.ts'
import type { CaseContext } from './context.ts'
import type { ConformanceCase } from './types.ts'

const group = 'admin'

/** Brokers may take a moment to show a change everywhere. */
async function eventually(context: CaseContext, what: string, condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = context.deadline(); !(await condition());) {
    assert.ok(systemEnvironment.monotonic() < deadline, `waited in vain for: ${what}`)
    await context.sleep(100)
  }
}

export const adminCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'a topic that was created is described with its partitions, and listed',
    applies: always,
    async run(context) {
      const admin = await context.admin()
      const topic = await context.topic(3)
      assert.deepEqual(await admin.describeTopic(topic), { topic, partitions: 3 })
      assert.ok((await admin.listTopics()).includes(topic))
    }
  },
  {
    group,
    name: 'a topic can be written and read right after it was created, by others too',
    applies: always,
    async run(context) {
      const other = await context.start()
      const producer = await context.producer(other)
      for (let round = 0; round < 3; round++) {
        const topic = await context.topic(2)
        for (const partition of [0, 1]) await context.sendNumbers(topic, partition, 0, 3, producer)
        if (other.capabilities.positions === 'log') assert.equal((await context.readAll(topic, 1)).length, 3)
      }
    }
  },
  {
    group,
    name: 'creating a topic twice fails with topic-exists',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = await context.topic(2)
      await context.rejects(adapter, admin.createTopic({ topic, partitions: 2 }), 'topic-exists')
      await context.rejects(adapter, admin.createTopic({ topic, partitions: 5 }), 'topic-exists')
      assert.deepEqual(await admin.describeTopic(topic), { topic, partitions: 2 })
    }
  },
  {
    group,
    name: 'a topic that is not there is described as undefined and not created by that',
    applies: always,
    async run(context) {
      const admin = await context.admin()
      const topic = context.name('nowhere')
      assert.equal(await admin.describeTopic(topic), undefined)
      assert.equal(await admin.describeTopic(topic), undefined)
      assert.ok(!(await admin.listTopics()).includes(topic))
    }
  },
  {
    group,
    name: 'a topic that was deleted is gone, its records too; deleting it again fails with unknown-topic',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = await context.topic(2)
      await context.sendNumbers(topic, 0, 0, 5)
      await admin.deleteTopic(topic)
      await eventually(context, 'the topic to go', async () => (await admin.describeTopic(topic)) === undefined)
      assert.ok(!(await admin.listTopics()).includes(topic))
      await context.rejects(adapter, admin.deleteTopic(topic), 'unknown-topic')
      await admin.createTopic({ topic, partitions: 1 })
      if (adapter.capabilities.positions === 'log') assert.deepEqual(await context.readAll(topic), [])
    }
  },
  {
    group,
    name: 'a group that never was has committed nothing, and its backlog is all there is',
    applies: groups,
    async run(context) {
      const admin = await context.admin()
      const topics = [await context.topic(2), await context.topic()]
      await context.sendNumbers(topics[0]!, 1, 0, 4)
      await context.sendNumbers(topics[1]!, 0, 0, 2)
      const stranger = context.name('group')
      assert.deepEqual(await admin.committed(stranger, topics[0]!), [undefined, undefined])
      const rows = await admin.backlog(stranger, topics)
      const found = rows.map(row => `${topics.indexOf(row.topic)}/${row.partition}: ${row.records}`)
      assert.deepEqual(found.toSorted(), ['0/0: 0', '0/1: 4', '1/0: 2'])
    }
  },
  {
    group,
    name: 'committed and backlog of an unknown topic fail with unknown-topic',
    applies: groups,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = context.name('nowhere')
      await context.rejects(adapter, admin.committed(context.name('group'), topic), 'unknown-topic')
      await context.rejects(adapter, admin.backlog(context.name('group'), [topic]), 'unknown-topic')
    }
  },
  {
    group,
    name: 'without groups there is no backlog of one, but of positions; an unknown topic fails with unknown-topic',
    applies: alone,
    async run(context) {
      const adapter = await context.adapter()
      const admin = await context.admin(adapter)
      const topic = await context.topic(3)
      await context.rejects(adapter, admin.backlog(topic, [topic]), 'unsupported')
      await context.rejects(adapter, admin.committed(topic, topic), 'unsupported')
      if (!admin.behind) return
      await context.sendNumbers(topic, 1, 0, 7)
      await context.sendNumbers(topic, 2, 0, 4)
      const positions = (await context.readAll(topic, 1)).map(record => record.position)
      const counts = async (...given: (string | undefined)[]): Promise<number[]> => {
        const rows = await admin.behind!(topic, given)
        return [0, 1, 2].map(partition => rows.find(row => row.partition === partition)!.records)
      }
      assert.deepEqual(await counts(), [0, 7, 4])
      assert.deepEqual(await counts(undefined, positions[2]), [0, 4, 4])
      assert.deepEqual(await counts(undefined, positions[6], undefined), [0, 0, 4])
      await context.rejects(adapter, admin.behind(context.name('nowhere'), []), 'unknown-topic')
    }
  }
]

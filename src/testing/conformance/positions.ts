import assert from 'node:assert/strict'
import { groups } from './applies.ts'
import { type CaseContext, range } from './context.ts'
import { type GroupMember, keyOf } from './member.ts'
import type { ConformanceCase } from './types.ts'

const group = 'positions'

async function open(context: CaseContext, groupName: string, topic: string): Promise<GroupMember> {
  return context.member({ group: groupName, topics: [topic] })
}

/** Reads until `count` records are there, in a member of its own; commits record `last`, if given; leaves. */
async function readSome(
  context: CaseContext,
  groupName: string,
  topic: string,
  count: number,
  last?: number
): Promise<string[]> {
  const member = await open(context, groupName, topic)
  await context.until(`${count} records`, () => member.records.length >= count, member)
  const record = last === undefined ? undefined : member.records[last]!
  if (record)
    await context.retrying(await context.adapter(), () =>
      member.reader.commit([{ topic, partition: 0, position: record.position }])
    )
  await member.close()
  return member.values()
}

export const positionCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'a group goes on right after the last position committed: nothing twice, nothing skipped',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 10)
      await readSome(context, topic, topic, 10, 3)
      assert.deepEqual(await readSome(context, topic, topic, 6), range(4, 10))
    }
  },
  {
    group,
    name: 'after the commit of the last record only new ones come',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 5)
      await readSome(context, topic, topic, 5, 4)
      const member = await open(context, topic, topic)
      await context.until('the partition', () => member.owned.length === 1, member)
      await context.linger(300, member)
      assert.deepEqual(member.values(), [])
      await context.sendNumbers(topic, 0, 5, 8)
      await context.until('the new records', () => member.records.length >= 3, member)
      assert.deepEqual(member.values(), range(5, 8))
    }
  },
  {
    group,
    name: 'what was not committed comes again when the group is opened again',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 10)
      assert.deepEqual(await readSome(context, topic, topic, 10), range(0, 10))
      assert.deepEqual(await readSome(context, topic, topic, 10), range(0, 10))
    }
  },
  {
    group,
    name: 'each commit replaces the one before it',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      const admin = await context.admin()
      await context.sendNumbers(topic, 0, 0, 6)
      const member = await open(context, topic, topic)
      await context.until('6 records', () => member.records.length === 6, member)
      for (const { position } of member.records) {
        await context.retrying(await context.adapter(), () => member.reader.commit([{ topic, partition: 0, position }]))
        assert.deepEqual(await admin.committed(topic, topic), [position])
      }
    }
  },
  {
    group,
    name: 'several partitions are committed at once, each with its own position',
    applies: groups,
    async run(context) {
      const topic = await context.topic(3)
      const admin = await context.admin()
      for (let partition = 0; partition < 3; partition++) await context.sendNumbers(topic, partition, 0, 5)
      assert.deepEqual(await admin.committed(topic, topic), [undefined, undefined, undefined])
      const member = await open(context, topic, topic)
      await context.until('15 records', () => member.records.length === 15, member)
      const chosen = [0, 2].map(
        partition => member.records.filter(record => record.partition === partition)[partition + 1]!
      )
      const positions = chosen.map(({ partition, position }) => ({ topic, partition, position }))
      await context.retrying(await context.adapter(), () => member.reader.commit(positions))
      assert.deepEqual(await admin.committed(topic, topic), [chosen[0]!.position, undefined, chosen[1]!.position])
      await member.close()
      const next = await open(context, topic, topic)
      await context.until('the other 9 records', () => next.records.length >= 9, next)
      assert.deepEqual([next.values(0), next.values(1), next.values(2)], [range(2, 5), range(0, 5), range(4, 5)])
    }
  },
  {
    group,
    name: 'two groups do not know of each other',
    applies: groups,
    async run(context) {
      const topic = await context.topic()
      await context.sendNumbers(topic, 0, 0, 4)
      await readSome(context, `${topic}.one`, topic, 4, 3)
      assert.deepEqual(await readSome(context, `${topic}.two`, topic, 4), range(0, 4))
    }
  },
  {
    group,
    name: 'the backlog is what was written and not committed',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      const admin = await context.admin()
      await context.sendNumbers(topic, 0, 0, 10)
      await context.sendNumbers(topic, 1, 0, 7)
      const member = await open(context, topic, topic)
      await context.until('17 records', () => member.records.length === 17, member)
      const fourth = member.records.filter(record => record.partition === 0)[3]!
      await context.retrying(await context.adapter(), () =>
        member.reader.commit([{ topic, partition: 0, position: fourth.position }])
      )
      const rows = (await admin.backlog(topic, [topic])).toSorted((left, right) => left.partition - right.partition)
      assert.deepEqual(rows, [
        { topic, partition: 0, records: 6 },
        { topic, partition: 1, records: 7 }
      ])
    }
  },
  {
    group,
    name: 'records of one partition arrive in order, with positions that grow',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      await context.sendNumbers(topic, 0, 0, 500)
      await context.sendNumbers(topic, 1, 0, 500)
      const member = await open(context, topic, topic)
      await context.until('1,000 records', () => member.records.length >= 1000, member)
      const { comparePositions } = await context.adapter()
      for (const partition of [0, 1]) {
        assert.deepEqual(member.values(partition), range(0, 500))
        const records = member.records.filter(record => record.partition === partition)
        records.reduce((left, right) => {
          assert.ok(comparePositions(left.position, right.position) < 0, keyOf(right))
          return right
        })
      }
    }
  }
]

import assert from 'node:assert/strict'
import type { StartAt } from '../../spec/index.ts'
import { all, groups, seekToTime, type Applies } from './applies.ts'
import { type CaseContext, outgoing, range } from './context.ts'
import type { GroupMember } from './member.ts'
import type { ConformanceCase } from './types.ts'

const group = 'seek'

/** A member that holds the one partition of a topic with the values 0 to 9, and has not sought yet. */
async function assigned(context: CaseContext, count = 10): Promise<{ topic: string; member: GroupMember }> {
  const topic = await context.topic()
  if (count > 0) await context.sendNumbers(topic, 0, 0, count)
  const member = await context.member({ group: topic, topics: [topic], at: 'nowhere' })
  await context.until('the partition', () => member.owned.length === 1, member)
  return { topic, member }
}

async function seek(
  context: CaseContext,
  member: GroupMember,
  topic: string,
  at: StartAt | 'committed'
): Promise<void> {
  await context.retrying(await context.adapter(), () => member.reader.seek({ topic, partition: 0 }, at))
}

const noTime: Applies = capabilities => !capabilities.seekToTime || 'the backend can start at a time'

export const seekCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'an assigned partition is silent until it is sought',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context)
      await context.linger(500, member)
      assert.deepEqual(member.values(), [])
      await seek(context, member, topic, 'committed')
      await context.until('10 records', () => member.records.length >= 10, member)
      assert.deepEqual(member.values(), range(0, 10))
    }
  },
  {
    group,
    name: 'earliest is the first record, latest only what comes after',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context)
      await seek(context, member, topic, 'latest')
      await context.linger(300, member)
      assert.deepEqual(member.values(), [])
      await context.sendNumbers(topic, 0, 10, 12)
      await context.until('the new ones', () => member.records.length >= 2, member)
      assert.deepEqual(member.values(), range(10, 12))
      await seek(context, member, topic, 'earliest')
      await context.until('all', () => member.records.length >= 14, member)
      assert.deepEqual(member.values().slice(2), range(0, 12))
    }
  },
  {
    group,
    name: 'after a position comes the record behind it, forwards and backwards',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context)
      await seek(context, member, topic, 'earliest')
      await context.until('10 records', () => member.records.length >= 10, member)
      const positions = member.records.map(record => record.position)
      let seen = 10
      for (const index of [6, 1, 8]) {
        await seek(context, member, topic, { after: positions[index]! })
        await context.until('the rest', () => member.records.length >= seen + 9 - index, member)
        assert.deepEqual(member.values().slice(seen), range(index + 1, 10))
        seen = member.records.length
      }
      await seek(context, member, topic, { after: positions[9]! })
      await context.linger(300, member)
      assert.equal(member.records.length, seen, 'nothing is behind the last record')
    }
  },
  {
    group,
    name: 'a time leads to the first record of that time or later',
    applies: seekToTime,
    async run(context) {
      const { topic, member } = await assigned(context, 0)
      if (context.harness.capabilities.brokerTime === 'client') {
        await context.send(
          Array.from({ length: 10 }, (_, index) =>
            outgoing(topic, 0, String(index), { timestamp: 1_700_000_000_000 + index * 1000 })
          )
        )
      } else {
        for (let index = 0; index < 10; index++) {
          await context.sendNumbers(topic, 0, index, index + 1)
          await context.sleep(20)
        }
      }
      await seek(context, member, topic, 'earliest')
      await context.until('10 records', () => member.records.length >= 10, member)
      const times = member.records.map(record => record.timestamp)
      await seek(context, member, topic, { time: times[6]! })
      await context.until('from the sixth', () => member.records.length >= 14, member)
      assert.deepEqual(member.values().slice(10), range(6, 10))
      await seek(context, member, topic, { time: times[3]! - 1 })
      await context.until('from the third', () => member.records.length >= 21, member)
      assert.deepEqual(member.values().slice(14), range(3, 10))
    }
  },
  {
    group,
    name: 'a time is refused where the backend declares that it cannot start at one',
    applies: all(groups, noTime),
    async run(context) {
      const { topic, member } = await assigned(context)
      await context.rejects(
        await context.adapter(),
        member.reader.seek({ topic, partition: 0 }, { time: 0 }),
        'unsupported'
      )
    }
  },
  {
    group,
    name: 'committed is what the group committed, earliest when it never did',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context)
      await seek(context, member, topic, 'committed')
      await context.until('10 records', () => member.records.length >= 10, member)
      const position = member.records[2]!.position
      await context.retrying(await context.adapter(), () => member.reader.commit([{ topic, partition: 0, position }]))
      await seek(context, member, topic, 'committed')
      await context.until('7 more', () => member.records.length >= 17, member)
      assert.deepEqual(member.values().slice(10), range(3, 10))
    }
  },
  {
    group,
    name: 'records that were queued before a seek are not delivered after it',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context, 2000)
      await seek(context, member, topic, 'earliest')
      await context.until('the first records', () => member.records.length > 0, member)
      // Time for a driver to read ahead.
      await context.sleep(300)
      const position = member.records[0]!.position
      const seen = member.records.length
      await seek(context, member, topic, 'latest')
      await context.linger(300, member)
      assert.equal(member.records.length, seen, 'records of the old place came after the seek')
      await seek(context, member, topic, { after: position })
      await context.until('all but one', () => member.records.length >= seen + 1999, member)
      assert.deepEqual(member.values().slice(seen), range(1, 2000))
    }
  },
  {
    group,
    name: 'a partition that is not assigned cannot be sought',
    applies: groups,
    async run(context) {
      const { topic, member } = await assigned(context)
      await context.rejects(
        await context.adapter(),
        member.reader.seek({ topic, partition: 7 }, 'earliest'),
        'not-owner'
      )
    }
  }
]

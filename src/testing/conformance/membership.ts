import assert from 'node:assert/strict'
import { groups } from './applies.ts'
import { type CaseContext, range } from './context.ts'
import { type GroupMember, keyOf, type MemberOptions } from './member.ts'
import type { ConformanceCase } from './types.ts'

const group = 'membership'

/** Every partition of the topics has exactly one owner, and every member has its share. */
function sharedOut(members: readonly GroupMember[], topics: readonly string[], partitions: number): boolean {
  const owned = members.flatMap(member => member.owned)
  const whole = topics.flatMap(topic =>
    Array.from({ length: partitions }, (_, partition) => keyOf({ topic, partition }))
  )
  const least = Math.floor(partitions / members.length) * topics.length
  return owned.toSorted().join() === whole.toSorted().join() && members.every(member => member.owned.length >= least)
}

/** A member with an adapter of its own, as in another process. The group is named like the first topic. */
async function join(
  context: CaseContext,
  topics: readonly string[],
  more: Partial<MemberOptions> = {}
): Promise<GroupMember> {
  return context.member({ group: topics[0]!, topics, adapter: await context.start(), ...more })
}

const commitBeforeRelease: Partial<MemberOptions> = { onRevoked: (event, member) => member.commit(event.partitions) }

const total = (members: readonly GroupMember[]): number =>
  members.reduce((sum, member) => sum + member.records.length, 0)

export const membershipCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'two members share the partitions, each has exactly one owner',
    applies: groups,
    async run(context) {
      const topic = await context.topic(4)
      const both = [await join(context, [topic]), await join(context, [topic])]
      await context.until('two partitions each', () => sharedOut(both, [topic], 4), ...both)
      for (let partition = 0; partition < 4; partition++) await context.sendNumbers(topic, partition, 0, 10)
      await context.until('40 records', () => total(both) >= 40, ...both)
      await context.linger(300, ...both)
      assert.equal(total(both), 40, 'every record is read once')
    }
  },
  {
    group,
    name: 'a third member gets its share, and when one leaves the others take over',
    applies: groups,
    async run(context) {
      const topic = await context.topic(6)
      const three = [await join(context, [topic]), await join(context, [topic])]
      await context.until('three partitions each', () => sharedOut(three, [topic], 6), ...three)
      three.push(await join(context, [topic]))
      await context.until('two partitions each', () => sharedOut(three, [topic], 6), ...three)
      await three.shift()!.close()
      await context.until('three partitions each again', () => sharedOut(three, [topic], 6), ...three)
    }
  },
  {
    group,
    name: 'partition i of all topics goes to the same member, also when it changes hands',
    applies: groups,
    async run(context) {
      const topics = [await context.topic(4), await context.topic(4)]
      const together = (member: GroupMember): boolean => {
        const [left, right] = topics.map(topic =>
          member.partitions.flatMap(each => (each.topic === topic ? each.partition : []))
        )
        return left!.toSorted().join() === right!.toSorted().join()
      }
      const members = [await join(context, topics)]
      for (const count of [1, 2, 3]) {
        if (members.length < count) members.push(await join(context, topics))
        await context.until(`shares of ${count}`, () => sharedOut(members, topics, 4), ...members)
        for (const member of members) assert.ok(together(member), member.toString())
      }
      await members.pop()!.close()
      await context.until('shares of 2', () => sharedOut(members, topics, 4), ...members)
      for (const member of members) assert.ok(together(member), member.toString())
    }
  },
  {
    group,
    name: 'what is committed before the release is kept: the next owner starts after it',
    applies: groups,
    async run(context) {
      const topic = await context.topic(4)
      const first = await join(context, [topic], commitBeforeRelease)
      await context.until('all partitions', () => first.owned.length === 4, first)
      for (let partition = 0; partition < 4; partition++) await context.sendNumbers(topic, partition, 0, 20)
      await context.until('80 records', () => first.records.length === 80, first)
      const both = [first, await join(context, [topic], commitBeforeRelease)]
      await context.until('two partitions each', () => sharedOut(both, [topic], 4), ...both)
      for (let partition = 0; partition < 4; partition++) await context.sendNumbers(topic, partition, 20, 30)
      await context.until('120 records', () => total(both) >= 120, ...both)
      await context.linger(300, ...both)
      for (let partition = 0; partition < 4; partition++)
        assert.deepEqual(
          both.flatMap(member => member.values(partition)),
          range(0, 30),
          `partition ${partition}`
        )
    }
  },
  {
    group,
    name: 'nobody gets a partition before its owner has released it',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      const first = await join(context, [topic], {
        keepRevoked: true,
        sessionTimeout: Math.max(context.sessionTimeout, 10_000)
      })
      await context.until('both partitions', () => first.owned.length === 2, first)
      const second = await join(context, [topic])
      await context.until('the revocation', () => first.revocations.length > 0, first, second)
      const [revocation] = first.revocations
      assert.ok(revocation!.deadline > performance.now(), 'the deadline is still to come')
      await context.linger(500, first, second)
      assert.deepEqual(second.owned, [], 'the second member got a partition that the first is still working on')
      const handedOver = (): boolean => {
        for (const event of first.revocations) event.release()
        return sharedOut([first, second], [topic], 2)
      }
      await context.until('one partition each', handedOver, first, second)
      assert.ok(performance.now() < revocation!.deadline, 'the release had no effect before the deadline')
    }
  },
  {
    group,
    name: 'a commit for a partition that was released is refused, and stores nothing',
    applies: groups,
    async run(context) {
      const adapter = await context.adapter()
      const topic = await context.topic(2)
      for (const partition of [0, 1]) await context.sendNumbers(topic, partition, 0, 5)
      const first = await join(context, [topic])
      await context.until('10 records', () => first.records.length === 10, first)
      const second = await join(context, [topic])
      await context.until('one partition each', () => sharedOut([first, second], [topic], 2), first, second)
      const positions = first.records.flatMap(({ partition, position }, index) =>
        index === 4 || index === 9 ? { topic, partition, position } : []
      )
      assert.equal(positions.length, 2)
      await context.rejects(adapter, first.reader.commit(positions), 'not-owner', 'fenced')
      const admin = await context.admin(adapter)
      assert.deepEqual(await admin.committed(topic, topic), [undefined, undefined])
      await first.commit()
      const committed = await admin.committed(topic, topic)
      assert.equal(
        committed.filter(position => position !== undefined).length,
        1,
        'what it still holds can be committed'
      )
    }
  },
  {
    group,
    name: 'a partition that was never assigned cannot be committed',
    applies: groups,
    async run(context) {
      const topic = await context.topic(1)
      const other = await context.topic(1)
      await context.sendNumbers(topic, 0, 0, 1)
      const member = await join(context, [topic])
      await context.until('a record', () => member.records.length === 1, member)
      const { position } = member.records[0]!
      await context.rejects(
        await context.adapter(),
        member.reader.commit([{ topic: other, partition: 0, position }]),
        'not-owner',
        'fenced'
      )
    }
  },
  {
    group,
    name: 'a member that closes hands over at once, without waiting for its session to end',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      const sessionTimeout = Math.max(context.sessionTimeout, 10_000)
      const first = await join(context, [topic], { sessionTimeout })
      const second = await join(context, [topic], { sessionTimeout })
      await context.until('one partition each', () => sharedOut([first, second], [topic], 2), first, second)
      const start = performance.now()
      await first.close()
      await context.until('both partitions', () => second.owned.length === 2, second)
      const took = performance.now() - start
      assert.ok(took < sessionTimeout * 0.8, `it took ${took} ms with a session of ${sessionTimeout} ms`)
    }
  },
  {
    group,
    name: 'a slow handler keeps its partitions: heartbeats go on without receive',
    applies: groups,
    async run(context) {
      const topic = await context.topic(2)
      await context.sendNumbers(topic, 0, 0, 5)
      const slow = await join(context, [topic])
      await context.until('5 records', () => slow.records.length === 5, slow)
      await context.sleep(context.sessionTimeout * 1.5)
      const admin = await context.admin()
      await slow.commit()
      assert.equal((await admin.committed(topic, topic))[0], slow.records[4]!.position)
      await context.linger(300, slow)
      assert.deepEqual(slow.revocations, [])
      assert.equal(slow.owned.length, 2)
    }
  }
]

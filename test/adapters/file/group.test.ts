import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { FileAdapter } from '../../../src/adapters/file/index.ts'
import { Clock } from './clock.ts'
import { Member } from './member.ts'
import { folder, open, prepare, record, send, until } from './support.ts'

const session = 800
const topic = 'words'

async function codeOf(adapter: FileAdapter, call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown ?? 'nothing'
  )
  return error === undefined ? 'no error' : adapter.classify(error).code
}

/** Two adapters on one log, as in two processes, with a topic `words`. */
async function two(
  partitions = 1
): Promise<{ path: string; left: FileAdapter; right: FileAdapter; leftClock: Clock; rightClock: Clock }> {
  const path = folder()
  const [leftClock, rightClock] = [new Clock(), new Clock()]
  const [left, right] = [await open(path, {}, leftClock), await open(path, {}, rightClock)]
  const producer = await prepare(left, { topic, partitions })
  await send(producer, record(topic, 'one'), record(topic, 'two'))
  return { path, left, right, leftClock, rightClock }
}

describe('the fence', () => {
  it('is in the transaction of the commit: who does not know yet that it lost is refused', async () => {
    const { left, right, leftClock } = await two()
    const zombie = (await Member.join(left, { topics: [topic] })).run()
    await zombie.holds(1)
    await zombie.pause()
    leftClock.stop()
    const heir = (await Member.join(right, { topics: [topic] })).run()
    await heir.holds(1)
    await heir.reader.commit([{ topic, partition: 0, position: '1' }])
    const late = zombie.reader.commit([{ topic, partition: 0, position: '0' }])
    expect(await codeOf(left, late)).toBe('not-owner')
    expect(await left.admin().committed('readers', topic)).toEqual(['1'])
  })

  it('holds for a member that lost a partition and got it back before it was told', async () => {
    const { path, left, right, leftClock } = await two()
    const member = (await Member.join(left, { topics: [topic] })).run()
    await member.holds(1)
    await member.pause()
    leftClock.stop()
    const other = (await Member.join(right, { topics: [topic] })).run()
    await other.holds(1)
    await other.reader.commit([{ topic, partition: 0, position: '1' }])
    await other.close()
    leftClock.go()
    const database = new DatabaseSync(join(path, 'log.db'))
    onTestFinished(() => database.close())
    const owner = database.prepare('SELECT member FROM holding')
    await until('it has it back', () => owner.get()?.['member'] != null)

    // A commit that was decided in the first life would undo that of the other member.
    const late = member.reader.commit([{ topic, partition: 0, position: '0' }])
    expect(await codeOf(left, late)).toBe('not-owner')
    await member.step(1_000)
    expect(member.diary.slice(-2)).toEqual([`lost ${topic}/0`, `+${topic}/0`])
    await member.reader.commit([{ topic, partition: 0, position: '1' }])
  })

  it('stores none of the positions when one of them is refused', async () => {
    const { left } = await two(2)
    const member = (await Member.join(left, { topics: [topic] })).run()
    await member.holds(2)
    const positions = [0, 1, 2].map(partition => ({ topic, partition, position: '0' }))
    expect(await codeOf(left, member.reader.commit(positions))).toBe('not-owner')
    expect(await left.admin().committed('readers', topic)).toEqual([undefined, undefined])
  })
})

describe('a hand-over', () => {
  it('between members of one process takes far less than a heartbeat', async () => {
    const { left } = await two(2)
    const first = (await Member.join(left, { topics: [topic], sessionTimeout: 30_000 })).run()
    await first.holds(2)
    const start = performance.now()
    const second = (await Member.join(left, { topics: [topic], sessionTimeout: 30_000 })).run()
    await second.holds(1)
    expect(performance.now() - start).toBeLessThan(900)
    const closed = performance.now()
    await first.close()
    await second.holds(2)
    expect(performance.now() - closed).toBeLessThan(900)
  })

  it('of a partition waits for the release, and for the deadline if there is none', async () => {
    const { left, right } = await two(2)
    const slow = (await Member.join(left, { topics: [topic] })).run()
    slow.keeps = true
    await slow.holds(2)
    const fast = (await Member.join(right, { topics: [topic] })).run()
    await until('the revocation', () => slow.revocations.length === 1)
    const [revocation] = slow.revocations
    const asked = performance.now()
    expect(revocation!.deadline - asked).toBeGreaterThan(session - 200)
    const [place] = revocation!.partitions
    // Until then it may commit; nothing more is read for it.
    await slow.reader.commit([{ ...place!, position: '0' }])
    expect(fast.held.size).toBe(0)
    await fast.holds(1)
    expect(performance.now() - asked).toBeGreaterThan(session - 200)
    expect(performance.now() - asked).toBeLessThan(session + 1_000)
    const late = slow.reader.commit([{ ...place!, position: '1' }])
    expect(await codeOf(left, late)).toBe('not-owner')
    revocation!.release()
    expect(slow.revocations.length).toBe(1)
    expect(fast.held.size).toBe(1)
  })

  it('needs nobody’s release when the front has not heard of the partition', async () => {
    const { left, right } = await two(2)
    const silent = await Member.join(left, { topics: [topic], sessionTimeout: 30_000 })
    const second = (await Member.join(right, { topics: [topic] })).run()
    await second.holds(1)
    const events = await silent.step()
    expect(events.map(({ kind }) => kind)).toEqual(['partitions-assigned'])
    expect(silent.held.size).toBe(1)
  })
})

describe('membership', () => {
  it('outlives a wall clock that is set, forwards and back', async () => {
    const { left, right, leftClock, rightClock } = await two(2)
    const members = [
      (await Member.join(left, { topics: [topic] })).run(),
      (await Member.join(right, { topics: [topic] })).run()
    ]
    await Promise.all(members.map(member => member.holds(1)))
    for (const hours of [1, -5]) {
      const before = members.map(({ diary }) => diary.length)
      for (const clock of [leftClock, rightClock]) clock.set(hours * 3_600_000)
      await new Promise(resolve => setTimeout(resolve, session * 2))
      expect(members.map(({ diary }) => diary.length)).toEqual(before)
    }
    // And still notices who is gone, even when that was before the clock was set back.
    leftClock.stop()
    for (const clock of [leftClock, rightClock]) clock.set(-3_600_000)
    await members[1]!.holds(2)
  })

  it('of one group may be in topics that have nothing in common', async () => {
    const { left, right } = await two(2)
    await left.admin().createTopic({ topic: 'others', partitions: 3 })
    const words = (await Member.join(left, { topics: [topic] })).run()
    const others = (await Member.join(right, { topics: ['others'] })).run()
    await Promise.all([words.holds(2), others.holds(3)])
  })

  it('with lists of topics that overlap is refused while the other one lives, and only then', async () => {
    const { left, right, leftClock } = await two()
    await left.admin().createTopic({ topic: 'others', partitions: 1 })
    const old = (await Member.join(left, { topics: [topic] })).run()
    await old.holds(1)
    const refused = Member.join(right, { topics: [topic, 'others'] })
    expect(await codeOf(right, refused)).toBe('bad-config')
    await expect(refused).rejects.toThrow(/'readers' read \[words\] and \[words, others\]/)
    // What a crash has left behind is waited for.
    await old.pause()
    leftClock.stop()
    const next = (await Member.join(right, { topics: [topic, 'others'] })).run()
    await next.holds(2)
  })

  it('keeps partition i of topics with different counts together', async () => {
    const { left, right } = await two(2)
    await left.admin().createTopic({ topic: 'others', partitions: 4 })
    const topics = ['others', topic]
    const members = [
      (await Member.join(left, { topics })).run(),
      (await Member.join(right, { topics: topics.toReversed() })).run()
    ]
    await until('two units each', () =>
      members.every(({ held }) => [...held].filter(name => name.startsWith('others')).length === 2)
    )
    for (const { held } of members)
      for (const index of [0, 1]) expect(held.has(`words/${index}`)).toBe(held.has(`others/${index}`))
    expect(members.flatMap(({ held }) => [...held]).length).toBe(6)
  })

  it('ends with the topic, and begins again when there is one of that name', async () => {
    const { left, right } = await two()
    const member = (await Member.join(left, { topics: [topic] })).run()
    await member.holds(1)
    await member.reader.commit([{ topic, partition: 0, position: '1' }])
    await right.admin().deleteTopic(topic)
    await until('the loss', () => member.failure !== undefined)
    expect(member.diary.at(-1)).toBe(`lost ${topic}/0`)
    expect(left.classify(member.failure).code).toBe('unknown-topic')
    await right.admin().createTopic({ topic, partitions: 2 })
    expect(await right.admin().committed('readers', topic)).toEqual([undefined, undefined])
    await until('it is back', () => member.held.size === 2 || (void member.pause().then(() => member.run()), false))
  })

  it('ends with close, which leaves nothing behind', async () => {
    const { path, left } = await two(3)
    const member = (await Member.join(left, { topics: [topic] })).run()
    await member.holds(3)
    await member.close()
    const database = new DatabaseSync(join(path, 'log.db'))
    onTestFinished(() => database.close())
    expect(database.prepare('SELECT * FROM member').all()).toEqual([])
    expect(database.prepare('SELECT * FROM holding').all()).toEqual([])
  })
})

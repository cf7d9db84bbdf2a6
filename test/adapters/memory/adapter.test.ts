import { expect, test } from 'vitest'
import { fromUrl, memory, MemoryBroker, MemoryFaults } from '../../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { manualClock } from './manual-clock.ts'
import { contents, drain, reader, setUp, topic, word } from './support.ts'

test('memory: is a broker of its own, memory:name is shared within the process', () => {
  const name = `shared-${Math.floor(systemEnvironment.random() * 1e9)}`
  expect(memory(fromUrl('memory:')).native).not.toBe(memory(fromUrl('memory:')).native)
  expect(memory(fromUrl(`memory:${name}`)).native).toBe(memory({ name }).native)
  expect(memory({ name }).location).toBe(`memory:${name}`)
})

test('wrong options and addresses are refused', () => {
  expect(() => memory({ nam: 'x' } as never)).toThrow(/unknown option 'nam'/)
  expect(() => fromUrl('file:x')).toThrow(/no memory: address/)
  expect(() => memory({ broker: new MemoryBroker(), faults: new MemoryFaults() })).toThrow(/fresh broker/)
})

test('members that read overlapping lists of topics are refused', async () => {
  const { broker, a } = await setUp()
  broker.createTopic({ topic: 'others', partitions: 1 })
  await reader(a)
  const join = a.logReader!({ group: 'group', topics: [topic, 'others'], sessionTimeout: 1000, maxBytes: 1 })
  await expect(join).rejects.toMatchObject({ code: 'bad-config' })
  await expect(
    a.logReader!({ group: 'group', topics: ['others'], sessionTimeout: 1000, maxBytes: 1 })
  ).resolves.toBeDefined()
})

test('an owner that does not release loses its partition at the deadline, and its commits are refused', async () => {
  const clock = manualClock()
  const { a, b } = await setUp(2, clock)
  await (await a.producer()).send([word('x', 0), word('y', 1)])
  const first = await reader(a, 3000)
  expect(await drain(first)).toEqual(['+0', '+1', 'x', 'y'])
  const joined = await reader(b, 3000)
  expect(await drain(first, false)).toEqual(['-1'])
  await first.commit([{ topic, partition: 1, position: '0' }])
  clock.advance(2999)
  expect(await drain(joined)).toEqual([])
  clock.advance(1)
  expect(await drain(joined)).toEqual(['+1'])
  await expect(first.commit([{ topic, partition: 1, position: '0' }])).rejects.toMatchObject({ code: 'not-owner' })
  await first.commit([{ topic, partition: 0, position: '0' }])
})

test('assignments that were not told yet are moved without a word', async () => {
  const { a, b } = await setUp(4)
  const [first, second] = [await reader(a), await reader(b)]
  expect(await drain(first)).toEqual(['+0', '+1'])
  expect(await drain(second)).toEqual(['+2', '+3'])
})

test('records that left retention: a position before them is lost, a reader under way goes on where they begin', async () => {
  const { broker, a } = await setUp()
  await (await a.producer()).send(['a', 'b', 'c', 'd'].map(value => word(value)))
  const behind = await a.partitionReader!({ topic, partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1 })
  const member = await reader(a)
  broker.log({ topic, partition: 0 }).truncate(2)
  await expect(
    a.partitionReader!({ topic, partition: 0, from: { after: '0' }, readCommitted: true, maxBytes: 1 })
  ).rejects.toMatchObject({
    code: 'position-lost'
  })
  expect((await behind.receive({ wait: 0 })).records.map(record => record.position)).toEqual(['2'])
  expect(await drain(member)).toEqual(['+0', 'c', 'd'])
  await expect(member.seek({ topic, partition: 0 }, { after: '0' })).rejects.toMatchObject({ code: 'position-lost' })
  await member.seek({ topic, partition: 0 }, { after: '1' })
  expect(await drain(member)).toEqual(['c', 'd'])
  expect((await contents(a)).words).toEqual(['c', 'd'])
})

test('a deleted topic is lost at once, and the group cannot join again until it is back', async () => {
  const { broker, a } = await setUp()
  const member = await reader(a)
  expect(await drain(member)).toEqual(['+0'])
  broker.deleteTopic(topic)
  const [event] = await member.receive({ wait: 0 })
  expect(event).toMatchObject({ kind: 'partitions-revoked', deadline: 0, partitions: [{ topic, partition: 0 }] })
  await expect(member.receive({ wait: 0 })).rejects.toMatchObject({ code: 'unknown-topic' })
  broker.createTopic({ topic, partitions: 2 })
  expect(await drain(member)).toEqual(['+0', '+1'])
})

test('two receives at once are refused', async () => {
  const { a } = await setUp()
  const member = await reader(a)
  await drain(member)
  const first = member.receive({ wait: 20 })
  await expect(member.receive({ wait: 20 })).rejects.toMatchObject({ code: 'internal' })
  expect(await first).toEqual([])
})

test('timers and signals get a turn while records flow without end', async () => {
  const { a } = await setUp()
  const producer = await a.producer()
  const signal = AbortSignal.timeout(60)
  const batch = [word('x')]
  let sent = 0
  await expect(
    (async () => {
      for (; sent < 50_000_000; sent++) await producer.send(batch, signal)
    })()
  ).rejects.toMatchObject({ code: 'aborted' })
  expect(sent).toBeGreaterThan(100)
})

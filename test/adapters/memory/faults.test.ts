import { expect, test } from 'vitest'
import { manualClock } from './manual-clock.ts'
import { contents, drain, reader, setUp, topic, word } from './support.ts'

test('a failure before has no effect, one after has: the caller cannot tell', async () => {
  const { broker, a } = await setUp()
  const producer = await a.producer()
  broker.faults.fail({ operation: 'send' })
  await expect(producer.send([word('never')])).rejects.toMatchObject({ code: 'connection', retryable: true })
  broker.faults.fail({ operation: 'send', when: 'after', error: new Error('mine') })
  await expect(producer.send([word('written')])).rejects.toThrow('mine')
  expect(broker.faults.pending).toBe(0)
  await producer.send([word('plain')])
  expect((await contents(a)).words).toEqual(['written', 'plain'])
})

test('rules are used up in their order, by the client and the place that they aim at', async () => {
  const { broker, a, b } = await setUp(2)
  const [left, right] = [await a.producer(), await b.producer()]
  broker.faults.fail({ operation: 'send', client: 'b', times: 2, error: new Error('twice') })
  await left.send([word('a')])
  await expect(right.send([word('b')])).rejects.toThrow('twice')
  await expect(right.send([word('b')])).rejects.toThrow('twice')
  expect(await right.send([word('b')])).toMatchObject([{ ok: true }])
  broker.faults.fail({ operation: 'send', partition: 1, written: 1, error: new Error('half') })
  await left.send([word('not concerned')])
  const results = await left.send([word('1', 1), word('2', 1), word('other', 0), word('3', 1)])
  expect(results.map(result => result.ok)).toEqual([true, false, true, false])
  expect((await contents(a, 1)).words).toEqual(['1'])
})

test('results may fail though the records were written', async () => {
  const { broker, a } = await setUp(2)
  broker.faults.fail({ operation: 'send', partition: 1, when: 'after' })
  const results = await (await a.producer()).send([word('x', 0), word('y', 1)])
  expect(results.map(result => result.ok)).toEqual([true, false])
  expect((await contents(a, 1)).words).toEqual(['y'])
})

test('sends are duplicated', async () => {
  const { broker, a } = await setUp()
  broker.faults.duplicate()
  expect(await (await a.producer()).send([word('x'), word('y')])).toMatchObject([{ position: '0' }, { position: '1' }])
  expect((await contents(a)).words).toEqual(['x', 'y', 'x', 'y'])
})

test('a delay takes time of the environment, and the signal ends it', async () => {
  const clock = manualClock()
  const { broker, a } = await setUp(1, clock)
  const producer = await a.producer()
  broker.faults.delay({ operation: 'send', milliseconds: 5000, times: 2 })
  let done = false
  const sending = producer.send([word('x')]).then(() => (done = true))
  await Promise.resolve()
  clock.advance(4999)
  await new Promise(resolve => setImmediate(resolve))
  expect(done).toBe(false)
  clock.advance(1)
  await sending
  const stop = new AbortController()
  const aborted = producer.send([word('y')], stop.signal)
  stop.abort()
  await expect(aborted).rejects.toMatchObject({ code: 'aborted' })
  expect((await contents(a)).words).toEqual(['x'])
})

test('a held call has no effect until it is let go', async () => {
  const { broker, a } = await setUp()
  const held = broker.faults.hold({ operation: 'send' })
  const sending = (await a.producer()).send([word('x')])
  await held.reached
  expect((await contents(a)).words).toEqual([])
  held.release()
  await sending
  expect((await contents(a)).words).toEqual(['x'])
})

test('a failed receive loses nothing', async () => {
  const { broker, a } = await setUp()
  const member = await reader(a)
  await drain(member)
  await (await a.producer()).send([word('x')])
  broker.faults.fail({ operation: 'receive', when: 'after' })
  await expect(member.receive({ wait: 0 })).rejects.toMatchObject({ code: 'connection' })
  expect(await drain(member)).toEqual(['x'])
})

test('seek and commit fail on order, before or after', async () => {
  const { broker, a } = await setUp()
  await (await a.producer()).send([word('x'), word('y')])
  const member = await reader(a)
  await drain(member)
  const place = { topic, partition: 0 }
  broker.faults.fail({ operation: 'seek' })
  await expect(member.seek(place, 'earliest')).rejects.toMatchObject({ code: 'connection' })
  expect(await drain(member)).toEqual([])
  broker.faults.fail({ operation: 'commit', group: 'group', when: 'after' })
  await expect(member.commit([{ ...place, position: '0' }])).rejects.toMatchObject({ code: 'connection' })
  expect(await a.admin().committed('group', topic)).toEqual(['0'])
  broker.faults.fail({ operation: 'admin', topic })
  await expect(a.admin().describeTopic(topic)).rejects.toMatchObject({ code: 'connection' })
})

test('a zombie is refused, told that all is lost, and joins again', async () => {
  const { broker, a, b } = await setUp(2)
  const zombie = await reader(a)
  expect(await drain(zombie)).toEqual(['+0', '+1'])
  const other = await reader(b)
  expect(broker.faults.kick('group', 'a')).toBe(1)
  expect(await drain(other)).toEqual(['+0', '+1'])
  await expect(zombie.commit([{ topic, partition: 0, position: '0' }])).rejects.toMatchObject({ code: 'fenced' })
  await expect(zombie.seek({ topic, partition: 0 }, 'earliest')).rejects.toMatchObject({ code: 'not-owner' })
  const [lost] = await zombie.receive({ wait: 0 })
  expect(lost).toMatchObject({ kind: 'partitions-revoked', deadline: 0 })
  expect(await drain(zombie)).toEqual([])
  expect(await drain(other)).toEqual(['-1'])
  expect(await drain(zombie)).toEqual(['+1'])
})

test('a release that comes after the partition has changed hands does nothing', async () => {
  const { broker, a, b } = await setUp(2)
  const first = await reader(a)
  await drain(first)
  const second = await reader(b)
  const [revoked] = await first.receive({ wait: 0 })
  broker.faults.kick('group', 'a')
  expect(await drain(second)).toEqual(['+0', '+1'])
  await first.receive({ wait: 0 })
  await first.receive({ wait: 0 })
  await drain(second)
  expect(await drain(first)).toEqual(['+1'])
  if (revoked?.kind === 'partitions-revoked') revoked.release()
  await first.commit([{ topic, partition: 1, position: '0' }])
  expect(await drain(second)).toEqual([])
})

test('a session ends by the clock, only when heartbeats have stopped', async () => {
  const clock = manualClock()
  const { broker, a, b } = await setUp(1, clock)
  const [first, second] = [await reader(a, 10_000), await reader(b, 10_000)]
  expect(await drain(first)).toEqual(['+0'])
  clock.advance(1_000_000)
  expect(await drain(second)).toEqual([])
  broker.faults.stopHeartbeats('a')
  clock.advance(9999)
  broker.faults.resumeHeartbeats('a')
  clock.advance(10_000)
  expect(await drain(second)).toEqual([])
  broker.faults.stopHeartbeats('a')
  clock.advance(10_000)
  expect(await drain(second)).toEqual(['+0'])
  expect(await drain(first)).toEqual(['-0'])
  await second.close()
  expect(await drain(first)).toEqual([])
  broker.faults.resumeHeartbeats('a')
  expect(await drain(first)).toEqual(['+0'])
})

test('a client without connection is refused everything, waiting calls end, and it comes back', async () => {
  const { broker, a, b } = await setUp()
  const [producer, member] = [await a.producer(), await reader(a)]
  await drain(member)
  const waiting = member.receive({ wait: 10_000 })
  broker.faults.disconnect('a')
  const refused = { code: 'connection', retryable: true }
  await expect(waiting).rejects.toMatchObject(refused)
  await expect(producer.send([word('x')])).rejects.toMatchObject(refused)
  await expect(a.admin().listTopics()).rejects.toMatchObject(refused)
  await expect(a.transactions!().producer('id')).rejects.toMatchObject(refused)
  await (await b.producer()).send([word('y')])
  broker.faults.reconnect('a')
  expect(await drain(member)).toEqual(['y'])
})

test('transactions end as ordered, whatever the caller is told', async () => {
  const { broker, a } = await setUp()
  const transactions = a.transactions!()
  const first = await transactions.producer('id')
  broker.faults.failTransaction({ effect: 'committed' })
  expect(await first.commit({ records: [word('there')] })).toMatchObject({ outcome: 'unknown' })
  broker.faults.failTransaction({ effect: 'none' })
  expect(await first.commit({ records: [word('not there')] })).toMatchObject({ outcome: 'unknown' })
  broker.faults.failTransaction({ effect: 'none', outcome: 'aborted', error: new Error('busy') })
  expect(await first.commit({ records: [word('not there')] })).toMatchObject({
    outcome: 'aborted',
    error: new Error('busy')
  })
  expect(await contents(a)).toEqual({ words: ['there'], atEnd: true })
})

test('a transaction left open hides the end until the next producer of its id ends it', async () => {
  const { broker, a, b } = await setUp()
  for (const [effect, words] of [
    ['open-aborted', []],
    ['open-committed', ['open-committed']]
  ] as const) {
    const old = await a.transactions!().producer('id')
    broker.faults.failTransaction({ effect })
    expect(await old.commit({ records: [word(effect)] })).toMatchObject({ outcome: 'unknown' })
    expect(await contents(a)).toEqual({ words: [], atEnd: false })
    await b.transactions!().producer('id')
    expect(await contents(a)).toEqual({ words, atEnd: true })
    expect(await old.commit({ records: [word('late')] })).toEqual({ outcome: 'fenced' })
  }
})

test('a commit that is held while a successor starts is fenced, and leaves nothing', async () => {
  const { broker, a, b } = await setUp()
  const old = await a.transactions!().producer('id')
  const held = broker.faults.hold({ operation: 'transaction', id: 'id' })
  const ending = old.commit({ records: [word('late')] })
  await held.reached
  const successor = await b.transactions!().producer('id')
  held.release()
  expect(await ending).toEqual({ outcome: 'fenced' })
  expect(await successor.commit({ records: [word('new')] })).toEqual({ outcome: 'committed' })
  expect((await contents(a)).words).toEqual(['new'])
})

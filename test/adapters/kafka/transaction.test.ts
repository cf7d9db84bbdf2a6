import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FencedProducer } from '../../../src/spec/index.ts'
import { api, Network } from './network.ts'
import {
  createTopic,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  readAll,
  record,
  running,
  texts,
  unique
} from './server.ts'

describe.runIf(running)(`transactions of kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  beforeAll(async () => void (adapter = await open()))
  afterAll(() => adapter.close())

  const producer = (id: string, from = adapter): Promise<FencedProducer> => from.transactions!().producer(id)

  async function behind(network: Network): Promise<KafkaAdapter> {
    return open({ brokers: [], client: network.client(), requestTimeout: 1500 })
  }

  it('an end whose request is lost is unknown, and the next producer finds nothing of it', async () => {
    const network = new Network()
    const faulty = await behind(network)
    const topic = await createTopic(adapter, 2)
    const first = await producer(topic, faulty)
    expect((await first.commit({ records: numbers(topic, 0, 3) })).outcome).toBe('committed')
    network.lose(api.endTransaction, 'request')
    const { outcome, error } = await first.commit({ records: [...numbers(topic, 0, 3, 3), ...numbers(topic, 1, 3)] })
    expect(outcome).toBe('unknown')
    expect(adapter.classify(error).code).toBe('connection')
    expect(network.seen.get(api.endTransaction), 'an end must not be sent twice').toBe(2)
    // Nothing more may be written with this epoch.
    expect(String(await failure(first.commit({ records: numbers(topic, 0, 1) })))).toContain('close it')
    const next = await producer(topic)
    expect(texts(await readAll(adapter, topic, 0))).toEqual(['0', '1', '2'])
    expect(await readAll(adapter, topic, 1)).toEqual([])
    expect((await next.commit({ records: numbers(topic, 0, 1, 7) })).outcome).toBe('committed')
    expect(texts(await readAll(adapter, topic, 0))).toEqual(['0', '1', '2', '7'])
    await faulty.close()
  })

  it('an end whose answer is lost is unknown, and the next producer finds all of it', async () => {
    const network = new Network()
    const faulty = await behind(network)
    const topic = await createTopic(adapter, 2)
    const first = await producer(topic, faulty)
    network.lose(api.endTransaction, 'answer')
    const ending = first.commit({ records: [...numbers(topic, 0, 3), ...numbers(topic, 1, 2)] })
    expect((await ending).outcome).toBe('unknown')
    await producer(topic)
    expect(texts(await readAll(adapter, topic, 0))).toEqual(['0', '1', '2'])
    expect(texts(await readAll(adapter, topic, 1))).toEqual(['0', '1'])
    await faulty.close()
  })

  it.each(['request', 'answer'] as const)('a write whose %s is lost is not ended: it may still arrive', async what => {
    const network = new Network()
    const faulty = await behind(network)
    const topic = await createTopic(adapter)
    const first = await producer(topic, faulty)
    network.lose(api.produce, what)
    expect((await first.commit({ records: numbers(topic, 0, 3) })).outcome).toBe('unknown')
    expect(network.seen.get(api.endTransaction)).toBeUndefined()
    const next = await producer(topic)
    expect(await readAll(adapter, topic)).toEqual([])
    expect((await next.commit({ records: numbers(topic, 0, 1) })).outcome).toBe('committed')
    expect(texts(await readAll(adapter, topic))).toEqual(['0'])
    await faulty.close()
  })

  it('a refused record aborts the transaction, and the producer goes on', async () => {
    const topic = await createTopic(adapter, 2, { 'max.message.bytes': '20000' })
    const first = await producer(topic)
    for (let round = 0; round < 3; round++) {
      const records = [...numbers(topic, 0, 5), record(topic, 1, Buffer.alloc(50_000))]
      const { outcome, error } = await first.commit({ records })
      expect(outcome).toBe('aborted')
      expect(adapter.classify(error).code).toBe('too-large')
      expect((await first.commit({ records: numbers(topic, 0, 2, round * 2) })).outcome).toBe('committed')
    }
    expect(texts(await readAll(adapter, topic))).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(await readAll(adapter, topic, 1)).toEqual([])
  })

  it('an unknown topic or partition aborts without a trace', async () => {
    const topic = await createTopic(adapter)
    const first = await producer(topic)
    for (const wrong of [record(unique('nowhere'), 0, 'x'), record(topic, 9, 'x')]) {
      const { outcome, error } = await first.commit({ records: [record(topic, 0, 'a'), wrong] })
      expect(outcome).toBe('aborted')
      expect(adapter.classify(error).code).toBe('unknown-topic')
    }
    expect(await readAll(adapter, topic, 0, { readCommitted: false })).toEqual([])
    expect((await first.commit({ records: [record(topic, 0, 'b')] })).outcome).toBe('committed')
  })

  it('cuts many records of a partition into several batches with sequences that go on', async () => {
    const topic = await createTopic(adapter)
    const first = await producer(topic)
    for (let round = 0; round < 3; round++) {
      const records = Array.from({ length: 25 }, (_, index) =>
        record(topic, 0, Buffer.alloc(100_000, round * 25 + index))
      )
      expect((await first.commit({ records })).outcome).toBe('committed')
    }
    const read = await readAll(adapter, topic)
    expect(read.map(({ value }) => value![0])).toEqual(Array.from({ length: 75 }, (_, index) => index))
  })

  it('writes offsets of several topics and groups, as the next to read', async () => {
    const [left, right] = [await createTopic(adapter, 2), await createTopic(adapter)]
    const first = await producer(left)
    const offsets = {
      group: left,
      positions: [
        { topic: left, partition: 1, position: '41' },
        { topic: right, partition: 0, position: '-1' }
      ]
    }
    expect((await first.commit({ records: numbers(left, 0, 1), offsets })).outcome).toBe('committed')
    const admin = adapter.admin()
    expect(await admin.committed(left, left)).toEqual([undefined, '41'])
    expect(await admin.committed(left, right)).toEqual(['-1'])
    const native = adapter.native!.admin()
    await native.connect()
    const [seen] = await native.fetchOffsets({ groupId: left, topics: [left] })
    await native.disconnect()
    expect(seen.partitions).toMatchObject([
      { partition: 0, offset: '-1' },
      { partition: 1, offset: '42' }
    ])
  })

  it('a transaction that takes too long is fenced by the broker', async () => {
    const hasty = await open({ transactionTimeout: 1000 })
    const topic = await createTopic(adapter)
    const network = new Network()
    const faulty = await open({ brokers: [], client: network.client(), transactionTimeout: 1000 })
    const first = await producer(topic, faulty)
    network.lose(api.endTransaction, 'request')
    expect((await first.commit({ records: numbers(topic, 0, 3) })).outcome).toBe('unknown')
    // The broker ends it by itself, and readers behind it go on.
    await (await adapter.producer()).send([record(topic, 0, 'behind')])
    await expect.poll(async () => texts(await readAll(adapter, topic)), { timeout: 15_000 }).toEqual(['behind'])
    await Promise.all([hasty.close(), faulty.close()])
  })

  it('many producers commit at the same time over a few connections', async () => {
    const topic = await createTopic(adapter, 20)
    const producers = await Promise.all(Array.from({ length: 20 }, (_, index) => producer(`${topic}-${index}`)))
    for (let round = 0; round < 5; round++) {
      const endings = producers.map((each, partition) =>
        each.commit({ records: numbers(topic, partition, 10, round * 10) })
      )
      for (const { outcome, error } of await Promise.all(endings)) expect(outcome, String(error)).toBe('committed')
    }
    for (const partition of [0, 7, 19]) expect(await readAll(adapter, topic, partition)).toHaveLength(50)
  })

  it('one commit at a time is asked for', async () => {
    const topic = await createTopic(adapter)
    const first = await producer(topic)
    const ending = first.commit({ records: numbers(topic, 0, 1) })
    expect(String(await failure(first.commit({ records: numbers(topic, 0, 1) })))).toContain('one at a time')
    expect((await ending).outcome).toBe('committed')
  })

  it('a broker that cannot be reached is a connection error', async () => {
    const lost = await open({ brokers: ['127.0.0.1:1'] })
    expect(lost.classify(await failure(producer('any', lost)))).toEqual({ code: 'connection', retryable: true })
    await lost.close()
  })
})

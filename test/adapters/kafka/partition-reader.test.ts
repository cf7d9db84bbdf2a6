import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Connection } from '../../../src/adapters/kafka/connection.ts'
import { fetchRecords } from '../../../src/adapters/kafka/fetch.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { PartitionReader, StartAt } from '../../../src/spec/index.ts'
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
  unique,
  until
} from './server.ts'

/** kafkajs's own producer, which can leave a transaction open or abort it. */
interface VendorTransaction {
  send(batch: {
    topic: string
    messages: { partition: number; key?: Buffer; value: string | null; headers?: object }[]
  }): Promise<void>
  abort(): Promise<void>
  commit(): Promise<void>
}
interface VendorProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send: VendorTransaction['send']
  transaction(): Promise<VendorTransaction>
}

describe.runIf(running)(`the partition reader of kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  const producers: VendorProducer[] = []
  beforeAll(async () => {
    adapter = await open()
    // A new server makes its log of transactions when the first one asks for it; kafkajs gives up before that is done.
    await (await adapter.transactions!().producer(unique('first'))).close()
  })
  afterAll(async () => {
    await Promise.all(producers.map(producer => producer.disconnect()))
    await adapter.close()
  })

  async function vendorProducer(options: object = {}): Promise<VendorProducer> {
    const producer = adapter.native!.producer({
      retry: { initialRetryTime: 5, retries: 10 },
      ...options
    }) as VendorProducer
    producers.push(producer)
    await producer.connect()
    return producer
  }

  const transactional = (): Promise<VendorProducer> =>
    vendorProducer({ transactionalId: unique('id'), idempotent: true, maxInFlightRequests: 1 })

  const messages = (...values: readonly string[]): { partition: number; key: Buffer; value: string }[] =>
    values.map(value => ({ partition: 0, key: Buffer.alloc(4), value }))

  async function reader(topic: string, from: StartAt = 'earliest', readCommitted = true): Promise<PartitionReader> {
    return adapter.partitionReader!({ topic, partition: 0, from, readCommitted, maxBytes: 1 << 20 })
  }

  it('tells of a transaction that nobody ends', async () => {
    const topic = await createTopic(adapter)
    const impatient = await open({ transactionTimeout: 1_000 })
    const producer = await adapter.producer()
    await producer.send([record(topic, 0, 'before')])
    const transaction = await (await transactional()).transaction()
    await transaction.send({ topic, messages: messages('hidden') })
    await producer.send([record(topic, 0, 'behind')])

    const options = { topic, partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1 << 20 } as const
    const hidden = await impatient.partitionReader!(options)
    const seen: string[] = []
    const error = await failure(
      (async () => {
        for (;;) seen.push(...texts((await hidden.receive({ wait: 200 })).records))
      })()
    )
    expect(seen).toEqual(['before'])
    expect(impatient.classify(error)).toEqual({ code: 'timeout', retryable: true })
    expect((error as Error).message).toMatch(
      new RegExp(`a transaction at offset 1 of ${topic}/0 has not ended for \\d+ s .*hides the 2 offsets.*find-hanging`)
    )
    // Nothing is left out once it has ended.
    await transaction.commit()
    await until(async () => {
      seen.push(...texts((await hidden.receive({ wait: 200 })).records))
      return seen.length === 3
    })
    expect(seen).toEqual(['before', 'hidden', 'behind'])
    await impatient.close()
  })

  it('hides what was aborted, by two transactions at the same time too, wherever it starts', async () => {
    const topic = await createTopic(adapter)
    const [first, second] = [await transactional(), await transactional()]
    const [one, two] = [await first.transaction(), await second.transaction()]
    await one.send({ topic, messages: messages('a', 'b') })
    await two.send({ topic, messages: messages('c', 'd') })
    await one.send({ topic, messages: messages('e') })
    await two.send({ topic, messages: messages('f') })
    await one.abort()
    await two.abort()
    const three = await first.transaction()
    await three.send({ topic, messages: messages('g') })
    await three.commit()
    await until(async () => (await readAll(adapter, topic)).length > 0)
    expect(texts(await readAll(adapter, topic))).toEqual(['g'])
    expect(texts(await readAll(adapter, topic, 0, { readCommitted: false }))).toEqual([
      'a',
      'b',
      'c',
      'd',
      'e',
      'f',
      'g'
    ])
    // Both transactions began before this place: their first records are not in the answer.
    for (const after of ['2', '3', '4', '5'])
      expect(texts(await readAll(adapter, topic, 0, { from: { after } })), `after ${after}`).toEqual(['g'])
  })

  it('is at its end behind control records, with nothing delivered', async () => {
    const topic = await createTopic(adapter)
    const producer = await transactional()
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: messages('a', 'b') })
    await transaction.abort()
    const reading = await reader(topic)
    expect(await reading.receive({ wait: 1000 })).toEqual({ records: [], atEnd: true })
    // The marker is offset 2: from there on there is nothing either.
    expect(await readAll(adapter, topic, 0, { from: { after: '1' } })).toEqual([])
    await (await adapter.producer()).send([record(topic, 0, 'c')])
    const { records } = await reading.receive({ wait: 5000 })
    expect(records.map(({ position }) => position)).toEqual(['3'])
    await reading.close()
  })

  it('stops before an open transaction, which is not its end, and goes on when that is over', async () => {
    const topic = await createTopic(adapter)
    const plain = await adapter.producer()
    await plain.send(numbers(topic, 0, 3))
    const producer = await transactional()
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: messages('open') })
    await plain.send([record(topic, 0, 'behind')])
    const reading = await reader(topic)
    const first = await reading.receive({ wait: 1000 })
    expect(texts(first.records)).toEqual(['0', '1', '2'])
    expect(first.atEnd).toBe(false)
    expect(await reading.receive({ wait: 300 })).toEqual({ records: [], atEnd: false })
    expect(texts(await readAll(adapter, topic, 0, { readCommitted: false }))).toEqual(['0', '1', '2', 'open', 'behind'])
    await transaction.commit()
    const after: string[] = []
    for (let atEnd = false; !atEnd;) {
      const received = await reading.receive({ wait: 1000 })
      after.push(...texts(received.records))
      atEnd = received.atEnd
    }
    expect(after).toEqual(['open', 'behind'])
    await reading.close()
  })

  it('passes over what compaction has removed, batches that it has emptied included', async () => {
    const topic = await createTopic(adapter, 1, {
      'cleanup.policy': 'compact',
      'segment.ms': '100',
      'min.cleanable.dirty.ratio': '0.01',
      'max.compaction.lag.ms': '100',
      'delete.retention.ms': '100'
    })
    const transactions = adapter.transactions!()
    const producer = await transactions.producer(unique('id'))
    const plain = await adapter.producer()
    const key = Buffer.from('key')
    const commit = async (value: string): Promise<void> => {
      const { outcome } = await producer.commit({ records: [record(topic, 0, value, { key, timestamp: Date.now() })] })
      expect(outcome).toBe('committed')
    }
    for (let round = 0; round < 5; round++) await commit(`old ${round}`)
    // Each of these begins a new segment, so that the one before it may be cleaned.
    let rounds = 0
    await until(async () => {
      await plain.send([record(topic, 0, `new ${rounds++}`, { key, timestamp: Date.now() })])
      return (await readAll(adapter, topic)).every(({ value }) => !Buffer.from(value!).toString().startsWith('old'))
    })
    // From the middle of what is gone, too; meanwhile the cleaner may have taken more.
    const read = await readAll(adapter, topic, 0, { from: { after: '2' } })
    expect(texts(read).at(-1)).toBe(`new ${rounds - 1}`)
    expect(Number(read[0]!.position)).toBeGreaterThan(9)
  }, 60_000)

  it('rejects with position-lost before what is kept, behind the end, and while reading', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 10))
    const slow = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1
    })
    const admin = adapter.native!.admin()
    await admin.connect()
    await admin.fetchTopicOffsets(topic)
    const cut = (): Promise<void> => admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '7' }] })
    // kafkajs fails the first time, when it has not seen the topic.
    await cut().catch(cut)
    await admin.disconnect()
    for (const after of ['2', '5', '10', '500'])
      expect(adapter.classify(await failure(reader(topic, { after }))), after).toEqual({
        code: 'position-lost',
        retryable: false
      })
    expect(texts(await readAll(adapter, topic, 0, { from: { after: '6' } }))).toEqual(['7', '8', '9'])
    expect(await readAll(adapter, topic, 0, { from: { after: '9' } })).toEqual([])
    expect(texts(await readAll(adapter, topic))).toEqual(['7', '8', '9'])
    expect(adapter.classify(await failure(slow.receive({ wait: 1000 }))).code).toBe('position-lost')
    await slow.close()
  })

  it('refuses a position that is none', async () => {
    const topic = await createTopic(adapter)
    expect(adapter.classify(await failure(reader(topic, { after: 'abc' }))).code).toBe('corrupt')
  })

  it('knows its end as of each call, while others write', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reading = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 20_000
    })
    let written = 0
    let read = 0
    const write = async (): Promise<void> => {
      for (; written < 5000; written += 50) await producer.send(numbers(topic, 0, 50, written))
    }
    const writing = write()
    for (let ends = 0; read < 5000 || ends === 0;) {
      const before = written
      const { records, atEnd } = await reading.receive({ wait: 0 })
      expect(texts(records)).toEqual(Array.from(records, (_, index) => String(read + index)))
      read += records.length
      if (!atEnd) continue
      expect(read).toBeGreaterThanOrEqual(before)
      if (read === 5000) ends++
    }
    await writing
    await reading.close()
  })

  it('does not take the end of an answer from before the call for its end', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const write = (value: string): Promise<unknown> => producer.send([record(topic, 0, value.repeat(10_000))])
    for (const value of ['a', 'b']) await write(value)
    const reading = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 5000
    })
    expect((await reading.receive({ wait: 1000 })).records).toHaveLength(1)
    // The second record, up to the end of now, is being fetched ahead.
    await new Promise(resolve => setTimeout(resolve, 300))
    await write('c')
    const second = await reading.receive({ wait: 1000 })
    expect(second.records.map(({ value }) => value![0])).toEqual([0x62])
    expect(second.atEnd).toBe(false)
    const third = await reading.receive({ wait: 1000 })
    expect(third.records.map(({ value }) => value![0])).toEqual([0x63])
    await reading.close()
  })

  it('keeps what a signal interrupts', async () => {
    const topic = await createTopic(adapter)
    const reading = await reader(topic)
    for (let round = 0; round < 5; round++) {
      const stop = new AbortController()
      const receiving = reading.receive({ wait: 10_000, signal: stop.signal })
      const started = performance.now()
      stop.abort()
      expect(adapter.classify(await failure(receiving)).code).toBe('aborted')
      expect(performance.now() - started).toBeLessThan(100)
    }
    await (await adapter.producer()).send(numbers(topic, 0, 3))
    expect(texts((await reading.receive({ wait: 5000 })).records)).toEqual(['0', '1', '2'])
    await reading.close()
  })

  it('closes at once while it waits', async () => {
    const reading = await reader(await createTopic(adapter))
    const receiving = failure(reading.receive({ wait: 20_000 }))
    await new Promise(resolve => setTimeout(resolve, 50))
    const started = performance.now()
    await reading.close()
    expect(adapter.classify(await receiving).code).toBe('closed')
    expect(performance.now() - started).toBeLessThan(300)
  })

  it('reads what kafkajs writes: text, several headers of a name, tombstones', async () => {
    const topic = await createTopic(adapter)
    const producer = await vendorProducer()
    await producer.send({
      topic,
      messages: [
        { partition: 0, value: 'text', headers: { one: 'a', many: ['b', Buffer.from('c')] } },
        { partition: 0, key: Buffer.from('key'), value: null }
      ]
    })
    const [first, second] = await readAll(adapter, topic)
    expect(Buffer.from(first!.value!).toString()).toBe('text')
    expect(first!.headers).toEqual({ one: Buffer.from('a'), many: Buffer.from('c') })
    expect(first!.stamp).toBeUndefined()
    expect(second!.value).toBeNull()
  })

  it('shows the time of the append where the topic is set so', async () => {
    const topic = await createTopic(adapter, 1, { 'message.timestamp.type': 'LogAppendTime' })
    const before = Date.now()
    await (await adapter.producer()).send([record(topic, 0, 'a', { timestamp: 5 })])
    const [read] = await readAll(adapter, topic)
    expect(read!.timestamp).toBeGreaterThanOrEqual(before)
  })

  it.each([4, 5, 6, 7, 8, 9, 10, 11])('speaks version %i of the request', async newest => {
    const topic = await createTopic(adapter)
    await (await adapter.producer()).send(numbers(topic, 0, 2))
    const connection = new Connection(adapter.native!, systemEnvironment)
    const [answer] = await connection.atLeader(topic, 0, broker =>
      fetchRecords(connection, broker, [{ topic, partition: 0, offset: 0 }], {
        wait: 100,
        maxBytes: 10_000,
        partitionBytes: 10_000,
        readCommitted: true,
        timeout: 1000,
        newest
      })
    )
    await connection.close()
    expect(answer).toMatchObject({ topic, partition: 0, errorCode: 0, highWatermark: 2, lastStable: 2, aborted: [] })
    expect(answer!.bytes.length).toBeGreaterThan(61)
  })
})

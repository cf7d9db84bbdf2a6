import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Connection } from '../../../src/adapters/kafka/connection.ts'
import { writeRecords, type WriteOptions } from '../../../src/adapters/kafka/produce.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { SendResult } from '../../../src/spec/index.ts'
import {
  broker,
  createTopic,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  readAll,
  record,
  running,
  texts
} from './server.ts'

const codes = (adapter: KafkaAdapter, results: readonly SendResult[]): string[] =>
  results.map(result => (result.ok ? 'ok' : adapter.classify(result.error).code))

describe.runIf(running)(`the producer of kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  beforeAll(async () => void (adapter = await open()))
  afterAll(() => adapter.close())

  it('cuts what is more than a broker takes at once into several batches, in order', async () => {
    const topic = await createTopic(adapter, 2)
    const producer = await adapter.producer()
    const batch = Array.from({ length: 60 }, (_, index) => record(topic, index % 2, Buffer.alloc(100_000, index)))
    const results = await producer.send(batch)
    expect(results.every(result => result.ok)).toBe(true)
    for (const partition of [0, 1]) {
      const read = await readAll(adapter, topic, partition)
      expect(read.map(({ value }) => value![0])).toEqual(
        Array.from({ length: 30 }, (_, index) => index * 2 + partition)
      )
      const positions = results.flatMap((result, index) =>
        index % 2 === partition && result.ok ? result.position : []
      )
      expect(read.map(({ position }) => position)).toEqual(positions)
    }
  })

  it('finds out how much a topic takes that is set to less than others', async () => {
    const topic = await createTopic(adapter, 1, { 'max.message.bytes': '20000' })
    const producer = await adapter.producer()
    const results = await producer.send(
      Array.from({ length: 50 }, (_, index) => record(topic, 0, Buffer.alloc(5000, index)))
    )
    expect(codes(adapter, results)).toEqual(Array.from({ length: 50 }, () => 'ok'))
    expect((await readAll(adapter, topic)).map(({ value }) => value![0])).toEqual(
      Array.from({ length: 50 }, (_, index) => index)
    )
  })

  it('fails one record that is too large, and all after it in its partition, and no other', async () => {
    const topic = await createTopic(adapter, 2, { 'max.message.bytes': '20000' })
    const producer = await adapter.producer()
    const large = Buffer.alloc(50_000)
    const results = await producer.send([
      record(topic, 0, 'a'),
      record(topic, 1, 'x'),
      record(topic, 0, large),
      record(topic, 0, 'b'),
      record(topic, 1, 'y')
    ])
    expect(codes(adapter, results)).toEqual(['ok', 'ok', 'too-large', 'too-large', 'ok'])
    expect(texts(await readAll(adapter, topic, 0))).toEqual(['a'])
    expect(texts(await readAll(adapter, topic, 1))).toEqual(['x', 'y'])
  })

  it('fails the records of a partition that is not there, and no other', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const results = await producer.send([record(topic, 0, 'a'), record(topic, 5, 'b')])
    expect(codes(adapter, results)).toEqual(['ok', 'unknown-topic'])
    expect(!results[1]!.ok && String(results[1]!.error)).toContain('has 1 partitions, there is no partition 5')
  })

  it('finds partitions that a topic got later', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send([record(topic, 0, 'a')])
    const native = adapter.native!.admin()
    await native.connect()
    await native.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    await native.disconnect()
    const send = async (): Promise<string[]> => codes(adapter, await producer.send([record(topic, 2, 'b')]))
    // The broker that is asked learns of it in a moment, and of its leader a moment later, which is worth a retry.
    const first = await send()
    expect(first[0]).toMatch(/^(ok|connection|unknown-topic)$/)
    await expect.poll(send).toEqual(['ok'])
  })

  it('goes on after another topic that it wrote to was deleted', async () => {
    const [gone, stays, fresh] = [await createTopic(adapter), await createTopic(adapter), await createTopic(adapter)]
    const producer = await adapter.producer()
    await producer.send([record(gone, 0, 'a'), record(stays, 0, 'a')])
    await adapter.admin().deleteTopic(gone)
    expect(codes(adapter, await producer.send([record(stays, 0, 'b'), record(fresh, 0, 'b')]))).toEqual(['ok', 'ok'])
    const after = await producer.send([record(gone, 0, 'c'), record(stays, 0, 'c')])
    expect(after[1]!.ok).toBe(true)
    expect(after[0]!.ok).toBe(false)
  })

  it.each([0, 1, 86_400_000, 1_700_000_000_000.75])('keeps the time %d', async timestamp => {
    const topic = await createTopic(adapter)
    await (await adapter.producer()).send([record(topic, 0, 'a', { timestamp })])
    expect((await readAll(adapter, topic))[0]!.timestamp).toBe(Math.trunc(timestamp))
  })

  it('tells a time that the topic does not take from other failures', async () => {
    const topic = await createTopic(adapter)
    const far = systemEnvironment.now() + 86_400_000
    const results = await (await adapter.producer()).send([record(topic, 0, 'a', { timestamp: far })])
    expect(codes(adapter, results)).toEqual(['bad-record'])
    expect(!results[0]!.ok && String(results[0]!.error)).toContain('message.timestamp')
  })

  it.each(['gzip', 'zstd'] as const)('compresses with %s', async compression => {
    const packing = await open({ compression })
    try {
      const topic = await createTopic(packing)
      const value = Buffer.alloc(200_000, 'tidemark ')
      await (await packing.producer()).send([record(topic, 0, value), ...numbers(topic, 0, 100)])
      const read = await readAll(adapter, topic)
      expect(read[0]!.value).toEqual(value)
      expect(texts(read.slice(1))).toEqual(texts(numbers(topic, 0, 100) as never))
      const transaction = await packing.transactions!().producer(topic)
      expect((await transaction.commit({ records: numbers(topic, 0, 3) })).outcome).toBe('committed')
      expect(await readAll(adapter, topic)).toHaveLength(104)
    } finally {
      await packing.close()
    }
  })

  it('refuses a compression whose package is missing, by name', async () => {
    const packing = await open({ compression: 'lz4' })
    const error = await failure(packing.producer())
    expect(packing.classify(error)).toEqual({ code: 'unsupported', retryable: false })
    expect(String(error)).toContain('npm install kafkajs-lz4')
    await packing.close()
  })

  it.each([
    ['leader', '0'],
    ['none', undefined]
  ] as const)('with acks %s resolves with the position %s', async (acks, position) => {
    const lax = await open({ acks })
    const topic = await createTopic(lax)
    const producer = await lax.producer()
    expect(await producer.send([record(topic, 0, 'a')])).toEqual([{ ok: true, position }])
    await producer.close()
    expect(texts(await readAll(adapter, topic))).toEqual(['a'])
    await lax.close()
  })

  it.each([3, 4, 5, 6, 7])('speaks version %i of the request', async newest => {
    const topic = await createTopic(adapter, 2)
    const connection = new Connection(adapter.native!, systemEnvironment)
    const options: WriteOptions = {
      connection,
      codec: { compression: 0, codec: undefined },
      acks: -1,
      timeout: 5000,
      limits: new Map(),
      newest
    }
    const { results, failure: failed } = await writeRecords([record(topic, 0, 'a'), record(topic, 1, 'b')], options)
    await connection.close()
    expect(failed).toBeUndefined()
    expect(results).toEqual([
      { ok: true, position: '0' },
      { ok: true, position: '0' }
    ])
    expect(texts(await readAll(adapter, topic, 1))).toEqual(['b'])
  })

  it('rejects when nothing is known of any record', async () => {
    const lost = await open({ brokers: ['127.0.0.1:1'] })
    const error = await failure((await lost.producer()).send([record('any-topic', 0, 'a')]))
    expect(lost.classify(error)).toEqual({ code: 'connection', retryable: true })
    await lost.close()
  })

  it('finds a broker of the list when the first cannot be reached', async () => {
    const wide = await open({ brokers: ['127.0.0.1:1', '127.0.0.1:2', broker] })
    const topic = await createTopic(wide)
    expect(codes(wide, await (await wide.producer()).send([record(topic, 0, 'a')]))).toEqual(['ok'])
    await wide.close()
  })

  it('gives up at its signal within 100 ms, and can go on', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const stop = new AbortController()
    const sending = producer.send(numbers(topic, 0, 1000), stop.signal)
    stop.abort()
    expect(adapter.classify(await failure(sending)).code).toBe('aborted')
    expect(codes(adapter, await producer.send([record(topic, 0, 'last')]))).toEqual(['ok'])
  })
})

import { describe, expect, test } from 'vitest'
import type { RawRecord } from '../../../src/core/record.ts'
import {
  admin,
  createTopic,
  failure,
  notRun,
  numbers,
  open,
  readAll,
  record,
  running,
  send,
  sendForeign,
  texts,
  unique,
  until
} from './server.ts'

const partition = (topic: string): string => `${topic}-partition-0`
const path = (topic: string): string => `persistent/public/default/${partition(topic)}`

describe.skipIf(!running)(`reading a partition of Pulsar${notRun}`, () => {
  test('messages of a foreign batch have positions of their own, and a start between them is exact', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const messages = Array.from({ length: 12 }, (_, index) => ({
      payload: Buffer.from(String(index)).toString('base64'),
      key: `k${index}`,
      context: String(index)
    }))
    await sendForeign(
      partition(topic),
      'batchingEnabled=true&batchingMaxMessages=5&batchingMaxPublishDelay=500',
      messages
    )
    const records = await readAll(adapter, topic)
    const expected = messages.map((_, index) => String(index))
    expect(texts(records)).toEqual(expected)
    expect(new Set(records.map(({ position }) => position)).size).toBe(12)
    expect(
      records.some(({ position }) => position.split(':').length === 3),
      'nothing was batched'
    ).toBe(true)
    for (const [index, { position }] of records.entries()) {
      expect(texts(await readAll(adapter, topic, 0, { after: position }))).toEqual(expected.slice(index + 1))
      if (index > 0) expect(adapter.comparePositions(records[index - 1]!.position, position)).toBeLessThan(0)
    }
    // Ours come behind them, one to an entry.
    await send(adapter, numbers(topic, 0, 3, 12))
    expect(texts(await readAll(adapter, topic, 0, { after: records[11]!.position }))).toEqual(['12', '13', '14'])
    await adapter.close()
  })

  test('a topic without partitions is one partition', async () => {
    const adapter = await open()
    const topic = unique('plain')
    await admin('PUT', `persistent/public/default/${topic}`)
    await send(adapter, numbers(topic, 0, 5))
    expect(texts(await readAll(adapter, topic))).toEqual(['0', '1', '2', '3', '4'])
    const driver = adapter.admin()
    expect(await driver.describeTopic(topic)).toEqual({ topic, partitions: 1 })
    expect(await driver.listTopics()).toContain(topic)
    expect((await driver.behind!(topic, []))[0]).toEqual({ topic, partition: 0, records: 5 })
    expect(adapter.classify(await failure(readAll(adapter, topic, 1)))).toEqual({
      code: 'unknown-topic',
      retryable: false
    })
    await driver.deleteTopic(topic)
    expect(await driver.describeTopic(topic)).toBe(undefined)
    await adapter.close()
  })

  test('holds no more than its bound while nobody receives, however many are waiting', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const value = Buffer.alloc(256 * 1024, 1)
    for (let batch = 0; batch < 40; batch++)
      await send(
        adapter,
        Array.from({ length: 4 }, () => record(topic, 0, value))
      )
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    let seen = (await reader.receive({ wait: 10_000 })).records.length
    const before = process.memoryUsage().arrayBuffers
    await new Promise(resolve => setTimeout(resolve, 2_000))
    const held = process.memoryUsage().arrayBuffers - before
    // 40 MB are waiting, 53 MB in base64.
    expect(held).toBeLessThan(12 * 1024 * 1024)
    while (seen < 160) seen += (await reader.receive({ wait: 10_000 })).records.length
    expect(seen).toBe(160)
    await adapter.close()
  })

  test('a topic that was unloaded and moves goes on without loss or repeat', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    const records: RawRecord[] = []
    for (let round = 0; round < 4; round++) {
      const results = await producer.send(numbers(topic, 0, 250, round * 250))
      expect(results.filter(result => !result.ok)).toEqual([])
      if (round % 2 === 0) await admin('PUT', `${path(topic)}/unload`)
    }
    const signal = AbortSignal.timeout(20_000)
    while (records.length < 1_000) records.push(...(await reader.receive({ wait: 500, signal })).records)
    expect(texts(records)).toEqual(Array.from({ length: 1_000 }, (_, index) => String(index)))
    await adapter.close()
  })

  test('a position whose records are removed by retention is lost, not passed over', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter, 1, { retentionTimeInMinutes: '0', retentionSizeInMB: '0' })
    await send(adapter, numbers(topic, 0, 20))
    const old = await readAll(adapter, topic)
    const trimmed = async (): Promise<boolean> => {
      // A new ledger, so that the old one can go.
      await admin('PUT', `${path(topic)}/unload`)
      await admin('POST', `${path(topic)}/trim`)
      const { ledgers } = await admin('GET', `${path(topic)}/internalStats`)
      return ledgers[0].ledgerId > Number(old[0]!.position.split(':')[0])
    }
    await until(trimmed)
    // Nothing came after it: nothing is lost, and the end is the end although its ledger is gone.
    expect(texts(await readAll(adapter, topic, 0, { after: old[19]!.position }))).toEqual([])
    expect(texts(await readAll(adapter, topic))).toEqual([])
    await send(adapter, numbers(topic, 0, 5, 20))
    const lost = await failure(readAll(adapter, topic, 0, { after: old[3]!.position }))
    expect(lost).toMatchObject({ code: 'position-lost', message: expect.stringContaining("'earliest'") })
    expect(texts(await readAll(adapter, topic))).toEqual(['20', '21', '22', '23', '24'])
    await adapter.close()
  })

  test('topics are created with retention, without which Pulsar deletes what nobody subscribes to', async () => {
    const adapter = await open()
    const retention = async (topic: string): Promise<unknown> =>
      admin('GET', `persistent/public/default/${topic}/retention?applied=true`)
    expect(await retention(await createTopic(adapter))).toEqual({
      retentionTimeInMinutes: 10_080,
      retentionSizeInMB: -1
    })
    const settings = { retentionTimeInMinutes: '60' }
    expect(await retention(await createTopic(adapter, 2, settings))).toEqual({
      retentionTimeInMinutes: 60,
      retentionSizeInMB: -1
    })
    for (const bad of [{ color: 'red' }, { retentionSizeInMB: 'much' }, { deduplication: 'perhaps' }] as Record<
      string,
      string
    >[])
      expect(await failure(createTopic(adapter, 1, bad))).toMatchObject({ code: 'bad-config' })
    await adapter.close()
  })

  test('a topic that is deleted under an open reader and producer stays deleted, and both say so', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 3))
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    for (let seen = 0; seen < 3;) seen += (await reader.receive({ wait: 5_000 })).records.length
    const waiting = failure(reader.receive({ wait: 20_000 }))
    await adapter.admin().deleteTopic(topic)
    expect(adapter.classify(await waiting).code).toBe('unknown-topic')
    const [result] = await producer.send(numbers(topic, 0, 1))
    expect(!result!.ok && adapter.classify(result!.error).code).toBe('unknown-topic')
    expect(await admin('GET', 'persistent/public/default')).not.toContain(
      `persistent://public/default/${partition(topic)}`
    )
    await adapter.close()
  })

  test('one record at a time comes soon, with few questions about the end', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'latest',
      readCommitted: true,
      maxBytes: 1 << 16
    })
    const producer = await adapter.producer()
    for (let round = 0; round < 30; round++) {
      const receiving = reader.receive({ wait: 5_000 })
      await producer.send(numbers(topic, 0, 1, round))
      const started = performance.now()
      expect(texts((await receiving).records)).toEqual([String(round)])
      expect(performance.now() - started).toBeLessThan(2_000)
    }
    await adapter.close()
  })
})

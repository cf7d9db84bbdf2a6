import { afterEach, describe, expect, it } from 'vitest'
import { bytes, connect, text, topic } from '../../../src/index.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { createTopic, numbers, readAll, record, send, texts, unique } from '../../support/records.ts'
import { ask, injectFaults, merge, notRun, open, running, serviceError, split, throttled } from './server.ts'

const megabyte = 1024 * 1024
const codes = (adapter: AnyAdapter, results: readonly { ok: boolean; error?: unknown }[]): string[] =>
  results.map(result => (result.ok ? 'ok' : adapter.classify(result.error).code))

describe.runIf(running)('writing', () => {
  let adapter: AnyAdapter
  afterEach(() => adapter.close())

  /** What goes over the wire. */
  interface Put {
    readonly name: string
    readonly input: any
  }
  async function watched(options = {}, judge: (name: string, input: any) => object | undefined = () => undefined) {
    adapter = await open(options)
    const puts: Put[] = []
    injectFaults(adapter, (name, input) => {
      if (name.startsWith('Put')) puts.push({ name, input })
      return judge(name, input)
    })
    return puts
  }

  it('goes to the middle of the partition, however the stream is cut', async () => {
    const puts = await watched()
    const topic = await createTopic(adapter, 4, { shards: '3' })
    await send(
      adapter,
      [0, 1, 2, 3].map(partition => record(topic, partition, 'x'))
    )
    const keys = puts
      .map(({ input }) => BigInt(input.ExplicitHashKey))
      .toSorted((left, right) => (left < right ? -1 : 1))
    expect(keys).toEqual([1n, 3n, 5n, 7n].map(eighths => (eighths << 128n) / 8n))
  })

  it('tells each record of a partition which one it comes behind', async () => {
    const puts = await watched({ aggregateBytes: 2000 })
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(Array.from({ length: 5 }, (_, index) => record(topic, 0, Buffer.alloc(1500, index))))
    await producer.send([record(topic, 0, 'last')])
    expect(puts.map(({ name }) => name)).toEqual(Array.from({ length: 6 }, () => 'PutRecord'))
    const written = await readAll(adapter, topic)
    const sequences = written.map(({ position }) => position.split(':')[1])
    expect(puts.map(({ input }) => input.SequenceNumberForOrdering)).toEqual([undefined, ...sequences.slice(0, 5)])
  })

  it('goes on without that after a shard that refuses it', async () => {
    let refuse = true
    const puts = await watched({}, (name, input) =>
      refuse && input.SequenceNumberForOrdering !== undefined
        ? serviceError('InvalidArgumentException', 'The SequenceNumberForOrdering is not of this shard')
        : undefined
    )
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send([record(topic, 0, '0')])
    const [refused] = await producer.send([record(topic, 0, '1')])
    expect(refused!.ok || adapter.classify(refused!.error)).toEqual({ code: 'connection', retryable: true })
    const [again] = await producer.send([record(topic, 0, '1')])
    expect(again!.ok).toBe(true)
    expect(puts.at(-1)!.input.SequenceNumberForOrdering).toBeUndefined()
    refuse = false
    expect(texts(await readAll(adapter, topic))).toEqual(['0', '1'])
  })

  it('ends an aggregate at its limit, and lets a larger record travel alone', async () => {
    const puts = await watched({ aggregateBytes: 10_000 })
    const topic = await createTopic(adapter)
    const sizes = [4000, 4000, 4000, 20_000, 100, 100, 9000]
    await send(
      adapter,
      sizes.map((size, index) => record(topic, 0, Buffer.alloc(size, index)))
    )
    expect(puts.map(({ input }) => Math.round(input.Data.length / 1000))).toEqual([8, 4, 20, 9])
    expect((await readAll(adapter, topic)).map(({ value }) => value!.byteLength)).toEqual(sizes)
  })

  it('of the largest record fits, with key, headers and stamp', async () => {
    const puts = await watched()
    const topic = await createTopic(adapter)
    const { maxRecord } = adapter.capabilities
    const stamp = encodeStamp('x'.repeat(16), 2 ** 40, 1_700_000_000_000, 1_600_000_000_000, true)
    const key = Buffer.alloc(100, 0xff)
    const headers = { trace: Buffer.alloc(55, 0xfe) }
    const value = Buffer.alloc(maxRecord - 155, 7)
    const largest = record(topic, 0, value, { key, headers, stamp })
    adapter.check!(largest)
    await send(adapter, [record(topic, 0, 'before'), largest, record(topic, 0, 'behind')])
    expect(puts).toHaveLength(3)
    for (const { input } of puts) expect(input.Data.length + input.PartitionKey.length).toBeLessThanOrEqual(megabyte)
    const [, read] = await readAll(adapter, topic, 0, { maxBytes: 4 * megabyte })
    expect(Buffer.from(read!.value!).equals(value)).toBe(true)
    expect(Buffer.from(read!.key!).equals(key)).toBe(true)
    expect(Buffer.from(read!.headers['trace']!).equals(headers.trace)).toBe(true)
    expect(Buffer.from(read!.stamp!).equals(stamp)).toBe(true)
    const tooLarge = record(topic, 0, Buffer.alloc(megabyte), { key })
    expect(() => adapter.check!(tooLarge)).toThrow(/1048576/)
    const results = await (await adapter.producer()).send([record(topic, 0, 'one'), tooLarge, record(topic, 0, 'two')])
    expect(codes(adapter, results)).toEqual(['ok', 'too-large', 'too-large'])
  })

  it('refuses reserved names of headers, in the check and in the send', async () => {
    adapter = await open()
    const topic = await createTopic(adapter)
    for (const name of ['~', '~s', '~k', '~t', '~b:x', '__proto__']) {
      const headers = Object.defineProperty({}, name, { value: Buffer.from('x'), enumerable: true }) as Record<
        string,
        Buffer
      >
      const bad = record(topic, 0, 'x', { headers })
      expect(() => adapter.check!(bad), name).toThrow(/reserved/)
      const results = await (await adapter.producer()).send([bad])
      expect(codes(adapter, results), name).toEqual(['bad-record'])
    }
  })

  it('of keys that are no text, empty, long, or look like none', async () => {
    adapter = await open()
    const topic = await createTopic(adapter)
    const keys = [null, '', '~', 'x'.repeat(256), 'x'.repeat(257), 'ключ', '\u0000', Buffer.from([0xff, 0x00]), '~k']
    const asBytes = keys.map(key => (typeof key === 'string' ? Buffer.from(key) : key))
    await send(
      adapter,
      asBytes.map(key => record(topic, 0, 'x', { key }))
    )
    const read = await readAll(adapter, topic)
    expect(read.map(({ key }) => key && Buffer.from(key).toString('hex'))).toEqual(
      asBytes.map(key => key && key.toString('hex'))
    )
  })

  describe.each(['strict', 'coarse'] as const)('with %s ordering', ordering => {
    it('that is throttled in the middle writes nothing behind it, and nothing twice when it is sent again', async () => {
      let allowed = 2
      await watched({ ordering, aggregateBytes: 1000 }, (name, input) => {
        if (name === 'PutRecord') return allowed-- > 0 ? undefined : throttled()
        if (name !== 'PutRecords') return undefined
        return allowed-- > 0
          ? undefined
          : {
              FailedRecordCount: input.Records.length,
              Records: input.Records.map(() => ({
                ErrorCode: 'ProvisionedThroughputExceededException',
                ErrorMessage: 'Rate exceeded'
              }))
            }
      })
      const topic = await createTopic(adapter)
      const producer = await adapter.producer()
      let left = Array.from({ length: 10 }, (_, index) => record(topic, 0, `${index}`.padEnd(700)))
      for (let attempt = 0; left.length > 0; attempt++) {
        expect(attempt).toBeLessThan(10)
        const results = await producer.send(left)
        const written = results.filter(({ ok }) => ok).length
        expect(results.slice(0, written).every(({ ok }) => ok)).toBe(true)
        for (const result of results.slice(written))
          expect(result.ok || adapter.classify(result.error)).toEqual({ code: 'throttled', retryable: true })
        left = left.slice(written)
        allowed = 3
      }
      expect(texts(await readAll(adapter, topic)).map(text => text.trim())).toEqual(
        Array.from({ length: 10 }, (_, index) => String(index))
      )
    })

    it('that is refused for one partition is written for the others', async () => {
      const refusing = (partition: number, of: number): string =>
        String(((2n * BigInt(partition) + 1n) << 128n) / (2n * BigInt(of)))
      await watched({ ordering }, (name, input) => {
        if (name === 'PutRecord') return input.ExplicitHashKey === refusing(1, 3) ? throttled() : undefined
        return undefined
      })
      const topic = await createTopic(adapter, 3)
      if (ordering === 'coarse') partlyRefused(adapter, refusing(1, 3))
      const batch = Array.from({ length: 30 }, (_, index) => record(topic, index % 3, String(index)))
      const results = await (await adapter.producer()).send(batch)
      expect(codes(adapter, results)).toEqual(batch.map(({ partition }) => (partition === 1 ? 'throttled' : 'ok')))
      expect(await readAll(adapter, topic, 0)).toHaveLength(10)
      expect(await readAll(adapter, topic, 1)).toHaveLength(0)
      expect(await readAll(adapter, topic, 2)).toHaveLength(10)
    })

    it('keeps the order of a partition over many sends, a split and a merge', async () => {
      adapter = await open({ ordering, aggregateBytes: 500 })
      const topic = await createTopic(adapter, 2, { shards: '1' })
      const producer = await adapter.producer()
      for (let round = 0; round < 30; round++) {
        if (round === 10) await split(adapter, topic, 0)
        if (round === 20) await merge(adapter, topic, 0)
        const results = await producer.send([0, 1].flatMap(partition => numbers(topic, partition, 20, round * 20)))
        expect(results.every(({ ok }) => ok)).toBe(true)
      }
      for (const partition of [0, 1])
        expect(texts(await readAll(adapter, topic, partition))).toEqual(
          Array.from({ length: 600 }, (_, index) => String(index))
        )
    })
  })

  it('to a partition that is not there is refused', async () => {
    adapter = await open()
    const topic = await createTopic(adapter, 2)
    const results = await (await adapter.producer()).send([record(topic, 1, 'x'), record(topic, 2, 'x')])
    expect(codes(adapter, results)).toEqual(['ok', 'unknown-topic'])
  })

  it('with coarse ordering puts each partition into a request once, and keeps the limits of requests', async () => {
    // Answered here: the local server takes seconds for one such request.
    let sequence = 1_000_000
    const puts = await watched({ ordering: 'coarse', aggregateBytes: 300_000 }, (name, input) =>
      name === 'PutRecords'
        ? {
            Records: input.Records.map(() => ({ ShardId: 'shardId-000000000000', SequenceNumber: String(sequence++) }))
          }
        : undefined
    )
    const topic = await createTopic(adapter, 600)
    const partitions = Array.from({ length: 600 }, (_, partition) => partition)
    await send(
      adapter,
      partitions.flatMap(partition => [record(topic, partition, 'a'), record(topic, partition, 'b')])
    )
    const large = partitions.slice(0, 22).map(partition => record(topic, partition, Buffer.alloc(250_000)))
    await send(adapter, [...large, record(topic, 7, Buffer.alloc(250_000))])
    expect(new Set(puts.map(({ name }) => name))).toEqual(new Set(['PutRecords']))
    for (const { input } of puts) {
      const entries = input.Records as { Data: Buffer; ExplicitHashKey: string; PartitionKey: string }[]
      expect(entries.length).toBeLessThanOrEqual(500)
      expect(
        entries.reduce((sum, { Data, PartitionKey }) => sum + Data.length + PartitionKey.length, 0)
      ).toBeLessThanOrEqual(5 * megabyte)
      expect(new Set(entries.map(({ ExplicitHashKey }) => ExplicitHashKey)).size).toBe(entries.length)
    }
    expect(puts.map(({ input }) => input.Records.length)).toEqual([500, 100, 20, 2, 1])
  })

  it('with coarse ordering says so when a record was put before the one that it was sent after', async () => {
    let sequence = '900'
    await watched({ ordering: 'coarse' }, name =>
      name === 'PutRecords' ? { Records: [{ ShardId: 'shardId-000000000000', SequenceNumber: sequence }] } : undefined
    )
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    expect((await producer.send([record(topic, 0, 'first')]))[0]!.ok).toBe(true)
    sequence = '899'
    const [late] = await producer.send([record(topic, 0, 'second')])
    expect(late!.ok || adapter.classify(late!.error)).toEqual({ code: 'internal', retryable: false })
  })

  it('takes so few bytes that a shard takes twenty times as many small records as without aggregates', async () => {
    const puts = await watched()
    const small = topic(unique('small'), {
      key: text,
      value: bytes,
      partitions: 1,
      eventTime: (value: Uint8Array) => 1_700_000_000_000 + Buffer.from(value).readUInt32BE()
    })
    const client = await connect({ brokers: { default: adapter }, store: 'memory:', variables: {} })
    await client.admin.create(small)
    const producer = await client.producer(small)
    const count = 20_000
    await producer.sendAll(
      Array.from({ length: count }, (_, index) => ({
        key: `key-${String(index % 1_000).padStart(8, '0')}`,
        value: Buffer.concat([Buffer.from([0, 0, index >> 8, index % 256]), Buffer.alloc(16, index)])
      }))
    )
    await client.close()
    const sent = puts.filter(({ input }) => input.StreamName === small.name)
    const size = sent.reduce((sum, { input }) => sum + input.Data.length + input.PartitionKey.length, 0)
    // Of what a shard takes in a second, 1 MiB and 1,000 records, this is the share.
    expect(Math.max(size / megabyte, sent.length / 1_000)).toBeLessThan(count / 20_000)
  })

  it('is given up by its signal in the middle of a request', async () => {
    adapter = await open()
    const topic = await createTopic(adapter)
    injectFaults(adapter, name => (name === 'PutRecord' ? new Promise<undefined>(() => {}) : undefined))
    const stop = new AbortController()
    const sending = (await adapter.producer()).send([record(topic, 0, 'x')], stop.signal)
    setTimeout(() => stop.abort(), 50)
    await expect(sending).rejects.toMatchObject({ code: 'aborted' })
  })

  it('to a stream without a partition count is refused, with the command that sets one', async () => {
    adapter = await open()
    const topic = `bare-${Date.now()}`
    await ask(adapter, 'CreateStream', { StreamName: topic, ShardCount: 1 })
    await new Promise(resolve => setTimeout(resolve, 100))
    const [result] = await (await adapter.producer()).send([record(topic, 0, 'x')])
    expect(result!.ok || adapter.classify(result!.error)).toEqual({ code: 'bad-config', retryable: false })
    expect(String(result!.ok || result!.error)).toContain(`aws kinesis add-tags-to-stream --stream-name ${topic}`)
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: undefined })
    await ask(adapter, 'AddTagsToStream', { StreamName: topic, Tags: { 'tidemark:partitions': '2' } })
    await send(adapter, [record(topic, 1, 'x')])
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 2 })
  })
})

/** `PutRecords` takes everything but what has this hash key. */
function partlyRefused(adapter: AnyAdapter, hashKey: string): void {
  injectFaults(adapter, async (name, input) => {
    if (name !== 'PutRecords' || input.again) return undefined
    const entries = input.Records as { ExplicitHashKey: string }[]
    const { Records } = await ask(adapter, 'PutRecords', {
      ...input,
      Records: entries.filter(entry => entry.ExplicitHashKey !== hashKey),
      again: true
    })
    const error = { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded' }
    return {
      FailedRecordCount: 1,
      Records: entries.map(entry => (entry.ExplicitHashKey === hashKey ? error : Records.shift()))
    }
  })
}

it.skipIf(running)(`writing${notRun}`, () => {})

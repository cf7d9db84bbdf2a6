import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codecFinder, compressions } from '../../../src/adapters/kafka/compression.ts'
import { crc32c } from '../../../src/adapters/kafka/crc32c.ts'
import { anonymous, encodeBatch } from '../../../src/adapters/kafka/record-batch.ts'
import { type AbortedTransaction, decodeRecords, scanBatches } from '../../../src/adapters/kafka/records.ts'
import { readVarint, sizeOfVarint, writeVarint } from '../../../src/adapters/kafka/varint.ts'
import { readInt64, writeInt64 } from '../../../src/adapters/kafka/wire.ts'
import { StreamError } from '../../../src/core/errors.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../../src/core/record.ts'
import { failure, record } from './server.ts'

const require = createRequire(import.meta.url)
const VendorDecoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object
const vendorDecode = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (decoder: object) => Promise<{
  readonly records: readonly {
    readonly offset: string
    readonly timestamp: string
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly headers: Record<string, Buffer>
  }[]
}>

const findCodec = codecFinder(undefined)

async function decode(bytes: Buffer, from = 0, aborted: readonly AbortedTransaction[] = []): Promise<RawRecord[]> {
  const { end, next } = scanBatches(bytes, from)
  return decodeRecords({ topic: 'topic', partition: 0, bytes: bytes.subarray(0, end), from, next, aborted }, findCodec)
}

async function batch(
  records: readonly OutgoingRecord[],
  offset = 0,
  more: Partial<typeof anonymous> & { compression?: number; control?: boolean } = {}
): Promise<Buffer> {
  const compression = more.compression ?? 0
  const bytes = await encodeBatch(
    records,
    { ...anonymous, ...more },
    { compression, codec: await findCodec(compression) }
  )
  writeInt64(bytes, offset, 0)
  if (more.control) {
    bytes.writeInt16BE(bytes.readInt16BE(21) | 0x20, 21)
    bytes.writeUInt32BE(crc32c(bytes, 21), 17)
  }
  return bytes
}

/** The record that a transaction coordinator writes at the end. */
const marker = (producer: number, offset: number, committed: boolean): Promise<Buffer> =>
  batch([record('topic', 0, Buffer.alloc(6), { key: Buffer.from([0, 0, 0, committed ? 1 : 0]) })], offset, {
    id: producer,
    transactional: true,
    control: true
  })

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null })
const anyRecord: fc.Arbitrary<OutgoingRecord> = fc.record({
  topic: fc.constant('topic'),
  partition: fc.constant(0),
  key: bytesOrNull,
  value: bytesOrNull,
  headers: fc.oneof(
    fc.constant(noHeaders),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.uint8Array({ maxLength: 50 }))
  ),
  stamp: fc.option(fc.uint8Array({ minLength: 1, maxLength: 40 }), { nil: undefined }),
  timestamp: fc.integer({ min: 0, max: 4_102_444_800_000 })
})

const plain = (value: Uint8Array | null | undefined): number[] | null | undefined => value && [...value]
const entries = (headers: Readonly<Record<string, Uint8Array>>): unknown[] =>
  Object.keys(headers)
    .toSorted()
    .map(name => [name, plain(headers[name])])

describe('numbers on the wire', () => {
  it('varints of up to 52 bits come back, in the size foretold', () => {
    const whole = fc.oneof(
      fc.integer(),
      fc.integer({ min: -(2 ** 51), max: 2 ** 51 }),
      fc.integer({ min: -70, max: 70 })
    )
    fc.assert(
      fc.property(whole, value => {
        const bytes = Buffer.alloc(12)
        const end = writeVarint(bytes, 1, value)
        expect(end - 1).toBe(sizeOfVarint(value))
        const cursor = { at: 1 }
        expect(readVarint(bytes, cursor)).toBe(value)
        expect(cursor.at).toBe(end)
      }),
      { numRuns: 2000 }
    )
  })

  it('64-bit integers come back, negative ones too', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), value => {
        const bytes = Buffer.alloc(8)
        writeInt64(bytes, value, 0)
        expect(bytes.readBigInt64BE(0)).toBe(BigInt(value))
        expect(readInt64(bytes, 0)).toBe(value)
      })
    )
  })

  // RFC 3720, B.4, and the usual check value.
  it.each([
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e]
  ])('crc-32c of %o', (bytes, sum) => {
    expect(crc32c(bytes)).toBe(sum)
    expect(crc32c(Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(2)]), 3, 3 + bytes.length)).toBe(sum)
  })
})

describe('a record batch', () => {
  it('comes back as it was written, whatever is in it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRecord, { minLength: 1, maxLength: 20 }),
        fc.constantFrom(0, 1, 4),
        fc.integer({ min: 0, max: 2 ** 40 }),
        async (records, compression, offset) => {
          const read = await decode(await batch(records, offset, { compression }), offset)
          expect(read.map(({ position }) => Number(position))).toEqual(records.map((_, index) => offset + index))
          for (const [index, sent] of records.entries()) {
            const back = read[index]!
            expect(plain(back.key)).toEqual(plain(sent.key))
            expect(plain(back.value)).toEqual(plain(sent.value))
            expect(back.timestamp).toBe(sent.timestamp)
            // A user's header of the reserved name is taken for the stamp.
            const { '~s': reserved, ...headers } = sent.headers
            expect(plain(back.stamp)).toEqual(plain(sent.stamp ?? reserved))
            expect(entries(back.headers)).toEqual(entries(headers))
          }
        }
      ),
      { numRuns: 200 }
    )
  })

  it('is read by kafkajs', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyRecord, { minLength: 1, maxLength: 10 }), async records => {
        const { records: read } = await vendorDecode(new VendorDecoder(await batch(records, 7)))
        for (const [index, sent] of records.entries()) {
          const back = read[index]!
          expect(back.offset).toBe(String(7 + index))
          expect(back.timestamp).toBe(String(sent.timestamp))
          expect(plain(back.key)).toEqual(plain(sent.key))
          expect(plain(back.value)).toEqual(plain(sent.value))
          if (sent.stamp && !('~s' in sent.headers)) expect(plain(back.headers['~s'])).toEqual(plain(sent.stamp))
        }
      }),
      { numRuns: 50 }
    )
  })

  it('names its first and its newest time, which is how Kafka finds records by time', async () => {
    const times = [5000, 90_000, 400, 10_000]
    const bytes = await batch(times.map(timestamp => record('topic', 0, 'x', { timestamp })))
    expect(bytes.readBigInt64BE(27)).toBe(5000n)
    expect(bytes.readBigInt64BE(35)).toBe(90_000n)
    expect((await decode(bytes)).map(({ timestamp }) => timestamp)).toEqual(times)
  })

  it('leaves out what lies before the offset that was asked for', async () => {
    const bytes = await batch(
      ['a', 'b', 'c', 'd'].map(value => record('topic', 0, value)),
      100
    )
    expect((await decode(bytes, 102)).map(({ position }) => position)).toEqual(['102', '103'])
  })

  it('of a name that comes twice takes the last header, as Kafka does', async () => {
    const written = await batch([record('topic', 0, 'x', { headers: { na: Buffer.from('1'), nb: Buffer.from('2') } })])
    // Both names become the same.
    written[written.indexOf('nb') + 1] = 0x61
    written.writeUInt32BE(crc32c(written, 21), 17)
    expect((await decode(written))[0]!.headers).toEqual({ na: Buffer.from('2') })
  })

  it('may have a header called __proto__', async () => {
    const headers = JSON.parse('{"__proto__": 0}') as Record<string, never>
    Object.defineProperty(headers, '__proto__', { value: Buffer.from('x'), enumerable: true })
    const [read] = await decode(await batch([record('topic', 0, 'x', { headers })]))
    expect(Object.keys(read!.headers)).toEqual(['__proto__'])
    expect(Object.getPrototypeOf(read!.headers)).toBe(Object.prototype)
  })
})

describe('the bytes of a fetch', () => {
  it('end anywhere: the batch that is cut off counts for nothing', async () => {
    const first = await batch([record('topic', 0, 'a'), record('topic', 0, 'b')], 10)
    const second = await batch([record('topic', 0, 'c')], 12)
    const bytes = Buffer.concat([first, second])
    for (let length = 0; length < bytes.length; length++) {
      const { end, next } = scanBatches(bytes.subarray(0, length), 10)
      expect(end).toBe(length < first.length ? 0 : first.length)
      expect(next).toBe(length < first.length ? 10 : 12)
    }
    expect(scanBatches(bytes, 10)).toEqual({ end: bytes.length, next: 13 })
  })

  it('may hold batches that compaction has emptied: they are passed', async () => {
    const emptied = (await batch([record('topic', 0, 'a')], 10)).subarray(0, 61)
    const bytes = Buffer.from(emptied)
    bytes.writeInt32BE(61 - 12, 8)
    bytes.writeInt32BE(9, 23)
    bytes.writeInt32BE(0, 57)
    bytes.writeUInt32BE(crc32c(bytes, 21), 17)
    expect(scanBatches(bytes, 10)).toEqual({ end: 61, next: 20 })
    expect(await decode(bytes, 10)).toEqual([])
  })

  it('are refused when a bit has changed', async () => {
    const bytes = await batch([record('topic', 0, 'a')], 10)
    bytes[bytes.length - 2]! ^= 1
    const error = await failure(decode(bytes))
    expect(StreamError.is(error) && error.code).toBe('corrupt')
    expect(String(error)).toContain('offset 10 of topic/0')
  })

  it('are refused when records do not fit into their batch', async () => {
    const bytes = await batch([record('topic', 0, 'a')], 10)
    bytes.writeInt32BE(2, 57)
    bytes.writeUInt32BE(crc32c(bytes, 21), 17)
    expect(await failure(decode(bytes))).toMatchObject({ code: 'corrupt' })
  })

  it('are refused in the format before Kafka 0.11', async () => {
    const bytes = await batch([record('topic', 0, 'a')])
    bytes[16] = 1
    expect(() => scanBatches(bytes, 0)).toThrow('message format 1')
  })

  it.each([
    [2, 'kafkajs-snappy'],
    [3, 'kafkajs-lz4']
  ])('compressed with codec %i name the package that is missing', async (compression, name) => {
    const bytes = await batch([record('topic', 0, 'a')])
    bytes.writeInt16BE(compression, 21)
    bytes.writeUInt32BE(crc32c(bytes, 21), 17)
    const error = await failure(decode(bytes))
    expect(error).toMatchObject({ code: 'unsupported', retryable: false })
    expect(String(error)).toContain(`'${name}'`)
    expect(String(error)).toContain(compressions[compression])
  })

  it('are read with a codec that the user has registered in kafkajs', async () => {
    const reversed = {
      compress: async ({ buffer }: { buffer: Buffer }) => Buffer.from(buffer).reverse(),
      decompress: async (bytes: Buffer) => Buffer.from(bytes).reverse()
    }
    class Kafka {
      consumer(): void {}
      producer(): void {}
      admin(): void {}
    }
    const find = codecFinder({ Kafka, CompressionCodecs: { 2: () => reversed } })
    const bytes = await encodeBatch([record('topic', 0, 'abc')], anonymous, { compression: 2, codec: await find(2) })
    const { next } = scanBatches(bytes, 0)
    const records = await decodeRecords({ topic: 'topic', partition: 0, bytes, from: 0, next, aborted: [] }, find)
    expect(Buffer.from(records[0]!.value!).toString()).toBe('abc')
  })
})

describe('transactions in a fetch', () => {
  const data = (producer: number, offset: number, ...values: readonly string[]): Promise<Buffer> =>
    batch(
      values.map(value => record('topic', 0, value, { key: Buffer.alloc(4) })),
      offset,
      { id: producer, transactional: true }
    )
  const values = (records: readonly RawRecord[]): string[] => records.map(({ value }) => Buffer.from(value!).toString())

  it('two that were aborted and begin before one batch hide the records of both', async () => {
    const bytes = Buffer.concat([
      // Of the transaction that began second: the first has no record here before its own.
      await data(2, 10, 'one'),
      await data(1, 11, 'two'),
      await data(3, 12, 'three'),
      await marker(1, 13, false),
      await marker(2, 14, false),
      await marker(3, 15, true),
      await data(1, 16, 'four')
    ])
    const aborted = [
      { producerId: 2, firstOffset: 5 },
      { producerId: 1, firstOffset: 3 }
    ]
    expect(values(await decode(bytes, 10, aborted))).toEqual(['three', 'four'])
    expect(scanBatches(bytes, 10).next).toBe(17)
  })

  it('a key of four zero bytes is no abort marker', async () => {
    const bytes = Buffer.concat([
      await data(1, 0, 'a'),
      await data(1, 1, 'b'),
      await marker(1, 2, false),
      await data(1, 3, 'c')
    ])
    expect(values(await decode(bytes, 0, [{ producerId: 1, firstOffset: 0 }]))).toEqual(['c'])
  })

  it('records outside of transactions by the same producer are not hidden', async () => {
    const bytes = Buffer.concat([
      await data(1, 0, 'a'),
      await batch([record('topic', 0, 'b')], 1, { id: 1 }),
      await marker(1, 2, false)
    ])
    expect(values(await decode(bytes, 0, [{ producerId: 1, firstOffset: 0 }]))).toEqual(['b'])
  })
})

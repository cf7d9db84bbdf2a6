/**
 * A broker, or whoever pretends to be one, that sends what no broker sends: each of these was a way to hang or to exhaust a
 * consumer of some library. All have a right checksum: the sender has made it himself.
 */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codecFinder } from '../../src/adapters/kafka/compression.ts'
import { crc32c } from '../../src/adapters/kafka/crc32c.ts'
import { anonymous, batchOverhead, encodeBatch } from '../../src/adapters/kafka/record-batch.ts'
import { decodeRecords, scanBatches } from '../../src/adapters/kafka/records.ts'
import { sizeOfVarint, writeVarint } from '../../src/adapters/kafka/varint.ts'
import { Reader } from '../../src/adapters/kafka/wire.ts'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders, type RawRecord } from '../../src/core/record.ts'

const findCodec = codecFinder(undefined)

async function decode(bytes: Buffer): Promise<RawRecord[]> {
  const { end, next } = scanBatches(bytes, 0)
  return decodeRecords(
    { topic: 't', partition: 0, bytes: bytes.subarray(0, end), from: 0, next, aborted: [] },
    findCodec
  )
}

const sealed = (bytes: Buffer): Buffer => {
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeUInt32BE(crc32c(bytes, 21), 17)
  return bytes
}

/** A batch whose records are these bytes. */
async function batchOf(body: Buffer, count: number, compression = 0): Promise<Buffer> {
  const record = { topic: 't', partition: 0, key: null, value: Buffer.from('x'), headers: noHeaders, stamp: undefined }
  const head = await encodeBatch([{ ...record, timestamp: 0 }], anonymous, { compression: 0, codec: undefined })
  const bytes = Buffer.concat([head.subarray(0, batchOverhead), body])
  bytes.writeInt16BE(compression, 21)
  bytes.writeInt32BE(count, 57)
  return sealed(bytes)
}

function varints(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.reduce((sum, value) => sum + sizeOfVarint(value), 0))
  let at = 0
  for (const value of values) at = writeVarint(bytes, at, value)
  return bytes
}

/** One record whose fields are these numbers, with a right length before them. */
function record(...fields: readonly number[]): Buffer {
  const body = Buffer.concat([Buffer.from([0]), varints(...fields)])
  return Buffer.concat([varints(body.length), body])
}

async function refused(bytes: Buffer): Promise<void> {
  const started = performance.now()
  await expect(decode(bytes)).rejects.toMatchObject({ code: 'corrupt' })
  expect(performance.now() - started).toBeLessThan(1_000)
}

describe('a hostile broker', () => {
  it.each([
    ['more records than bytes', 2 ** 31 - 1],
    ['two records where there is one', 2]
  ])('that counts %s is refused', async (_, count) => refused(await batchOf(record(0, 0, -1, -1, 0), count)))

  it.each<[string, readonly number[]]>([
    ['headers without end', [0, 0, -1, -1, 2 ** 50]],
    ['headers without end that go back', [0, 0, -1, -1, 2 ** 50, -3, -1, -3, -1]],
    ['headers without end, of no length', [0, 0, -1, -1, 2 ** 50, 0, 0, 0, 0]],
    ['a header name longer than the batch', [0, 0, -1, -1, 1, 2 ** 31, 0]],
    ['a header value longer than the batch', [0, 0, -1, -1, 1, 0, 2 ** 31]],
    ['a header name of a negative length', [0, 0, -1, -1, 1, -5, 0]],
    ['a key longer than the batch', [0, 0, 2 ** 40, -1, 0]],
    ['a value longer than the batch', [0, 0, -1, 2 ** 40, 0]]
  ])('that sends %s is refused, and quickly', async (_, fields) => refused(await batchOf(record(...fields), 1)))

  it('that sends a record of a negative length, or one that goes back, is refused', async () => {
    await refused(await batchOf(varints(-1), 1))
    await refused(await batchOf(varints(2 ** 40), 1))
  })

  it(
    'that sends a few kilobytes which unpack to gigabytes is refused before they do',
    { timeout: 30_000 },
    async () => {
      const bomb = gzipSync(Buffer.alloc(300 * 1024 * 1024), { level: 9 })
      expect(bomb.length).toBeLessThan(400_000)
      // By the limit, and not by what is inside.
      await expect(decode(await batchOf(bomb, 1, 1))).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringMatching(/does not unpack: .*larger than \d+ bytes/)
      })
    }
  )

  it('that sends what is no gzip is refused', async () => {
    await refused(await batchOf(Buffer.from('no gzip at all'), 1, 1))
  })

  it('that changes any bytes of a batch, and seals it again, meets an error of ours or is read', async () => {
    const good = await batchOf(Buffer.concat([record(0, 0, -1, -1, 0), record(0, 1, -1, -1, 0)]), 2)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 21, max: good.length - 1 }), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        async changes => {
          const bytes = Buffer.from(good)
          for (const [at, value] of changes) bytes[at] = value
          const started = performance.now()
          try {
            await decode(sealed(bytes))
          } catch (error) {
            expect(StreamError.is(error), String(error)).toBe(true)
          }
          expect(performance.now() - started).toBeLessThan(500)
        }
      ),
      { numRuns: 2_000 }
    )
  })

  it('whose answer says that an array has billions of entries is refused at the end of the bytes', () => {
    const bytes = Buffer.alloc(64)
    bytes.writeInt32BE(2 ** 31 - 1, 0)
    const reader = new Reader(bytes)
    expect(() => reader.array(() => reader.int32())).toThrow('ends 4 bytes early')
  })
})

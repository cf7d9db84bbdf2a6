import { type Headers, noHeaders, type OutgoingRecord } from '../../core/record.ts'
import { stampHeader } from '../../core/stamp.ts'
import type { Codec } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { sizeOfVarint, writeVarint } from './varint.ts'
import { writeInt64 } from './wire.ts'

/**
 * Writes record batches of format 2 (Kafka 0.11 and later), in one pass for sizes and one for bytes: the payload is copied
 * once, nothing else is allocated per record.
 * Source: kafka.apache.org/documentation/#recordbatch.
 */

/** Bytes of a batch before its records. */
export const batchOverhead = 61

/** Attribute bits of a batch. */
export const attribute = { codec: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 } as const

/** Who writes the batch: -1 everywhere for a producer without identity. */
export interface BatchProducer {
  readonly id: number
  readonly epoch: number
  readonly firstSequence: number
  readonly transactional: boolean
}

export const anonymous: BatchProducer = { id: -1, epoch: -1, firstSequence: -1, transactional: false }

export interface BatchCodec {
  readonly compression: number
  readonly codec: Codec | undefined
}

/** Bytes that a record adds to an uncompressed batch, within 14 bytes above. */
export function recordCost(record: OutgoingRecord): number {
  return 35 + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0) + headersSize(record)
}

/** One batch of these records, which belong to one partition. At least one. */
export async function encodeBatch(
  records: readonly OutgoingRecord[],
  producer: BatchProducer,
  { compression, codec }: BatchCodec
): Promise<Buffer> {
  // Times are whole milliseconds on the wire.
  const base = Math.trunc(records[0]!.timestamp)
  let size = 0
  let newest = base
  const sizes = new Int32Array(records.length)
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    const timestamp = Math.trunc(record.timestamp)
    if (timestamp > newest) newest = timestamp
    const body = bodySize(record, timestamp - base, index)
    sizes[index] = body
    size += sizeOfVarint(body) + body
  }
  let batch: Buffer
  if (codec) {
    const plain = Buffer.allocUnsafe(size)
    writeRecords(plain, 0, records, sizes, base)
    const packed = await codec.compress(plain)
    batch = Buffer.allocUnsafe(batchOverhead + packed.byteLength)
    batch.set(packed, batchOverhead)
  } else {
    batch = Buffer.allocUnsafe(batchOverhead + size)
    writeRecords(batch, batchOverhead, records, sizes, base)
  }
  writeInt64(batch, 0, 0) // base offset: the broker's to give
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12) // leader epoch
  batch.writeInt8(2, 16) // format
  batch.writeInt16BE(compression | (producer.transactional ? attribute.transactional : 0), 21)
  batch.writeInt32BE(records.length - 1, 23)
  writeInt64(batch, base, 27)
  writeInt64(batch, newest, 35)
  writeInt64(batch, producer.id, 43)
  batch.writeInt16BE(producer.epoch, 51)
  batch.writeInt32BE(producer.firstSequence, 53)
  batch.writeInt32BE(records.length, 57)
  batch.writeUInt32BE(crc32c(batch, 21), 17)
  return batch
}

function writeRecords(
  bytes: Buffer,
  at: number,
  records: readonly OutgoingRecord[],
  sizes: Int32Array,
  base: number
): void {
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    at = writeVarint(bytes, at, sizes[index]!)
    bytes[at++] = 0 // attributes: none are defined
    at = writeVarint(bytes, at, Math.trunc(record.timestamp) - base)
    at = writeVarint(bytes, at, index)
    at = writeBlock(bytes, at, record.key)
    at = writeBlock(bytes, at, record.value)
    at = writeHeaders(bytes, at, record)
  }
}

function bodySize(record: OutgoingRecord, timestampDelta: number, offsetDelta: number): number {
  return (
    1 +
    sizeOfVarint(timestampDelta) +
    sizeOfVarint(offsetDelta) +
    blockSize(record.key) +
    blockSize(record.value) +
    headersSize(record)
  )
}

function blockSize(value: Uint8Array | null): number {
  return value === null ? 1 : sizeOfVarint(value.byteLength) + value.byteLength
}

function writeBlock(bytes: Buffer, at: number, value: Uint8Array | null): number {
  if (value === null) return writeVarint(bytes, at, -1)
  at = writeVarint(bytes, at, value.byteLength)
  bytes.set(value, at)
  return at + value.byteLength
}

const stampName = Buffer.from(stampHeader)

function headersSize({
  headers,
  stamp
}: {
  readonly headers: Headers
  readonly stamp: Uint8Array | undefined
}): number {
  let count = 0
  let size = 0
  if (headers !== noHeaders)
    for (const name in headers) {
      const length = Buffer.byteLength(name)
      size += sizeOfVarint(length) + length + blockSize(headers[name]!)
      count++
    }
  if (stamp) {
    size += 1 + stampName.length + blockSize(stamp)
    count++
  }
  return sizeOfVarint(count) + size
}

const noNames: readonly string[] = []

function writeHeaders(bytes: Buffer, at: number, { headers, stamp }: OutgoingRecord): number {
  const names = headers === noHeaders ? noNames : Object.keys(headers)
  at = writeVarint(bytes, at, names.length + (stamp ? 1 : 0))
  for (const name of names) {
    const length = Buffer.byteLength(name)
    at = writeVarint(bytes, at, length)
    bytes.write(name, at, length, 'utf8')
    at = writeBlock(bytes, at + length, headers[name]!)
  }
  if (stamp) {
    at = writeVarint(bytes, at, stampName.length)
    bytes.set(stampName, at)
    at = writeBlock(bytes, at + stampName.length, stamp)
  }
  return at
}

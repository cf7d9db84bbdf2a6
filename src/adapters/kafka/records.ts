import { messageOf, StreamError } from '../../core/errors.ts'
import { noHeaders, type Position, type RawRecord, sizeOf } from '../../core/record.ts'
import type { Codec, FindCodec } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { attribute, batchOverhead } from './record-batch.ts'
import { type Cursor, readVarint } from './varint.ts'
import { readInt64 } from './wire.ts'

/**
 * Reads the bytes of a fetch: a row of record batches, the last one perhaps cut off. Control records and records of aborted
 * transactions are left out here, and offsets are counted by batch, so that batches which compaction has emptied are
 * passed too.
 */

/**
 * Kafka counts the next offset to read, a position names the record last processed: its own offset, -1 before the first.
 */
export function offsetAfter(position: Position): number {
  if (!/^(-1|\d{1,16})$/.test(position))
    throw new StreamError('corrupt', `'${position}' is no position of Kafka, which is a whole number`, {
      adapter: 'kafka'
    })
  return Number(position) + 1
}

/** Positions are offsets: compared as numbers. */
export function comparePositions(left: Position, right: Position): number {
  return Number(left) - Number(right)
}

/** From `firstOffset` on, the records of this producer belong to a transaction that was aborted. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface RecordSet {
  readonly topic: string
  readonly partition: number
  /** Whole batches only. */
  readonly bytes: Buffer
  /** Records before it are in the first batch, but were not asked for. */
  readonly from: number
  /** The offset to ask for next. */
  readonly next: number
  readonly aborted: readonly AbortedTransaction[]
}

/** Where the whole batches end, and the offset after the last of them (`from` when there is none). */
export function scanBatches(bytes: Buffer, from: number): { readonly end: number; readonly next: number } {
  let at = 0
  let next = from
  while (at + batchOverhead <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (bytes[at + 16] !== 2)
      throw new StreamError('unsupported', `message format ${bytes[at + 16]} (Kafka before 0.11) is not read`, {
        adapter: 'kafka'
      })
    if (end > bytes.length) break
    next = Math.max(next, readInt64(bytes, at) + bytes.readInt32BE(at + 23) + 1)
    at = end
  }
  return { end: at, next }
}

/** The records of the set, in order. Rejects with `corrupt` (bytes) or `unsupported` (compression). */
export async function decodeRecords(set: RecordSet, findCodec: FindCodec): Promise<RawRecord[]> {
  const { bytes } = set
  const records: RawRecord[] = []
  const aborted = set.aborted.toSorted((left, right) => left.firstOffset - right.firstOffset)
  const aborting = new Set<number>()
  let met = 0
  for (let at = 0, end: number; at < bytes.length; at = end) {
    end = at + 12 + bytes.readInt32BE(at + 8)
    const base = readInt64(bytes, at)
    const attributes = bytes.readInt16BE(at + 21)
    const producerId = readInt64(bytes, at + 43)
    const count = bytes.readInt32BE(at + 57)
    if (crc32c(bytes, at + 21, end) !== bytes.readUInt32BE(at + 17)) throw corrupt(set, base, 'its checksum is wrong')
    // All that begin before the end of the batch: several may begin between two batches that are left.
    const last = base + bytes.readInt32BE(at + 23)
    for (; met < aborted.length && aborted[met]!.firstOffset <= last; met++) aborting.add(aborted[met]!.producerId)
    if (attributes & attribute.control) {
      if (isAbortMarker(bytes, at + batchOverhead)) aborting.delete(producerId)
      continue
    }
    if (count === 0 || (attributes & attribute.transactional && aborting.has(producerId))) continue
    const context: BatchContext = {
      base,
      count,
      from: set.from,
      timestamp: readInt64(bytes, at + 27),
      appended: attributes & attribute.logAppendTime ? readInt64(bytes, at + 35) : undefined
    }
    let whole = true
    if (attributes & attribute.codec) {
      const codec = await findCodec(attributes & attribute.codec)
      const plain = await unpacked(set, base, codec!, bytes.subarray(at + batchOverhead, end))
      whole = readBatch(plain, 0, plain.length, context, records)
    } else whole = readBatch(bytes, at + batchOverhead, end, context, records)
    if (!whole) throw corrupt(set, base, 'a record ends outside of it')
  }
  return records
}

async function unpacked(set: RecordSet, base: number, codec: Codec, packed: Buffer): Promise<Buffer> {
  try {
    return await codec.decompress(packed)
  } catch (error) {
    throw corrupt(set, base, `it does not unpack: ${messageOf(error)}`)
  }
}

/** How many of the first records are within so many bytes; at least one of any. */
export function countWithin(records: readonly RawRecord[], bytes: number): number {
  let count = 0
  for (let left = bytes; count < records.length; count++) {
    left -= sizeOf(records[count]!)
    if (left < 0 && count > 0) break
  }
  return count
}

interface BatchContext {
  readonly base: number
  readonly count: number
  readonly from: number
  readonly timestamp: number
  /** The broker's time, when the topic is set so. */
  readonly appended: number | undefined
}

const cursor: Cursor = { at: 0 }

/** False when the records do not fit into the bytes. */
function readBatch(bytes: Buffer, at: number, end: number, context: BatchContext, records: RawRecord[]): boolean {
  const { base, from, timestamp, appended } = context
  for (let index = 0; index < context.count; index++) {
    cursor.at = at
    const size = readVarint(bytes, cursor)
    at = cursor.at + size
    if (!(size >= 0 && at <= end)) return false
    cursor.at++
    const time = appended ?? timestamp + readVarint(bytes, cursor)
    if (appended !== undefined) readVarint(bytes, cursor)
    const offset = base + readVarint(bytes, cursor)
    // A batch is fetched whole, also when only its end was asked for.
    if (offset < from) continue
    const key = readBlock(bytes)
    const value = readBlock(bytes)
    readHeaders(bytes)
    if (!(cursor.at <= at)) return false
    records.push({ position: String(offset), key, value, headers: found.headers, stamp: found.stamp, timestamp: time })
  }
  return true
}

function readBlock(bytes: Buffer): Buffer | null {
  const length = readVarint(bytes, cursor)
  if (length < 0) return null
  const at = cursor.at
  cursor.at = at + length
  return bytes.subarray(at, at + length)
}

const found: { headers: RawRecord['headers']; stamp: Uint8Array | undefined } = { headers: noHeaders, stamp: undefined }
const none = new Uint8Array(0)

/** Of a name that comes more than once the last counts, as in Kafka's own `lastHeader`. */
function readHeaders(bytes: Buffer): void {
  found.headers = noHeaders
  found.stamp = undefined
  let headers: Record<string, Uint8Array> | undefined
  for (let left = readVarint(bytes, cursor); left > 0; left--) {
    const length = readVarint(bytes, cursor)
    const at = cursor.at
    // A negative one would go back, and round and round: the record then ends outside of its batch.
    cursor.at = length >= 0 ? at + length : Infinity
    if (!(cursor.at <= bytes.length)) return
    const value = readBlock(bytes) ?? none
    if (length === 2 && bytes[at] === 0x7e && bytes[at + 1] === 0x73) found.stamp = value
    else {
      const name = bytes.toString('utf8', at, at + length)
      // `__proto__` must become a header, not the prototype.
      if (name === '__proto__')
        Object.defineProperty((headers ??= {}), name, { value, enumerable: true, configurable: true, writable: true })
      else (headers ??= {})[name] = value
    }
  }
  if (headers) found.headers = headers
}

/** A control record has key = version, type (16 bits each); type 0 is the abort marker. */
function isAbortMarker(bytes: Buffer, at: number): boolean {
  cursor.at = at
  readVarint(bytes, cursor)
  cursor.at++
  readVarint(bytes, cursor)
  readVarint(bytes, cursor)
  const key = readBlock(bytes)
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0
}

function corrupt(set: RecordSet, base: number, what: string): StreamError {
  return new StreamError(
    'corrupt',
    `the record batch at offset ${base} of ${set.topic}/${set.partition} does not parse: ${what}`,
    { adapter: 'kafka' }
  )
}

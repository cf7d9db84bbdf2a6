import { crc32 } from 'node:zlib'
import { noHeaders, sizeOf, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { fileError } from './errors.ts'

const version = 1
/** Version u8, CRC-32 u32 of all that follows. */
const prefix = 5
/** Offset - base u32, timestamp f64, lengths of key, value and stamp i32 (-1: null), number of headers u16. */
const head = 26

/** Largest record: SQLite would take more, but a batch should be quick to write. */
export const maxRecord: number = 64 * 1024 * 1024

/** A record as it is stored; its place is that of the batch. */
export type Storable = Pick<OutgoingRecord, 'key' | 'value' | 'headers' | 'stamp' | 'timestamp'>

/** Bytes that a record takes in a batch. Throws `too-large`, `bad-record`. */
export function storedSize({ key, value, headers, stamp, timestamp }: Storable): number {
  let size = head + (key?.byteLength ?? 0) + (value?.byteLength ?? 0) + (stamp?.byteLength ?? 0)
  if (headers !== noHeaders) {
    const names = Object.keys(headers)
    for (const name of names) {
      const length = Buffer.byteLength(name)
      if (length > 0xffff) throw fileError('too-large', `the name of a header has ${length} bytes, at most 65,535 fit`)
      size += 6 + length + headers[name]!.byteLength
    }
    if (names.length > 0xffff) throw fileError('too-large', `a record has ${names.length} headers, at most 65,535 fit`)
  }
  if (size > maxRecord + head)
    throw fileError('too-large', `a record of ${size - head} bytes is over the limit of ${maxRecord}: split it`)
  if (!Number.isFinite(timestamp)) throw fileError('bad-record', `a record has the timestamp ${timestamp}`)
  return size
}

/**
 * Records of one partition as a blob, little endian: version, checksum, then per record its head, key, value, stamp, and
 * each header as u16 length + UTF-8 name, u32 length + bytes. `size` is the sum of their `storedSize`.
 */
export function encodeBatch(records: readonly Storable[], size: number, deltaOf: (index: number) => number): Buffer {
  const buffer = Buffer.allocUnsafe(prefix + size)
  let at = prefix
  for (let index = 0; index < records.length; index++) {
    const { key, value, headers, stamp, timestamp } = records[index]!
    const names = headers === noHeaders ? none : Object.keys(headers)
    buffer.writeUInt32LE(deltaOf(index), at)
    buffer.writeDoubleLE(timestamp, at + 4)
    buffer.writeInt32LE(key?.byteLength ?? -1, at + 12)
    buffer.writeInt32LE(value?.byteLength ?? -1, at + 16)
    buffer.writeInt32LE(stamp?.byteLength ?? -1, at + 20)
    buffer.writeUInt16LE(names.length, at + 24)
    at += head
    if (key) at = put(buffer, key, at)
    if (value) at = put(buffer, value, at)
    if (stamp) at = put(buffer, stamp, at)
    for (const name of names) {
      const length = buffer.write(name, at + 2)
      buffer.writeUInt16LE(length, at)
      const bytes = headers[name]!
      buffer.writeUInt32LE(bytes.byteLength, at + 2 + length)
      at = put(buffer, bytes, at + 6 + length)
    }
  }
  buffer[0] = version
  buffer.writeUInt32LE(crc32(buffer.subarray(prefix)), 1)
  return buffer
}

const none: readonly string[] = []

function put(buffer: Buffer, bytes: Uint8Array, at: number): number {
  buffer.set(bytes, at)
  return at + bytes.byteLength
}

/** A batch that is being read: goes on where the last `read` stopped. */
export class StoredBatch {
  /** Offset of the last record. */
  readonly last: number
  readonly #base: number
  readonly #buffer: Buffer
  #at: number = prefix

  /** Throws `corrupt`: whatever comes from the disk is checked. */
  constructor(data: Uint8Array, base: number, last: number) {
    this.#buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    this.#base = base
    this.last = last
    if (data.length < prefix || data[0] !== version) throw this.#corrupt(`has version ${data[0]}`)
    if (this.#buffer.readUInt32LE(1) !== crc32(this.#buffer.subarray(prefix)))
      throw this.#corrupt('has a wrong checksum')
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length
  }

  /**
   * Appends records from offset `from` on, as views of the batch: up to `maxBytes` (`sizeOf`), the first in any case when
   * `into` is empty. Returns their bytes.
   */
  read(from: number, maxBytes: number, into: RawRecord[]): number {
    const buffer = this.#buffer
    const length = buffer.length
    let bytes = 0
    while (this.#at < length) {
      const start = this.#at
      const offset = this.#base + buffer.readUInt32LE(start)
      const keyStart = start + head
      const keyLength = buffer.readInt32LE(start + 12)
      const valueStart = keyLength > 0 ? keyStart + keyLength : keyStart
      const valueLength = buffer.readInt32LE(start + 16)
      const stampStart = valueLength > 0 ? valueStart + valueLength : valueStart
      const stampLength = buffer.readInt32LE(start + 20)
      const stampEnd = stampLength > 0 ? stampStart + stampLength : stampStart
      const count = buffer.readUInt16LE(start + 24)
      if (stampEnd > length) throw this.#corrupt('ends inside a record')
      this.#at = stampEnd
      const headers = count === 0 ? noHeaders : this.#headers(count)
      if (offset < from) continue
      const record: RawRecord = {
        position: String(offset),
        key: keyLength < 0 ? null : buffer.subarray(keyStart, valueStart),
        value: valueLength < 0 ? null : buffer.subarray(valueStart, stampStart),
        headers,
        stamp: stampLength < 0 ? undefined : buffer.subarray(stampStart, stampEnd),
        timestamp: buffer.readDoubleLE(start + 4)
      }
      const size = sizeOf(record)
      if (bytes + size > maxBytes && into.length > 0) {
        this.#at = start
        return bytes
      }
      bytes += size
      into.push(record)
    }
    return bytes
  }

  #headers(count: number): Record<string, Uint8Array> {
    const buffer = this.#buffer
    const headers: Record<string, Uint8Array> = {}
    for (let index = 0; index < count; index++) {
      const length = buffer.readUInt16LE(this.#at)
      const name = buffer.toString('utf8', this.#at + 2, this.#at + 2 + length)
      const start = this.#at + 6 + length
      this.#at = start + buffer.readUInt32LE(start - 4)
      if (this.#at > buffer.length) throw this.#corrupt('ends inside a header')
      const value = buffer.subarray(start, this.#at)
      // Plain assignment to this one name would change the prototype.
      if (name === '__proto__') Object.defineProperty(headers, name, { value, enumerable: true })
      else headers[name] = value
    }
    return headers
  }

  #corrupt(what: string): Error {
    return fileError('corrupt', `the batch at offset ${this.#base} ${what}: restore the folder from a copy`)
  }
}

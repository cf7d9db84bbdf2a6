import { noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { fileError } from './errors.ts'

const version = 1

/** A record with its offset, as compaction keeps it. */
export type PlacedRecord = Omit<OutgoingRecord, 'topic' | 'partition'> & { readonly offset: number }

/**
 * One batch of one partition as a blob. Little endian: version u8, then per record: offset - base u32, timestamp f64,
 * key, value and stamp as i32 length (-1 = null) + bytes, headers as u16 count of (u16 + UTF-8 name, u32 + bytes).
 */
export function encodeBatch(records: readonly Omit<OutgoingRecord, 'topic' | 'partition'>[], offsetOf: (index: number) => number): Buffer {
  let size = 1
  for (const record of records) size += sizeOf(record)
  const buffer = Buffer.allocUnsafe(size)
  let at = buffer.writeUInt8(version, 0)
  const put = (bytes: Uint8Array | null | undefined): void => {
    if (bytes === null || bytes === undefined) {
      at = buffer.writeInt32LE(-1, at)
      return
    }
    at = buffer.writeInt32LE(bytes.byteLength, at)
    buffer.set(bytes, at)
    at += bytes.byteLength
  }
  for (const [index, record] of records.entries()) {
    at = buffer.writeUInt32LE(offsetOf(index), at)
    at = buffer.writeDoubleLE(record.timestamp, at)
    put(record.key)
    put(record.value)
    put(record.stamp)
    const names = record.headers === noHeaders ? [] : Object.keys(record.headers)
    at = buffer.writeUInt16LE(names.length, at)
    for (const name of names) {
      const length = buffer.write(name, at + 2, 'utf8')
      buffer.writeUInt16LE(length, at)
      at += 2 + length
      put(record.headers[name])
    }
  }
  return buffer.subarray(0, at)
}

function sizeOf(record: Omit<OutgoingRecord, 'topic' | 'partition'>): number {
  let size = 26 + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0) + (record.stamp?.byteLength ?? 0)
  if (record.headers !== noHeaders)
    for (const name in record.headers) size += 6 + name.length * 3 + record.headers[name]!.byteLength
  return size
}

/** Calls `take` with each record from offset `from` on, until it answers false. Payloads are views. Throws `corrupt`. */
export function decodeBatch(data: Uint8Array, base: number, from: number, take: (record: RawRecord, offset: number) => boolean | void): void {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  let at = 1
  const bytes = (): Buffer | null => {
    const length = buffer.readInt32LE(at)
    at += 4
    if (length < 0) return null
    const start = at
    at += length
    if (at > buffer.length) throw new RangeError('ends inside a record')
    return buffer.subarray(start, at)
  }
  try {
    if (buffer[0] !== version) throw new RangeError(`version ${String(buffer[0])}`)
    while (at < buffer.length) {
      const offset = base + buffer.readUInt32LE(at)
      const timestamp = buffer.readDoubleLE(at + 4)
      at += 12
      const key = bytes()
      const value = bytes()
      const stamp = bytes() ?? undefined
      const count = buffer.readUInt16LE(at)
      at += 2
      let headers = noHeaders as Record<string, Uint8Array>
      if (count > 0) headers = {}
      for (let index = 0; index < count; index++) {
        const length = buffer.readUInt16LE(at)
        const name = buffer.toString('utf8', at + 2, at + 2 + length)
        at += 2 + length
        headers[name] = bytes() ?? new Uint8Array(0)
      }
      if (offset < from) continue
      if (take({ position: String(offset), key, value, headers, stamp, timestamp }, offset) === false) return
    }
  } catch (error) {
    throw fileError('corrupt', `the batch at offset ${base} does not parse: restore the log from a copy`, false, error)
  }
}

import { createHash } from 'node:crypto'

/**
 * The aggregated record of the Kinesis Producer Library: four magic bytes, one protobuf message, its MD5. The message is
 *
 *     message AggregatedRecord {
 *       repeated string partition_key_table     = 1;
 *       repeated string explicit_hash_key_table = 2;
 *       repeated Record records                 = 3;
 *     }
 *     message Record {
 *       required uint64 partition_key_index     = 1;
 *       optional uint64 explicit_hash_key_index = 2;
 *       required bytes  data                    = 3;
 *       repeated Tag    tags                    = 4;
 *     }
 *     message Tag { required string key = 1; optional string value = 2; }
 *
 * written and read here by hand: it is frozen, small, and on the path of every record, where a general library would make
 * objects that nobody needs, and be one more package to install.
 * Source: github.com/awslabs/amazon-kinesis-producer, aggregation-format.md.
 */
export const magic: Buffer = Buffer.from([0xf3, 0x89, 0x9a, 0xc2])
export const digestLength: number = 16
/** What an aggregate has besides its tables and records, bytes. */
export const frame: number = magic.length + digestLength

export type Tag = readonly [name: string, value: string]

/** Puts records of one hash key together. */
export class AggregateWriter {
  /** Records so far. */
  count = 0
  readonly #hashKey: string
  readonly #keys = new Map<string, number>()
  #keyBytes = 0
  #buffer: Buffer
  #end = 0

  /** @param expected bytes, to begin with */
  constructor(hashKey: string, expected: number) {
    this.#hashKey = hashKey
    this.#buffer = Buffer.allocUnsafe(Math.max(256, expected))
  }

  /** Bytes of the aggregate as it is. */
  get size(): number {
    return frame + this.#tableBytes + this.#end
  }

  get #tableBytes(): number {
    return this.#keyBytes + fieldLength(this.#hashKey.length)
  }

  /** Adds one, unless the aggregate would then be larger than `limit`: false, and nothing has changed. */
  add(key: string, data: Uint8Array, tags: readonly Tag[], limit: number): boolean {
    const known = this.#keys.get(key)
    const index = known ?? this.#keys.size
    const keyBytes = known === undefined ? fieldLength(Buffer.byteLength(key)) : 0
    let length = 1 + varintLength(index) + 2 + fieldLength(data.length)
    for (const tag of tags) length += fieldLength(tagLength(tag))
    if (this.size + keyBytes + fieldLength(length) > limit) return false
    if (known === undefined) this.#keys.set(key, index)
    this.#keyBytes += keyBytes
    this.#ensure(fieldLength(length))
    this.#record(index, data, tags, length)
    this.count++
    return true
  }

  /** The whole of it. The writer is of no more use then. */
  finish(): Buffer {
    const whole = Buffer.allocUnsafe(this.size)
    magic.copy(whole)
    let at = magic.length
    for (const key of this.#keys.keys()) at = writeText(whole, at, 0x0a, key)
    at = writeText(whole, at, 0x12, this.#hashKey)
    this.#buffer.copy(whole, at, 0, this.#end)
    const end = whole.length - digestLength
    createHash('md5').update(whole.subarray(magic.length, end)).digest().copy(whole, end)
    return whole
  }

  #record(index: number, data: Uint8Array, tags: readonly Tag[], length: number): void {
    const bytes = this.#buffer
    let at = this.#end
    bytes[at++] = 0x1a
    at = writeVarint(bytes, at, length)
    bytes[at++] = 0x08
    at = writeVarint(bytes, at, index)
    bytes[at++] = 0x10
    bytes[at++] = 0
    bytes[at++] = 0x1a
    at = writeVarint(bytes, at, data.length)
    bytes.set(data, at)
    at += data.length
    for (const tag of tags) {
      bytes[at++] = 0x22
      at = writeVarint(bytes, at, tagLength(tag))
      at = writeText(bytes, at, 0x0a, tag[0])
      if (tag[1] !== '') at = writeText(bytes, at, 0x12, tag[1])
    }
    this.#end = at
  }

  #ensure(more: number): void {
    const needed = this.#end + more
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#end)
    this.#buffer = larger
  }
}

function writeText(bytes: Buffer, at: number, field: number, value: string): number {
  bytes[at++] = field
  const length = Buffer.byteLength(value)
  at = writeVarint(bytes, at, length)
  bytes.write(value, at, length, 'utf8')
  return at + length
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  bytes[at++] = value
  return at
}

function varintLength(value: number): number {
  let length = 1
  for (; value >= 0x80; value = Math.floor(value / 0x80)) length++
  return length
}

/** Of a field with so many bytes in it. */
function fieldLength(bytes: number): number {
  return 1 + varintLength(bytes) + bytes
}

function tagLength([name, value]: Tag): number {
  const named = fieldLength(Buffer.byteLength(name))
  return value === '' ? named : named + fieldLength(Buffer.byteLength(value))
}

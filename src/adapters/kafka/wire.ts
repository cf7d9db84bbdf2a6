import { StreamError } from '../../core/errors.ts'

/** Writes the primitive types of Kafka's protocol (big endian) into one growing buffer. */
export class Writer {
  #bytes: Buffer
  #at = 0

  constructor(size = 256) {
    this.#bytes = Buffer.allocUnsafe(size)
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  int8(value: number): this {
    const at = this.#take(1)
    this.#bytes.writeInt8(value, at)
    return this
  }

  uint8(value: number): this {
    const at = this.#take(1)
    this.#bytes[at] = value
    return this
  }

  int16(value: number): this {
    const at = this.#take(2)
    this.#bytes.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#take(4)
    this.#bytes.writeInt32BE(value, at)
    return this
  }

  int64(value: number): this {
    const at = this.#take(8)
    writeInt64(this.#bytes, value, at)
    return this
  }

  /** Length in 16 bits, -1 for `null`. */
  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length)
    const at = this.#take(length)
    this.#bytes.write(value, at, length, 'utf8')
    return this
  }

  /** Length in 32 bits, then the bytes. */
  block(value: Uint8Array): this {
    return this.int32(value.byteLength).raw(value)
  }

  raw(value: Uint8Array): this {
    const at = this.#take(value.byteLength)
    this.#bytes.set(value, at)
    return this
  }

  array<Item>(items: readonly Item[], write: (item: Item) => void): this {
    this.int32(items.length)
    for (const item of items) write(item)
    return this
  }

  #take(length: number): number {
    const at = this.#at
    this.#at = at + length
    if (this.#at > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    return at
  }
}

/** Reads the primitive types of Kafka's protocol. Throws `corrupt` when the bytes end too early. */
export class Reader {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  int8(): number {
    return this.bytes.readInt8(this.skip(1))
  }

  int16(): number {
    return this.bytes.readInt16BE(this.skip(2))
  }

  int32(): number {
    return this.bytes.readInt32BE(this.skip(4))
  }

  /** Offsets, producer ids and times fit in 53 bits for the next thousands of years. */
  int64(): number {
    return readInt64(this.bytes, this.skip(8))
  }

  /** Of newer versions of the protocol. */
  uvarint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.skip(1)]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    const at = this.skip(length)
    return this.bytes.toString('utf8', at, at + length)
  }

  /** No copy: a view of the bytes being read. */
  block(): Buffer {
    const length = this.int32()
    if (length < 0) return empty
    const at = this.skip(length)
    return this.bytes.subarray(at, at + length)
  }

  array<Item>(read: () => Item): Item[] {
    const length = this.int32()
    const items: Item[] = []
    for (let index = 0; index < length; index++) items.push(read())
    return items
  }

  /** Returns where it was. */
  skip(length: number): number {
    const at = this.at
    if (at + length > this.bytes.length)
      throw new StreamError('corrupt', `the broker's answer ends ${at + length - this.bytes.length} bytes early`, {
        adapter: 'kafka'
      })
    this.at = at + length
    return at
  }
}

const empty = Buffer.alloc(0)

export function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeInt32BE(Math.floor(value / 0x1_0000_0000), at)
  bytes.writeUInt32BE(value >>> 0, at + 4)
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
}

import { StreamError } from '../../core/errors.ts'

// Object container files. Source: Apache Avro 1.12 specification, "Object Container Files".

export const magic: Buffer = Buffer.from('Obj\u0001', 'latin1')
export const syncSize = 16

/** No block of more bytes is read, compressed or not: blocks are kept in memory. */
export const blockLimit: number = 64 * 1024 * 1024

/** A long as Avro writes it, for what is not negative and below 2^31. */
export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value * 2
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

export function sized(bytes: Buffer): readonly Buffer[] {
  return [varint(bytes.length), bytes]
}

/** Takes the parts of a file out of chunks of any size. */
export class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
  }

  /** There is nothing more. */
  async atEnd(): Promise<boolean> {
    return this.#at === this.#bytes.length && !(await this.#more())
  }

  /** So many bytes, valid until the next call. Throws `corrupt`. */
  async take(size: number): Promise<Buffer> {
    if (size > blockLimit)
      throw new StreamError('corrupt', `Avro file: a part of ${size} bytes, more than the ${blockLimit} that are read`)
    while (this.#bytes.length - this.#at < size)
      if (!(await this.#more())) throw new StreamError('corrupt', 'Avro file: it ends in the middle of a part')
    const taken = this.#bytes.subarray(this.#at, this.#at + size)
    this.#at += size
    return taken
  }

  /** A long, which no part of these files needs in full. Throws `corrupt`. */
  async long(): Promise<number> {
    let value = 0
    for (let factor = 1, count = 1; ; factor *= 128, count++) {
      const byte = (await this.take(1))[0]!
      value += (byte & 127) * factor
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      if (count === 7) throw new StreamError('corrupt', 'Avro file: a number that is out of all proportion')
    }
  }

  /** Behind its length. Throws `corrupt`. */
  async bytes(): Promise<Buffer> {
    const size = await this.long()
    if (size < 0) throw new StreamError('corrupt', 'Avro file: a negative length')
    return this.take(size)
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  async #more(): Promise<boolean> {
    const pieces = [this.#bytes.subarray(this.#at)]
    // As much again as is there, so that a large part is not copied for each small chunk.
    let size = 0
    for (const wanted = Math.max(1, pieces[0]!.length); size < wanted;) {
      const { done, value } = await this.#chunks.next()
      if (done) break
      pieces.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
      size += value.byteLength
    }
    this.#bytes = Buffer.concat(pieces)
    this.#at = 0
    return size > 0
  }
}

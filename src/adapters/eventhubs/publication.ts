import { isUtf8 } from 'node:buffer'
import { view } from '../../core/codec.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { EventBatch } from './client.ts'
import { contentTypeHeader, contentTypeOf, propertyNames, toEvent } from './records.ts'

/** One publication: records of one partition, as many as fit. */
export interface Publication {
  /** False when it does not fit any more. */
  add(record: OutgoingRecord): boolean
  /** What the client sends. */
  batch(): EventBatch
}

/**
 * Fills a batch of the client. Where the client lets the encoded batch be replaced, the events are encoded here, to the very
 * bytes that it would make of them, in a quarter of its time; otherwise by its `tryAdd`.
 */
export function openPublication(batch: EventBatch): Publication {
  const { _generateMessage: generate } = batch as { _generateMessage?: unknown }
  return typeof generate === 'function' ? new EncodedPublication(batch) : new PlainPublication(batch)
}

class PlainPublication implements Publication {
  readonly #batch: EventBatch

  constructor(batch: EventBatch) {
    this.#batch = batch
  }

  add(record: OutgoingRecord): boolean {
    return this.#batch.tryAdd(toEvent(record))
  }

  batch(): EventBatch {
    return this.#batch
  }
}

/** An empty header, no annotations, no properties: the sections in front of the content of a batch and of each event. */
const preamble = Buffer.from('00537045005372d1000000040000000000537345', 'hex')
/** Of the list of properties: the content type is the seventh. A list with its size and count, six nulls, a symbol. */
const propertiesHead = 9
const absentProperties = 6
/** Described section, map32 with size and count; described section, data. */
const mapHead = 12
const dataHead = 3
const texts = new Map<string, Buffer>()

/** Source: OASIS AMQP 1.0, part 3.2; a batch is a message whose data sections are encoded messages. */
class EncodedPublication implements Publication {
  readonly #batch: EventBatch
  readonly #most: number
  #bytes: Buffer = Buffer.allocUnsafe(16 * 1024)
  #at: number
  #count = 0

  constructor(batch: EventBatch) {
    this.#batch = batch
    this.#most = batch.maxSizeInBytes
    this.#at = preamble.copy(this.#bytes)
  }

  add(record: OutgoingRecord): boolean {
    const { value } = record
    const contentType = contentTypeOf(record.headers)
    const properties = sizeOfProperties(record, contentType)
    const sections = preamble.length + (contentType ? sizeOfContentType(contentType) - 1 : 0)
    const size = sections + properties + dataHead + sizeOfVariable(value?.byteLength ?? 0)
    if (!this.#ensure(dataHead + sizeOfVariable(size))) return false
    this.#section(0x75)
    this.#head(0xa0, size)
    this.#at += preamble.copy(this.#bytes, this.#at)
    if (contentType) this.#contentType(contentType)
    if (properties > 0) this.#properties(record, properties, contentType !== undefined)
    this.#section(0x75)
    this.#variable(0xa0, value ?? nothing)
    this.#count++
    return true
  }

  batch(): EventBatch {
    const bytes = this.#bytes.subarray(0, this.#at)
    return Object.create(this.#batch, {
      count: { value: this.#count },
      sizeInBytes: { value: bytes.length },
      _generateMessage: { value: () => bytes }
    }) as EventBatch
  }

  #ensure(more: number): boolean {
    const needed = this.#at + more
    if (needed > this.#most) return false
    if (needed <= this.#bytes.length) return true
    const larger = Buffer.allocUnsafe(Math.min(this.#most, Math.max(needed, this.#bytes.length * 4)))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
    return true
  }

  /** In place of the empty list at the end of the preamble. */
  #contentType(value: Uint8Array): void {
    const bytes = this.#bytes
    bytes[this.#at - 1] = 0xd0
    bytes.writeUInt32BE(sizeOfContentType(value) - 5, this.#at)
    bytes.writeUInt32BE(absentProperties + 1, this.#at + 4)
    this.#at += 8
    for (let index = 0; index < absentProperties; index++) bytes[this.#at++] = 0x40
    this.#variable(0xa3, value)
  }

  #properties({ key, value, headers, stamp }: OutgoingRecord, size: number, withContentType: boolean): void {
    this.#section(0x74)
    const bytes = this.#bytes
    bytes[this.#at] = 0xd1
    bytes.writeUInt32BE(size - mapHead + 4, this.#at + 1)
    const countAt = this.#at + 5
    this.#at += 9
    let count = 0
    for (const name in headers)
      if (!withContentType || name !== contentTypeHeader) count += this.#property(name, headers[name]!)
    if (key !== null) count += this.#property(propertyNames.key, key)
    if (stamp !== undefined) {
      this.#variable(0xa1, nameOf(propertyNames.stamp))
      const text = view(stamp).toString('base64url')
      this.#head(0xa1, text.length)
      this.#at += bytes.write(text, this.#at, 'latin1')
      count++
    }
    if (value === null) {
      this.#variable(0xa1, nameOf(propertyNames.tombstone))
      bytes[this.#at++] = 0x41
      count++
    }
    bytes.writeUInt32BE(count * 2, countAt)
  }

  /** Text where it is UTF-8, so that other readers see text. */
  #property(name: string, value: Uint8Array): number {
    this.#variable(0xa1, nameOf(name))
    this.#variable(isUtf8(value) ? 0xa1 : 0xa0, value)
    return 1
  }

  #section(code: number): void {
    const bytes = this.#bytes
    bytes[this.#at++] = 0x00
    bytes[this.#at++] = 0x53
    bytes[this.#at++] = code
  }

  #variable(code: number, value: Uint8Array): void {
    this.#head(code, value.byteLength)
    this.#bytes.set(value, this.#at)
    this.#at += value.byteLength
  }

  /** Type and length: the wide form has its code 16 higher. */
  #head(code: number, length: number): void {
    const bytes = this.#bytes
    if (length < 256) {
      bytes[this.#at++] = code
      bytes[this.#at++] = length
      return
    }
    bytes[this.#at] = code + 0x10
    bytes.writeUInt32BE(length, this.#at + 1)
    this.#at += 5
  }
}

const nothing = new Uint8Array(0)

/** Of the section, 0 when there is none. */
function sizeOfProperties({ key, value, headers, stamp }: OutgoingRecord, contentType: Uint8Array | undefined): number {
  let size = 0
  for (const name in headers)
    if (!contentType || name !== contentTypeHeader)
      size += sizeOfVariable(nameOf(name).length) + sizeOfVariable(headers[name]!.byteLength)
  if (key !== null) size += 4 + sizeOfVariable(key.byteLength)
  if (stamp !== undefined) size += 4 + sizeOfVariable(Math.ceil((stamp.byteLength * 4) / 3))
  if (value === null) size += 5
  return size === 0 ? 0 : mapHead + size
}

/** Of the list in the section of properties. */
function sizeOfContentType(value: Uint8Array): number {
  return propertiesHead + absentProperties + sizeOfVariable(value.byteLength)
}

function sizeOfVariable(length: number): number {
  return length < 256 ? 2 + length : 5 + length
}

/** Names come again and again; those that do not are not kept. */
function nameOf(name: string): Buffer {
  let bytes = texts.get(name)
  if (bytes) return bytes
  bytes = Buffer.from(name)
  if (texts.size < 1_000 && name.length <= 100) texts.set(name, bytes)
  return bytes
}

import { isUtf8 } from 'node:buffer'
import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import { type Headers, noHeaders, type OutgoingRecord } from '../../core/record.ts'
import { AggregateWriter, type Tag } from './aggregate.ts'
import type { AggregatedRecord } from './aggregate-reader.ts'
import { maxKinesisRecord } from './capabilities.ts'
import { isStampTag, type StampReader, StampWriter } from './stamps.ts'

/** Of our Kinesis records, as the Kinesis Producer Library has it: readers of aggregates do not look at it. */
export const outerKey = 'a'

/** Most bytes of the data of a Kinesis record. */
const maxData = maxKinesisRecord - outerKey.length

/** Most characters of a partition key. */
const maxKey = 256

/** Names of tags that say what the format cannot say by itself. A header of the user's is a tag of its own name. */
const names = {
  /** The key in base64url, when it is no text that Kinesis takes for a partition key. */
  key: '~k',
  /** A tombstone; its data is empty. */
  tombstone: '~t',
  /** Before the name of a header whose value is not UTF-8: in base64url. */
  binary: '~b:'
}

/** The partition key of a record without a key, and of one with a key that is in a tag. */
const noKey = '~'

/** One Kinesis record of ours, and which records of the batch are in it. */
export interface Packed {
  readonly data: Buffer
  readonly indexes: readonly number[]
}

export interface Packing {
  readonly packed: readonly Packed[]
  /** The first record that cannot be written: it and those behind it are not packed. */
  readonly refused: { readonly at: number; readonly error: unknown } | undefined
}

/**
 * Puts the records of one partition together, in their order. Aggregates end at `limit` bytes; a record that is larger by
 * itself travels alone.
 */
export function pack(
  batch: readonly OutgoingRecord[],
  indexes: readonly number[],
  hashKey: string,
  limit: number
): Packing {
  const packed: Packed[] = []
  let writer: AggregateWriter | undefined
  let stamps = new StampWriter()
  let taken: number[] = []
  const cut = (): void => {
    if (writer) packed.push({ data: writer.finish(), indexes: taken })
    writer = undefined
    stamps = new StampWriter()
    taken = []
  }
  for (const [at, index] of indexes.entries()) {
    const record = batch[index]!
    try {
      if (writer && !addTo(writer, stamps, record, limit)) cut()
      if (!writer) {
        writer = new AggregateWriter(hashKey, Math.min(limit, 4096))
        if (!addTo(writer, stamps, record, maxData)) throw tooLarge(record)
      }
      taken.push(index)
    } catch (error) {
      if (taken.length > 0) cut()
      return { packed, refused: { at, error } }
    }
  }
  cut()
  return { packed, refused: undefined }
}

/** Throws `bad-record` or `too-large` for what could never be written. */
export function assertPackable(record: OutgoingRecord): void {
  const longestHashKey = '9'.repeat(39)
  if (!addTo(new AggregateWriter(longestHashKey, 256), new StampWriter(), record, maxData)) throw tooLarge(record)
}

function addTo(writer: AggregateWriter, stamps: StampWriter, record: OutgoingRecord, limit: number): boolean {
  const { key, value, headers, stamp } = record
  const tags: Tag[] = []
  if (stamp !== undefined) tags.push(stamps.tag(stamp))
  let partitionKey = noKey
  if (key !== null) {
    const text = isUtf8(key) ? view(key).toString() : ''
    if (text !== '' && text !== noKey && text.length <= maxKey) partitionKey = text
    else tags.push([names.key, view(key).toString('base64url')])
  }
  if (value === null) tags.push([names.tombstone, ''])
  if (headers !== noHeaders) for (const name in headers) tags.push(headerTag(record.topic, name, headers[name]!))
  return writer.add(partitionKey, value ?? noBytes, tags, limit)
}

const noBytes = Buffer.alloc(0)

function headerTag(topic: string, name: string, value: Uint8Array): Tag {
  const reserved = isStampTag(name) || name === names.key || name === names.tombstone || name.startsWith(names.binary)
  if (reserved || name === '__proto__')
    throw new StreamError('bad-record', `the header '${name}' of a record for '${topic}' has a reserved name`, {
      adapter: 'kinesis'
    })
  const bytes = view(value)
  return isUtf8(value) ? [name, bytes.toString()] : [names.binary + name, bytes.toString('base64url')]
}

function tooLarge({ topic, key, value }: OutgoingRecord): StreamError {
  const bytes = (value?.byteLength ?? 0) + (key?.byteLength ?? 0)
  return new StreamError(
    'too-large',
    `a record for '${topic}' has ${bytes} bytes and its headers, the most for Kinesis is ${maxKinesisRecord} in all: store it elsewhere and send where`,
    { adapter: 'kinesis' }
  )
}

/** What a record of an aggregate, or a whole Kinesis record, means to tidemark. */
export interface Content {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  readonly stamp: Uint8Array | undefined
}

/** `stamps` has read the records before this one in its aggregate. */
export function contentOf({ key, data, tags }: AggregatedRecord, stamps: StampReader): Content {
  let headers: Record<string, Uint8Array> | undefined
  let stamp: Uint8Array | undefined
  let realKey: Uint8Array | null = key === noKey ? null : Buffer.from(key)
  let value: Uint8Array | null = data
  for (const tag of tags) {
    const [name, text] = tag
    if (isStampTag(name)) stamp = stamps.stamp(tag)
    else if (name === names.key) realKey = Buffer.from(text, 'base64url')
    else if (name === names.tombstone) value = null
    else if (name.startsWith(names.binary))
      (headers ??= {})[name.slice(names.binary.length)] = Buffer.from(text, 'base64url')
    else if (name !== '__proto__') (headers ??= {})[name] = Buffer.from(text)
  }
  return { key: realKey, value, headers: (headers as Headers | undefined) ?? noHeaders, stamp }
}

/** A Kinesis record of somebody who does not aggregate. */
export function plainContent(partitionKey: string, data: Uint8Array): Content {
  return { key: Buffer.from(partitionKey), value: data, headers: noHeaders, stamp: undefined }
}

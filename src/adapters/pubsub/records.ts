import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import { type Headers, noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { stampHeader } from '../../core/stamp.ts'
import { maxRequest } from './capabilities.ts'
import type { IncomingMessage, OutgoingMessage } from './client.ts'
import { partitionAttribute } from './names.ts'

/** Attribute names of ours, beside the partition's: what a message of Pub/Sub cannot say by itself. */
const names = {
  /** The stamp, base64url. */
  stamp: stampHeader,
  /** The key as UTF-8. */
  key: '~k',
  /** The key in base64url, where it is not UTF-8. */
  binaryKey: '~k64',
  /** `1`: a tombstone. Its data is empty. */
  tombstone: '~t',
  /** Event time, milliseconds since the epoch. */
  eventTime: '~e'
}

/**
 * Google's attributes with the schema of a message. Only the service may write them, for topics that have a schema. Elsewhere (a
 * topic without one, the parked copy) they stand under a name of ours.
 */
const schemaAttributes = 'googclient_schema'
const keptSchema = `~${schemaAttributes}`

/** A message that is no record: a reader has put it there to find the end. */
export const markerAttribute = '~m'

const reserved: ReadonlySet<string> = new Set([
  ...Object.values(names),
  markerAttribute,
  partitionAttribute,
  '__proto__'
])

// Limits of the service: https://cloud.google.com/pubsub/quotas#resource_limits.
const mostAttributes = 100
const mostNameBytes = 256
const mostValueBytes = 1024

/** Bytes of a message in a request, at most: tags and lengths are counted at their largest. */
export interface SizedMessage {
  readonly message: OutgoingMessage
  readonly bytes: number
}

/** Throws `too-large`, and `bad-record` for what attributes cannot hold. */
export function toMessage(record: OutgoingRecord, orderingKey: string | undefined): SizedMessage {
  const { topic, key, value, headers, stamp, timestamp, partition } = record
  const attributes: Record<string, string> = {
    [partitionAttribute]: String(partition),
    [names.eventTime]: String(timestamp)
  }
  let count = 2
  let bytes = 128
  for (const name in headers) {
    const text = headerValue(topic, name, headers[name]!)
    attributes[name.startsWith(schemaAttributes) ? `~${name}` : name] = text
    bytes += name.length * 3 + text.length * 3 + 16
    count++
  }
  if (stamp !== undefined) {
    attributes[names.stamp] = view(stamp).toString('base64url')
    bytes += 96
    count++
  }
  if (value === null) {
    attributes[names.tombstone] = '1'
    count++
  }
  if (key !== null) {
    const text = isUtf8(key)
    const encoded = view(key).toString(text ? 'utf8' : 'base64url')
    if ((text ? key.byteLength : encoded.length) > mostValueBytes)
      throw refused(
        'too-large',
        topic,
        `a key of ${key.byteLength} bytes, the most for Pub/Sub is ${text ? 1024 : '768 of bytes that are not UTF-8'}`
      )
    attributes[text ? names.key : names.binaryKey] = encoded
    bytes += encoded.length * 3 + 16
    count++
  }
  if (count > mostAttributes)
    throw refused(
      'bad-record',
      topic,
      `${count} attributes with those of tidemark, the most for Pub/Sub is ${mostAttributes}`
    )
  const data = value === null ? noBytes : view(value)
  bytes += data.byteLength + (orderingKey?.length ?? 0)
  if (bytes + topic.length > maxRequest)
    throw refused(
      'too-large',
      topic,
      `${bytes} bytes with its attributes, the most for Pub/Sub is ${maxRequest}: store it elsewhere and send where`
    )
  return { message: { data, attributes, ...(orderingKey !== undefined && { orderingKey }) }, bytes }
}

export interface ReadMessage extends RawRecord {
  /** `undefined` for a message of a foreign publisher. */
  readonly partition: number | undefined
}

export function toRecord(message: IncomingMessage): ReadMessage {
  const { attributes, data, messageId, orderingKey } = message
  let headers: Record<string, Uint8Array> | undefined
  let stamp: Uint8Array | undefined
  let key: Uint8Array | null = orderingKey ? Buffer.from(orderingKey) : null
  let partition: number | undefined
  let eventTime: number | undefined
  let tombstone = false
  let keyed = false
  for (const name in attributes) {
    const text = attributes[name]!
    if (name === names.stamp) stamp = Buffer.from(text, 'base64url')
    else if (name === names.key || name === names.binaryKey) {
      key = Buffer.from(text, name === names.key ? 'utf8' : 'base64url')
      keyed = true
    } else if (name === partitionAttribute) partition = wholeNumber(text)
    else if (name === names.eventTime) eventTime = timeOf(text)
    else if (name === names.tombstone) tombstone = text === '1'
    else if (name.startsWith(schemaAttributes)) (headers ??= {})[name] = Buffer.from(text)
    // What the service says goes before what we have kept.
    else if (name.startsWith(keptSchema)) (headers ??= {})[name.slice(1)] ??= Buffer.from(text)
    // The rest of Google's own says something of this message, and may not be written again.
    else if (!name.startsWith('goog')) (headers ??= {})[name] = Buffer.from(text)
  }
  // In an ordered topic the ordering key is our partition, not somebody's key.
  if (partition !== undefined && !keyed) key = null
  return {
    position: messageId,
    key,
    value: tombstone ? null : data,
    headers: (headers as Headers | undefined) ?? noHeaders,
    stamp,
    timestamp: eventTime ?? publishTimeOf(message),
    partition
  }
}

const noBytes = Buffer.alloc(0)

function headerValue(topic: string, name: string, value: Uint8Array): string {
  if (reserved.has(name) || name === '' || (name.startsWith('goog') && !name.startsWith(schemaAttributes)))
    throw refused('bad-record', topic, `a header with the reserved name '${name}'`)
  if (Buffer.byteLength(name) > mostNameBytes)
    throw refused('bad-record', topic, `a header name of more than ${mostNameBytes} bytes: '${name.slice(0, 60)}…'`)
  if (!isUtf8(value))
    throw refused(
      'bad-record',
      topic,
      `the header '${name}', which is not UTF-8: attributes of Pub/Sub are text. Encode it, for example in base64`
    )
  if (value.byteLength <= mostValueBytes) return view(value).toString()
  // What we say of a record ourselves, such as the error of a parked one, is cut; what the user says is not.
  if (name.startsWith('~'))
    return view(value)
      .toString('utf8', 0, mostValueBytes - 3)
      .replace(/\uFFFD+$/, '')
  throw refused(
    'bad-record',
    topic,
    `the header '${name}' with ${value.byteLength} bytes, the most for Pub/Sub is ${mostValueBytes}`
  )
}

function refused(code: 'too-large' | 'bad-record', topic: string, has: string): StreamError {
  return new StreamError(code, `a record for '${topic}' has ${has}`, { adapter: 'pubsub' })
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

function timeOf(text: string): number | undefined {
  return /^-?\d{1,16}$/.test(text) ? Number(text) : undefined
}

function publishTimeOf({ publishTime }: IncomingMessage): number {
  return publishTime === null ? 0 : Number(publishTime.seconds) * 1000 + Math.floor(publishTime.nanos / 1_000_000)
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

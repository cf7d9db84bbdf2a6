import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import { type Headers, noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { stampHeader } from '../../core/stamp.ts'
import { maxPayload } from './capabilities.ts'
import { positionOf } from './positions.ts'
import type { IncomingMessage, OutgoingMessage } from './transport.ts'

/** Property names of ours: what Pulsar's text properties and keys cannot say by themselves. */
const names = {
  /** The stamp, base64url. */
  stamp: stampHeader,
  /** `1`: a tombstone. Its payload is empty, which Pulsar's own compaction takes for a delete too. */
  tombstone: '~t',
  /** `base64`: the key was not UTF-8 and is encoded. */
  key: '~k'
}

/** Throws `too-large`, and `bad-record` for a header that is not text. */
export function toMessage(record: OutgoingRecord, sequence: number | undefined): OutgoingMessage {
  const { key, value, headers, stamp, timestamp } = record
  if (value !== null && value.byteLength > maxPayload)
    throw new StreamError(
      'too-large',
      `a record for '${record.topic}' has a value of ${value.byteLength} bytes, the most for Pulsar is ${maxPayload}: store it elsewhere and send where`,
      { adapter: 'pulsar' }
    )
  const properties: Record<string, string> = {}
  for (const name in headers) properties[name] = headerValue(record.topic, name, headers[name]!)
  if (stamp !== undefined) properties[names.stamp] = view(stamp).toString('base64url')
  if (value === null) properties[names.tombstone] = '1'
  let keyText: string | undefined
  if (key !== null) {
    const text = isUtf8(key)
    keyText = view(key).toString(text ? 'utf8' : 'base64')
    if (!text) properties[names.key] = 'base64'
  }
  return { key: keyText, payload: value ?? noBytes, properties, eventTime: timestamp, sequence }
}

export function toRecord(message: IncomingMessage): RawRecord {
  const { properties, payload } = message
  let headers: Record<string, Uint8Array> | undefined
  let stamp: Uint8Array | undefined
  let tombstone = payload === null
  let keyEncoding: BufferEncoding = 'utf8'
  for (const name in properties) {
    const value = properties[name]!
    if (name === names.stamp) stamp = Buffer.from(value, 'base64url')
    else if (name === names.tombstone) tombstone ||= value === '1'
    else if (name === names.key) keyEncoding = value === 'base64' ? 'base64' : 'utf8'
    else (headers ??= {})[name] = Buffer.from(value)
  }
  return {
    position: positionOf(message.id),
    key: message.key === undefined ? null : Buffer.from(message.key, keyEncoding),
    value: tombstone ? null : payload,
    headers: (headers as Headers | undefined) ?? noHeaders,
    stamp,
    timestamp: message.eventTime === 0 ? message.publishTime : message.eventTime
  }
}

const noBytes = Buffer.alloc(0)

function headerValue(topic: string, name: string, value: Uint8Array): string {
  if (name === '__proto__' || Object.values(names).includes(name))
    throw new StreamError('bad-record', `the header '${name}' of a record for '${topic}' has a reserved name`, { adapter: 'pulsar' })
  if (isUtf8(value)) return view(value).toString()
  throw new StreamError(
    'bad-record',
    `the header '${name}' of a record for '${topic}' is not UTF-8, and Pulsar's properties are text: encode it, for example in base64`,
    { adapter: 'pulsar' }
  )
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

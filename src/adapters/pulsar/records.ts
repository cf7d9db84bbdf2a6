import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import { type Headers, noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { stampHeader } from '../../core/stamp.ts'
import { maxPayload } from './capabilities.ts'
import { frameOf, maxFrame } from './frames.ts'
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

/** The last millisecond of JavaScript's calendar; messages carry text. */
const latest = 8.64e15

/** Throws `too-large`, and `bad-record` for a header that is not text and a time that is no date. */
export function toMessage(record: OutgoingRecord, sequence: number | undefined): OutgoingMessage {
  const { key, value, headers, stamp, timestamp } = record
  if (value !== null && value.byteLength > maxPayload)
    throw tooLarge(record.topic, `a value of ${value.byteLength} bytes, the most for Pulsar is ${maxPayload}`)
  if (!(Math.abs(timestamp) <= latest))
    throw new StreamError('bad-record', `a record for '${record.topic}' has the time ${timestamp}, which is no date`, {
      adapter: 'pulsar'
    })
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
  const message = { key: keyText, payload: value ?? noBytes, properties, eventTime: timestamp, sequence }
  if (!surelyFits(record) && Buffer.byteLength(frameOf(message, '0000000000')) > maxFrame)
    throw tooLarge(record.topic, 'a value, key and headers that do not fit into 1 MiB together, in base64')
  return message
}

/** Most records are small: nothing is encoded just to be measured. */
function surelyFits({ key, value, headers }: OutgoingRecord): boolean {
  // The most that JSON makes of a byte is six characters.
  let bytes = (value?.byteLength ?? 0) * 2 + (key?.byteLength ?? 0) * 6
  for (const name in headers) bytes += (name.length * 3 + headers[name]!.byteLength) * 6
  return bytes < maxFrame / 2
}

function tooLarge(topic: string, has: string): StreamError {
  return new StreamError('too-large', `a record for '${topic}' has ${has}: store it elsewhere and send where`, {
    adapter: 'pulsar'
  })
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
    throw new StreamError('bad-record', `the header '${name}' of a record for '${topic}' has a reserved name`, {
      adapter: 'pulsar'
    })
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

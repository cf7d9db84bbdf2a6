import { isAscii, isUtf8 } from 'node:buffer'
import { view } from '../../core/codec.ts'
import { type Headers, noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { stampHeader } from '../../core/stamp.ts'
import type { IncomingEvent, OutgoingEvent } from './client.ts'
import { positionOf } from './positions.ts'

/** Application properties of ours. Those of the user stand beside them under their own names. */
export const propertyNames: { readonly stamp: string; readonly key: string; readonly tombstone: string } = {
  /** The stamp, base64url: the vendor client takes bytes apart one by one when it reads them. */
  stamp: stampHeader,
  /** The key: text when it is UTF-8, else bytes. An event for a partition by number can have no partition key. */
  key: '~k',
  /** `true`: a tombstone. The body is empty: AMQP has no null data. */
  tombstone: '~t'
}

/**
 * The header that is no application property but the content type of the message, as other clients write and read it: Azure's
 * serializers put the id of a schema there.
 */
export const contentTypeHeader = 'content-type'

const nothing = new Uint8Array(0)
const mostContentType = 200

/** The content type of a record as a symbol of AMQP, which is short and ASCII; what is not stays an application property. */
export function contentTypeOf(headers: Headers): Uint8Array | undefined {
  const given = headers[contentTypeHeader]
  const fits = given && given.byteLength > 0 && given.byteLength <= mostContentType && isAscii(given)
  return fits ? given : undefined
}

export function toEvent({ key, value, headers, stamp }: OutgoingRecord): OutgoingEvent {
  const event: OutgoingEvent = { body: value ?? nothing }
  const contentType = contentTypeOf(headers)
  if (contentType) event.contentType = view(contentType).toString('latin1')
  let properties: Record<string, unknown> | undefined
  for (const name in headers)
    if (!contentType || name !== contentTypeHeader) (properties ??= {})[name] = textOrBytes(headers[name]!)
  if (key !== null) (properties ??= {})[propertyNames.key] = textOrBytes(key)
  if (stamp !== undefined) (properties ??= {})[propertyNames.stamp] = view(stamp).toString('base64url')
  if (value === null) (properties ??= {})[propertyNames.tombstone] = true
  if (properties) event.properties = properties
  return event
}

/** At least what an event takes in a publication: the sections around its parts are counted generously. */
export function sizeOfEvent({ key, value, headers }: OutgoingRecord): number {
  let size = 256 + (key?.byteLength ?? 0) + (value?.byteLength ?? 0)
  for (const name in headers) size += 3 * name.length + headers[name]!.byteLength + 16
  return size
}

export function toRecord(event: IncomingEvent): RawRecord {
  const properties = event.getRawAmqpMessage().applicationProperties
  const { body, sequenceNumber, partitionKey } = event
  let value: Uint8Array | null = body instanceof Uint8Array ? body : bytesOf(body)
  let key: Uint8Array | null = null
  let stamp: Uint8Array | undefined
  let headers: Record<string, Uint8Array> | undefined
  if (typeof event.contentType === 'string') headers = { [contentTypeHeader]: Buffer.from(event.contentType) }
  for (const name in properties) {
    // A property `__proto__` that is bytes becomes the prototype in the vendor's decoder.
    if (!Object.hasOwn(properties, name)) continue
    const property = properties[name]
    if (name === propertyNames.stamp && typeof property === 'string') stamp = Buffer.from(property, 'base64url')
    else if (name === propertyNames.key) key = typeof property === 'string' ? Buffer.from(property) : bytesOf(property)
    else if (name === propertyNames.tombstone) value = null
    else (headers ??= {})[name] = bytesOf(property) ?? nothing
  }
  // Of producers that let the service choose the partition, Kafka's among them.
  if (key === null && typeof partitionKey === 'string') key = Buffer.from(partitionKey)
  return {
    position: positionOf(sequenceNumber),
    key,
    value,
    headers: (headers as Headers | undefined) ?? noHeaders,
    stamp,
    timestamp: event.enqueuedTimeUtc.getTime()
  }
}

function textOrBytes(bytes: Uint8Array): string | Buffer {
  return isUtf8(bytes) ? view(bytes).toString() : view(bytes)
}

/** Other producers may write any type of AMQP: texts as UTF-8, numbers and the like as JSON. */
function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return Buffer.from(value)
  // A body of several data sections.
  if (Array.isArray(value) && value.length > 0 && value.every(part => part instanceof Uint8Array))
    return Buffer.concat(value)
  return Buffer.from(typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value)))
}

import { StreamError } from '../core/errors.ts'
import type { SchemaFraming, SchemaId } from '../core/registry.ts'

/**
 * The wire format that Confluent made common: a zero, the id of the schema in four bytes (big endian), then the
 * payload. Source: Confluent, "Schema Registry / Formats, Serializers, and Deserializers / Wire format".
 */
export const headerSize = 5

export const maximumId: number = 2 ** 32 - 1

export function writeHeader(target: Buffer, position: number, id: number): void {
  target[position] = 0
  target[position + 1] = id >>> 24
  target[position + 2] = id >>> 16
  target[position + 3] = id >>> 8
  target[position + 4] = id
}

export function isFramed(bytes: Uint8Array): boolean {
  return bytes.length >= headerSize && bytes[0] === 0
}

/** Of bytes that are framed. */
export function idAt(bytes: Uint8Array): number {
  return ((bytes[1]! << 24) | (bytes[2]! << 16) | (bytes[3]! << 8) | bytes[4]!) >>> 0
}

export const confluentFraming: SchemaFraming = {
  headerSize,
  isFramed,
  idAt,
  write: (target, id) => writeHeader(target as Buffer, 0, id as number)
}

/** The id in front of a payload. Throws `bad-record` when there is none. */
export function readId(
  bytes: Uint8Array,
  { framing, place }: { readonly framing: SchemaFraming; readonly place?: string | undefined }
): SchemaId {
  if (framing.isFramed(bytes)) return framing.idAt(bytes)
  throw new StreamError('bad-record', missingId(bytes, framing, place))
}

function missingId(bytes: Uint8Array, framing: SchemaFraming, place: string | undefined): string {
  if (place !== undefined) return `expected the id of a schema in ${place}, or before the payload: found none`
  if (bytes.length < framing.headerSize)
    return `expected the ${framing.headerSize} bytes of a schema id before the payload, got ${bytes.length} bytes in all`
  return framing === confluentFraming
    ? `expected magic byte 0 before a schema id, got ${bytes[0]}: this was not written with a schema registry`
    : 'expected a schema id before the payload: this was not written with this kind of schema registry'
}

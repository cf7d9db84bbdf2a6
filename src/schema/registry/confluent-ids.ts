import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { Headers } from '../../core/record.ts'
import type { SchemaFraming, SchemaHeaders, SchemaId } from '../../core/registry.ts'
import { headerSize, idAt, isFramed, writeHeader } from '../wire.ts'
import { rememberingLast } from './remembering-last.ts'

// Two forms of an id: a 0 and four bytes, or a 1 and the 16 bytes of a GUID; in a header of the record, or in front of the payload.
// Source: Confluent's clients, `SchemaId`, `HeaderSchemaIdSerializer`, `DualSchemaIdDeserializer`.

const guidSize = 17

/** In front of the payload, in both forms. */
export const eitherFraming: SchemaFraming = {
  headerSize,
  sizeOf: id => (typeof id === 'number' ? headerSize : guidSize),
  isFramed: bytes => isFramed(bytes) || isGuid(bytes),
  idAt: bytes => (bytes[0] === 0 ? idAt(bytes) : guidAt(bytes)),
  write: (target, id) => void target.set(idBytes(id)),
  payload: bytes => bytes.subarray(bytes[0] === 0 ? headerSize : guidSize)
}

const names = { key: '__key_schema_id', value: '__value_schema_id' } as const

/**
 * In a header. The id is a GUID where the registry gives one to each schema, a number where it does not. Behind it stand the message
 * indexes of Protobuf.
 */
export function confluentHeaders(): SchemaHeaders {
  const read = {
    key: rememberingLast(bytes => parse(bytes, names.key)),
    value: rememberingLast(bytes => parse(bytes, names.value))
  }
  const parsed = (headers: Headers, part: 'key' | 'value'): Parsed | undefined => {
    const bytes = headers[names[part]]
    return bytes && read[part](bytes)
  }
  return {
    place: `header '${names.value}' (of a key, '${names.key}')`,
    write: ({ id }, part, named = nothing) => ({ [names[part]]: Buffer.concat([idBytes(id), named]) }),
    read(headers, part, named = false) {
      const found = parsed(headers, part)
      if (found && !named && found.named.length > 0) throw noId(names[part])
      return found?.id
    },
    named: (headers, part) => parsed(headers, part)?.named
  }
}

interface Parsed {
  readonly id: SchemaId
  readonly named: Buffer
}

const nothing = Buffer.alloc(0)

function parse(bytes: Uint8Array, name: string): Parsed {
  const isNumber = isFramed(bytes)
  if (!isNumber && !isGuid(bytes)) throw noId(name)
  // A copy: it is remembered.
  const named = Buffer.from(bytes.subarray(isNumber ? headerSize : guidSize))
  return { id: isNumber ? idAt(bytes) : guidAt(bytes), named }
}

function noId(name: string): StreamError {
  return new StreamError('bad-record', `header '${name}' is not the id of a schema`)
}

function isGuid(bytes: Uint8Array): boolean {
  return bytes.length >= guidSize && bytes[0] === 1
}

function guidAt(bytes: Uint8Array): string {
  const hex = view(bytes).toString('hex', 1, guidSize)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function idBytes(id: SchemaId): Buffer {
  if (typeof id === 'string') return Buffer.from(`01${id.replaceAll('-', '')}`, 'hex')
  const bytes = Buffer.alloc(headerSize)
  writeHeader(bytes, 0, id)
  return bytes
}

import { StreamError } from '../../core/errors.ts'
import { view } from '../../core/codec.ts'
import type { SchemaFraming, SchemaId } from '../../core/registry.ts'

/** JSON text as bytes, behind the id of its schema when there is one. Throws `bad-record`. */
export function jsonBytes(value: unknown, id: SchemaId | undefined, framing: SchemaFraming): Uint8Array {
  const encoded = stringify(value)
  if (id === undefined) return Buffer.from(encoded, 'utf8')
  const size = Buffer.byteLength(encoded, 'utf8')
  const { headerSize } = framing
  const bytes = Buffer.allocUnsafe(headerSize + size)
  framing.write(bytes, id)
  bytes.write(encoded, headerSize, size, 'utf8')
  return bytes
}

function stringify(value: unknown): string {
  let encoded: string | undefined
  try {
    encoded = JSON.stringify(value)
  } catch {
    // The message of the runtime names properties, and for a bigint that is all there is to say.
    throw new StreamError('bad-record', 'the value cannot be written as JSON: it holds a bigint, or itself')
  }
  if (encoded === undefined) throw new StreamError('bad-record', 'the value cannot be written as JSON: it is undefined')
  return encoded
}

/** The value behind the id of a schema, or of plain JSON. Throws `bad-record`. */
export function parseJson(given: Uint8Array, framing: SchemaFraming): unknown {
  const framed = framing.isFramed(given)
  const bytes = framed && framing.payload ? framing.payload(given) : given
  try {
    const start = framed && bytes === given ? framing.headerSize : 0
    const decoded = view(bytes).toString('utf8', start)
    // A replacement shows up for malformed bytes, or was written; the strict decoder tells.
    const checked = decoded.includes('\uFFFD') ? strict.decode(bytes.subarray(start)) : decoded
    return JSON.parse(checked) as unknown
  } catch {
    // The message of the parser quotes what it read.
    throw new StreamError('bad-record', `${bytes.length} bytes that are not JSON`)
  }
}
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

import { StreamError } from '../../core/errors.ts'
import { view } from '../../core/codec.ts'
import type { SchemaFraming } from '../../core/registry.ts'
import type { Placement } from '../placement.ts'

/** JSON text as bytes, behind the id of its schema when it stands there. Throws `bad-record`. */
export function jsonBytes(value: unknown, placement: Placement | undefined): Uint8Array {
  const encoded = stringify(value)
  const before = placement?.size ?? 0
  if (before === 0) return Buffer.from(encoded, 'utf8')
  const size = Buffer.byteLength(encoded, 'utf8')
  const bytes = Buffer.allocUnsafe(before + size)
  placement!.write(bytes)
  bytes.write(encoded, before, size, 'utf8')
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
  if (!framing.isFramed(given)) return parseFrom(given, 0)
  return framing.payload ? parseFrom(framing.payload(given), 0) : parseFrom(given, framing.headerSize)
}

/** The value of JSON with nothing before it. Throws `bad-record`. */
export function parseWhole(bytes: Uint8Array): unknown {
  return parseFrom(bytes, 0)
}

function parseFrom(bytes: Uint8Array, start: number): unknown {
  try {
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

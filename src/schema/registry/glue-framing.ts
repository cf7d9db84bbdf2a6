import { inflateSync } from 'node:zlib'
import { StreamError } from '../../core/errors.ts'
import { view } from '../../core/codec.ts'
import type { SchemaFraming } from '../../core/registry.ts'

// A version byte (3), a byte for the compression (0 none, 5 zlib), and the id of the schema version, a UUID. Source: AWS Glue
// Schema Registry library, `AWSSchemaRegistryConstants`.

const headerVersion = 3
const plain = 0
const zlib = 5
const headerSize = 18
/** A payload never becomes longer than this, whatever its compressed bytes say. */
const inflatedLimit = 16 * 1024 * 1024

const known = new Map<string, Buffer>()

/** Glue's wire format. Records are written without compression; those of others are decompressed. */
export const glueFraming: SchemaFraming = {
  headerSize,
  isFramed: bytes =>
    bytes.length >= headerSize && bytes[0] === headerVersion && (bytes[1] === plain || bytes[1] === zlib),
  idAt: bytes => {
    const hex = view(bytes).toString('hex', 2, headerSize)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  },
  write(target, id) {
    let bytes = known.get(id as string)
    if (!bytes) {
      if (known.size > 1_000) known.clear()
      known.set(id as string, (bytes = Buffer.from((id as string).replaceAll('-', ''), 'hex')))
    }
    target[0] = headerVersion
    target[1] = plain
    target.set(bytes, 2)
  },
  payload(bytes) {
    const body = view(bytes).subarray(headerSize)
    if (bytes[1] === plain) return body
    try {
      return inflateSync(body, { maxOutputLength: inflatedLimit })
    } catch (error) {
      throw new StreamError('bad-record', `the payload cannot be decompressed: ${(error as Error).message}`, {
        cause: error
      })
    }
  }
}

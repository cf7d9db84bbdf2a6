import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { SchemaFraming } from '../../core/registry.ts'

const mark = 6
const before = 3

/**
 * Ids that are texts, in front of a payload: a 6, the length in two bytes, the text. A form of our own, for places without
 * headers (keyed state, keys) under registries whose ecosystem knows no form for them.
 */
export const textFraming: SchemaFraming = {
  headerSize: before,
  sizeOf: id => before + Buffer.byteLength(String(id), 'utf8'),
  isFramed: bytes => bytes.length >= before && bytes[0] === mark && bytes.length >= endOf(bytes),
  idAt: bytes => view(bytes).toString('utf8', before, endOf(bytes)),
  write(target, id) {
    const size = Buffer.byteLength(String(id), 'utf8')
    if (size > 0xffff) throw new StreamError('bad-schema', 'the id of a schema is longer than 65,535 bytes')
    target[0] = mark
    target[1] = size >>> 8
    target[2] = size
    view(target).write(String(id), before, 'utf8')
  },
  payload: bytes => bytes.subarray(endOf(bytes))
}

function endOf(bytes: Uint8Array): number {
  return before + (bytes[1]! << 8) + bytes[2]!
}

import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaFraming, SchemaHeaders } from '../../core/registry.ts'
import { rememberingLast } from './remembering-last.ts'

/** The header (of Event Hubs: the property of the message) that says what a payload is. */
const contentType = 'content-type'

const mimeTypes: Partial<Record<RegisteredSchema['type'], string>> = { AVRO: 'avro/binary', JSON: 'application/json' }

const idOf = rememberingLast((bytes): string | undefined => {
  const [mimeType, id, ...more] = view(bytes).toString('latin1').split('+')
  return id && more.length === 0 && Object.values(mimeTypes).includes(mimeType!.toLowerCase()) ? id : undefined
})

/** `avro/binary+<id>`, as the serializers of Azure write it: `@azure/schema-registry-avro` and its sisters. */
export const azureHeaders: SchemaHeaders = {
  place: `header '${contentType}' ('avro/binary+<id>')`,
  write({ type, id }, part) {
    // One record has one content type, and it is that of the value.
    if (part === 'key') return undefined
    return { [contentType]: Buffer.from(`${mimeTypes[type]}+${id}`, 'latin1') }
  },
  read(headers, part) {
    const bytes = part === 'value' ? headers[contentType] : undefined
    return bytes && idOf(bytes)
  }
}

const idSize = 32
const headerSize = 4 + idSize

/**
 * Four zeros and the id in front of the payload: how the previews of those serializers wrote, which later ones read for a while.
 * Here it is for keys and keyed state.
 */
export const azureFraming: SchemaFraming = {
  headerSize,
  isFramed: bytes => bytes.length >= headerSize && bytes[0] === 0 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0,
  idAt: bytes => view(bytes).toString('latin1', 4, headerSize),
  write(target, id) {
    if (String(id).length !== idSize)
      throw new StreamError(
        'bad-schema',
        `the id of a schema in front of a payload has ${idSize} characters, not '${id}'`
      )
    target.fill(0, 0, 4)
    view(target).write(String(id), 4, 'latin1')
  }
}

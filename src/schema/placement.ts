import { view, type Codec, type CodecContext } from '../core/codec.ts'
import type { Headers } from '../core/record.ts'
import type { RegisteredSchema, SchemaFraming, SchemaId, SchemaRegistry } from '../core/registry.ts'
import { confluentFraming } from './wire.ts'

/**
 * Where the id of a topic's own schema is written, in front of the payload or beside it, and where those of other writers are
 * found: in headers first, else in front.
 */
export interface Placement {
  /** Bytes in front of a payload that is written. */
  readonly size: number
  /** Writes them. */
  write(target: Uint8Array): void
  /**
   * The id that stands beside these bytes; their whole is the payload then. Of a key without headers, which is that of a timer, our
   * own: what stood beside it is forgotten. Throws `bad-record`.
   */
  beside(bytes: Uint8Array, headers: Headers | undefined): SchemaId | undefined
  /** What says in the headers which message of its file a payload is. */
  named(headers: Headers | undefined): Buffer | undefined
  /** How ids stand in front. */
  readonly framing: SchemaFraming
  /** What the codec says of itself to the front. */
  readonly front: Pick<Codec<unknown>, 'headers' | 'readsHeaders' | 'schemaOf'>
  /** Where ids are looked for beside the payload, for messages. */
  readonly place: string | undefined
}

/**
 * @param own nothing: what is bound this way never writes
 * @param named of Protobuf: what says which message of its file a payload is
 */
export function placementOf(
  registry: SchemaRegistry,
  own: RegisteredSchema | undefined,
  { part, headers: inRecords }: Pick<CodecContext, 'part' | 'headers'>,
  named?: Buffer
): Placement {
  const { framing = confluentFraming } = registry
  const besides = inRecords ? registry.headers : undefined
  const written = own && besides?.write(own, part, named)
  const id = own?.id ?? 0
  const inFront = own !== undefined && written === undefined
  const forgotten = part === 'key' && written ? id : undefined
  const absent = part === 'value' && besides?.absent === 'own' ? own?.id : undefined
  const beside: Placement['beside'] = besides
    ? (_, headers) => (headers ? (besides.read(headers, part, named !== undefined) ?? absent) : forgotten)
    : () => undefined
  return {
    size: inFront ? (framing.sizeOf?.(id) ?? framing.headerSize) : 0,
    write: inFront ? target => framing.write(target, id) : () => {},
    beside,
    named(headers) {
      const bytes = headers && besides?.named?.(headers, part)
      return bytes && view(bytes)
    },
    framing,
    front: {
      ...(written && { headers: written }),
      ...(besides && { readsHeaders: true }),
      schemaOf(bytes, headers) {
        const found = beside(bytes, headers) ?? (framing.isFramed(bytes) ? framing.idAt(bytes) : undefined)
        return found === undefined ? undefined : String(found)
      }
    },
    place: besides?.place
  }
}

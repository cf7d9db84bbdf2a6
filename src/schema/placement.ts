import type { Codec, CodecContext } from '../core/codec.ts'
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
  /** The id that stands beside these bytes; their whole is the payload then. Throws `bad-record`. */
  beside(bytes: Uint8Array, headers: Headers | undefined): SchemaId | undefined
  /** How ids stand in front. */
  readonly framing: SchemaFraming
  /** What the codec says of itself to the front. */
  readonly front: Pick<Codec<unknown>, 'headers' | 'readsHeaders' | 'schemaOf'>
  /** Where ids are looked for beside the payload, for messages. */
  readonly place: string | undefined
}

/** @param own nothing: what is bound this way never writes */
export function placementOf(
  registry: SchemaRegistry,
  own: RegisteredSchema | undefined,
  { part, headers: inRecords }: Pick<CodecContext, 'part' | 'headers'>
): Placement {
  const { framing = confluentFraming } = registry
  const besides = inRecords ? registry.headers : undefined
  const written = own && besides?.write(own, part)
  const id = own?.id ?? 0
  const inFront = own !== undefined && written === undefined
  // The key of a timer comes without its record. What was beside it is forgotten: it is taken for one of ours.
  const forgotten = part === 'key' && written ? id : undefined
  const absent = part === 'value' && besides?.absent === 'own' ? own?.id : undefined
  const beside: Placement['beside'] = besides
    ? (bytes, headers) =>
        headers ? (besides.read(headers, part) ?? absent) : framing.isFramed(bytes) ? undefined : forgotten
    : () => undefined
  return {
    size: inFront ? (framing.sizeOf?.(id) ?? framing.headerSize) : 0,
    write: inFront ? target => framing.write(target, id) : () => {},
    beside,
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

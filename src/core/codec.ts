import { StreamError } from './errors.ts'
import type { Headers } from './record.ts'
import type { SchemaRegistry } from './registry.ts'

/** What a codec may know when a client binds it to a topic. */
export interface CodecContext {
  readonly topic: string
  readonly part: 'key' | 'value'
  /** The registry of the client (`connect({ registry })`), if it was given one. */
  readonly registry: SchemaRegistry | undefined
  /** The bytes stand in records, which have headers. State has none: what would be in a header goes into the bytes there. */
  readonly headers?: boolean
}

/**
 * Bytes to values and back, synchronous: whatever must be fetched is fetched for a whole batch first (`prepare`).
 * A codec in a topic definition is inert; `bind` gives the one that a client uses.
 */
export interface Codec<Value> {
  /** Shown in errors and docs: `text`, `avro`. */
  readonly name: string
  /** Throws on a value that does not fit; the front turns that into code `bad-record`. */
  encode(value: Value): Uint8Array
  /**
   * Throws on bytes that do not fit; the record is then parked. Must not keep a reference to `bytes`.
   *
   * @param headers of the record, where the bytes stand in one
   */
  decode(bytes: Uint8Array, headers?: Headers): Value
  /**
   * Fetches what `decode` will need for these payloads. Returns nothing when it needs nothing: the common case.
   *
   * @param headers of their records, in the same order; given only to codecs that read them (`readsHeaders`)
   */
  prepare?(payloads: readonly Uint8Array[], headers?: readonly Headers[]): Promise<void> | undefined
  /** Go with every record that is encoded: the id of a schema, say, that stands beside the payload. */
  readonly headers?: Headers
  /** `prepare` wants the headers of the records. */
  readonly readsHeaders?: boolean
  /** Which schema these bytes were written with, for people; `undefined` when they do not say. */
  schemaOf?(payload: Uint8Array, headers: Headers): string | undefined
  /** Once per client and topic, before any record: register and check schemas here. */
  bind?(context: CodecContext): Promise<Codec<Value>>
  /**
   * What of a value its schema marks as sensitive, in the forms in which a message may show it: it is struck out of what is
   * stored of an error. Absent when nothing is marked.
   */
  secretsIn?(value: Value): readonly string[]
  /** `null` (no key, tombstone) is a value of this codec; set by `optional`. */
  readonly nullable?: boolean
}

/** The value type of a codec. */
export type ValueOf<C> = C extends Codec<infer Value> ? Value : never

/** UTF-8 text. Malformed bytes are refused. */
export const text: Codec<string> = {
  name: 'text',
  encode: value => {
    if (typeof value !== 'string') throw new StreamError('bad-record', `text expects a string, got ${typeof value}`)
    // Half a surrogate pair would be replaced without a word: another value, in a key another partition.
    if (!value.isWellFormed())
      throw new StreamError('bad-record', 'text expects well-formed Unicode, got half a surrogate pair')
    return Buffer.from(value, 'utf8')
  },
  decode: bytes => decodeText(bytes)
}
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

// Buffer's decoder is several times faster than a fatal TextDecoder, which only runs when a replacement shows up.
function decodeText(bytes: Uint8Array): string {
  const decoded = view(bytes).toString('utf8')
  return decoded.includes('\uFFFD') ? strict.decode(bytes) : decoded
}

/** An IEEE 754 double, 8 bytes, big endian. */
export const number: Codec<number> = {
  name: 'number',
  encode: value => {
    // Buffer would make NaN of anything else.
    if (typeof value !== 'number') throw new StreamError('bad-record', `number expects a number, got ${typeof value}`)
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleBE(value)
    return bytes
  },
  decode: bytes => {
    if (bytes.byteLength !== 8) throw new StreamError('bad-record', `number expects 8 bytes, got ${bytes.byteLength}`)
    return view(bytes).readDoubleBE(0)
  }
}

/** Bytes as they are. */
export const bytes: Codec<Uint8Array> = { name: 'bytes', encode: value => value, decode: value => value }

/**
 * JSON whose shape is only promised (`json<Trade>()`). To have it checked, use `json(validator)` of `tidemark/schema`,
 * which takes any Standard Schema.
 */
export function json<Value>(): Codec<Value> {
  return {
    name: 'json',
    encode: value => Buffer.from(JSON.stringify(value), 'utf8'),
    decode: value => JSON.parse(decodeText(value)) as Value
  }
}

/** Lets `null` pass as it is: a tombstone as value, no key as key. */
export function optional<Value>(codec: Codec<Value>): Codec<Value | null> {
  const bind = codec.bind?.bind(codec)
  return {
    ...(codec as Codec<Value | null>),
    encode: value => codec.encode(value as Value),
    decode: (value, headers) => codec.decode(value, headers),
    ...(codec.prepare && { prepare: (payloads, headers) => codec.prepare?.(payloads, headers) }),
    ...(codec.secretsIn && { secretsIn: value => (value === null ? [] : codec.secretsIn!(value)) }),
    ...(bind && { bind: async context => optional(await bind(context)) }),
    nullable: true
  }
}

/** The same memory as a Buffer, no copy. */
export function view(value: Uint8Array): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

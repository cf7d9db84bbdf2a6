import type { Codec } from '../core/codec.ts'
import { asStreamError, StreamError } from '../core/errors.ts'
import { partitionOf } from '../core/partitioner.ts'
import { noHeaders, type Entry, type Headers, type RawRecord } from '../core/record.ts'
import type { SchemaRegistry } from '../core/registry.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { AnyAdapter } from '../spec/index.ts'

/** A topic definition bound to the broker that carries it. */
export interface BoundTopic {
  readonly topic: AnyTopic
  readonly adapter: AnyAdapter
  readonly key: Codec<unknown>
  readonly value: Codec<unknown>
  readonly partitions: number
  /** Only the last record of each key stays, or nobody can tell: a gap is no proof of a loss. */
  readonly compacted: boolean
}

/** Binds the codecs to the registry: schemas are registered and checked here, before any record. */
export async function bindTopic(
  topic: AnyTopic,
  adapter: AnyAdapter,
  partitions: number,
  registry: SchemaRegistry | undefined,
  compacted: boolean = adapter.capabilities.lossy.compaction
): Promise<BoundTopic> {
  const bind = async (codec: Codec<unknown>, part: 'key' | 'value'): Promise<Codec<unknown>> =>
    codec.bind ? await codec.bind({ topic: topic.name, part, registry, headers: true }) : codec
  const [key, value] = [await bind(topic.key, 'key'), await bind(topic.value, 'value')]
  return { topic, adapter, partitions, compacted, key, value }
}

/** An entry as bytes, with the partition and the event time that it will have. */
export interface EncodedEntry {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  readonly partition: number
  readonly eventTime: number
}

/**
 * Encodes an entry. Throws `bad-record` (a codec refuses, a partition that is not there) or `too-large`.
 *
 * @param otherwise event time when neither the entry nor the topic says one
 * @param unkeyed partition of an entry without key and without a partition of its own
 * @param now of a producer whose promise rests on the times of its entries: what is more than `maxFuture` ahead of it is a
 *   `bad-record`
 */
export function encodeEntry(
  bound: BoundTopic,
  entry: Entry,
  otherwise: number,
  unkeyed: number,
  now?: number
): EncodedEntry {
  const { topic, adapter } = bound
  const key = encodePart(bound, 'key', entry.key)
  const value = encodePart(bound, 'value', entry.value)
  const size = (key?.byteLength ?? 0) + (value?.byteLength ?? 0)
  if (size > adapter.capabilities.maxRecord)
    throw new StreamError(
      'too-large',
      `topic '${topic.name}': a record of ${size} bytes is over the limit of ${adapter.capabilities.maxRecord} of ${adapter.name}`
    )
  const partition = entry.partition ?? (key === null ? unkeyed % bound.partitions : partitionOf(key, bound.partitions))
  if (!(Number.isInteger(partition) && partition >= 0 && partition < bound.partitions))
    throw new StreamError(
      'bad-record',
      `topic '${topic.name}' has partitions 0 to ${bound.partitions - 1}, not ${partition}`
    )
  const said = entry.eventTime ?? (value !== null ? topic.eventTime?.(entry.value, entry.key) : undefined) ?? otherwise
  assertTime(topic.name, said)
  if (now !== undefined && said > now + topic.maxFuture) throw fromTheFuture(topic, said, now)
  const headers = withSchemas(bound, key, value, encodeHeaders(entry.headers))
  const encoded = { key, value, headers, partition, eventTime: Math.trunc(said) }
  // What is committed must be written: what the backend would refuse is refused here.
  adapter.check?.({ ...encoded, topic: topic.name, stamp: undefined, timestamp: encoded.eventTime })
  return encoded
}

function fromTheFuture({ name, maxFuture }: AnyTopic, time: number, now: number): StreamError {
  return new StreamError(
    'bad-record',
    `topic '${name}': event time ${time} is ${Math.ceil(time - now)} ms ahead of the clock here, and maxFuture allows ${maxFuture}: ` +
      'look at the clock it comes from, or give the topic a larger maxFuture'
  )
}

/** Farthest event time from 1970, ms (about 35,000 years): what a stamp carries exactly. Microseconds are beyond it. */
const farthest = 2 ** 50

/** Throws `bad-record`. */
export function assertTime(topic: string, time: unknown): asserts time is number {
  if (typeof time === 'number' && Math.abs(time) <= farthest) return
  throw new StreamError(
    'bad-record',
    `topic '${topic}': event time must be milliseconds since 1970, got ${String(time)}`
  )
}

function encodePart(bound: BoundTopic, part: 'key' | 'value', value: unknown): Uint8Array | null {
  const codec = bound[part]
  if (value === null || value === undefined) {
    if (codec.nullable) return null
    throw new StreamError(
      'bad-record',
      `topic '${bound.topic.name}': ${part} is ${String(value)}; declare it ${part}: optional(${codec.name}) to allow that`
    )
  }
  try {
    return codec.encode(value)
  } catch (error) {
    throw asStreamError(
      error,
      'bad-record',
      `topic '${bound.topic.name}': the ${part} does not encode as ${codec.name}`
    )
  }
}

function encodeHeaders(headers: Entry['headers']): Headers {
  if (headers === undefined) return noHeaders
  const encoded: Record<string, Uint8Array> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('~'))
      throw new StreamError('bad-record', `header '${name}': names that start with ~ belong to tidemark`)
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
    // Plain assignment to this one name would change the prototype.
    if (name === '__proto__') Object.defineProperty(encoded, name, { value: bytes, enumerable: true })
    else encoded[name] = bytes
  }
  return encoded
}

/** What codecs say beside their payloads stands over what the entry says: a reader would take it for theirs. */
function withSchemas(bound: BoundTopic, key: Uint8Array | null, value: Uint8Array | null, headers: Headers): Headers {
  const ofKey = key === null ? undefined : bound.key.headers
  const ofValue = value === null ? undefined : bound.value.headers
  if (ofKey === undefined && ofValue === undefined) return headers
  if (headers === noHeaders && (ofKey === undefined || ofValue === undefined)) return (ofKey ?? ofValue)!
  return { ...headers, ...ofKey, ...ofValue }
}

/** Fetches what the codecs need for a batch; `undefined` when they need nothing. */
export function prepareBatch(bound: BoundTopic, records: readonly RawRecord[]): Promise<unknown> | undefined {
  const keys = preparePart(bound.key, 'key', records)
  const values = preparePart(bound.value, 'value', records)
  return keys || values ? Promise.all([keys, values]) : undefined
}

function preparePart(
  codec: Codec<unknown>,
  part: 'key' | 'value',
  records: readonly RawRecord[]
): Promise<void> | undefined {
  if (!codec.prepare) return undefined
  const payloads: Uint8Array[] = []
  const headers: Headers[] | undefined = codec.readsHeaders ? [] : undefined
  for (const record of records) {
    const payload = record[part]
    if (payload === null) continue
    payloads.push(payload)
    headers?.push(record.headers)
  }
  return codec.prepare(payloads, headers)
}

/**
 * Throws `bad-record`: poison, which is parked.
 *
 * @param headers of the record; the key of a timer has none any more
 */
export function decodePart(
  bound: BoundTopic,
  part: 'key' | 'value',
  bytes: Uint8Array | null,
  headers?: Headers
): unknown {
  const codec = bound[part]
  if (bytes === null) {
    if (codec.nullable) return null
    throw new StreamError(
      'bad-record',
      `topic '${bound.topic.name}': a record without a ${part}; declare it ${part}: optional(${codec.name}) to read it`
    )
  }
  try {
    return codec.decode(bytes, headers)
  } catch (error) {
    throw asStreamError(
      error,
      'bad-record',
      `topic '${bound.topic.name}': the ${part} does not decode as ${codec.name}`
    )
  }
}

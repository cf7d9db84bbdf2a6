import { messageOf, StreamError } from '../core/errors.ts'
import { causesOf } from '../core/failure.ts'
import type { OutgoingRecord, RawRecord } from '../core/record.ts'
import { cutTo, redacted, without } from '../core/redact.ts'
import type { TopicPartition } from '../spec/index.ts'
import type { BoundTopic } from './bound-topic.ts'

/** Where records go that cannot be processed. It has as many partitions as its origin. */
export function parkedTopic(topic: string): string {
  return `${topic}.parked`
}

export const parkedHeaders = {
  /** `topic/partition/position` of the record. */
  origin: '~parked-origin',
  /** Which stage or group gave up. */
  by: '~parked-by',
  code: '~parked-code',
  /** What was thrown, and the causes of it; what looks like a secret is `***`. */
  error: '~parked-error',
  /** Where it was thrown: the frames of the stack, without the message. */
  stack: '~parked-stack',
  attempts: '~parked-attempts',
  /** When it was parked, ms since the epoch. */
  at: '~parked-at',
  /** Id of the schema of its value, where it was written with one. */
  schema: '~parked-schema',
  /** How often it was sent again before. */
  redriven: '~redriven'
} as const

/** Headers of a record that is sent again. */
export const redriveHeaders = {
  /** `pipeline/stage` or group that had given up: for all others it is a repeat. */
  addressee: '~redrive-for',
  /** Which run of redrive has sent it: what is parked again is not sent again by the same one. */
  run: '~redrive-run'
} as const

/** Was it sent again for somebody else? @param reader `pipeline/stage/partition`, or a group */
export function isForAnother({ headers }: Pick<RawRecord, 'headers'>, reader: string): boolean {
  const bytes = headers[redriveHeaders.addressee]
  if (bytes === undefined) return false
  const addressee = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return reader !== addressee && !reader.startsWith(`${addressee}/`)
}

/** What is told of a parked record beside its error. */
export interface ParkedDetails {
  readonly attempts: number
  /** ms since the epoch. */
  readonly at: number
  readonly schema?: string | undefined
  /** What the schema of the record marks as sensitive in it: it is struck out of the message. */
  readonly secrets?: readonly string[]
}

/** Most bytes of one header: attributes of Pub/Sub hold no more. */
const mostBytes = 1024

/**
 * A record on its way to the parked topic: key, value and headers as they came, the cause in headers beside them. Each is cut
 * to 1 KiB, so that it fits backends with small headers.
 */
export function park(
  origin: TopicPartition,
  record: RawRecord,
  by: string,
  error: unknown,
  { attempts, at, schema, secrets = [] }: ParkedDetails
): OutgoingRecord {
  const texts: Record<string, string | undefined> = {
    [parkedHeaders.origin]: `${origin.topic}/${origin.partition}/${record.position}`,
    [parkedHeaders.by]: by,
    [parkedHeaders.code]: StreamError.is(error) ? error.code : 'handler',
    [parkedHeaders.error]: redacted(without(messagesOf(error), secrets)),
    [parkedHeaders.stack]: framesOf(error),
    [parkedHeaders.attempts]: String(attempts),
    [parkedHeaders.at]: String(at),
    [parkedHeaders.schema]: schema
  }
  const headers: Record<string, Uint8Array> = { ...record.headers }
  for (const [name, text] of Object.entries(texts))
    if (text !== undefined) headers[name] = Buffer.from(cutTo(text, mostBytes), 'utf8')
    else delete headers[name] // of an earlier time that it was parked
  return {
    topic: parkedTopic(origin.topic),
    partition: origin.partition,
    key: record.key,
    value: record.value,
    headers,
    stamp: undefined,
    timestamp: record.timestamp
  }
}

function messagesOf(error: unknown): string {
  const messages: string[] = []
  for (const cause of causesOf(error)) {
    const message = messageOf(cause)
    // Wrappers often repeat what they wrap.
    if (!messages.some(known => known.includes(message))) messages.push(message)
  }
  return messages.join('; caused by: ')
}

/** Of the innermost error, which is where it began. The message is in a header of its own. */
function framesOf(error: unknown): string | undefined {
  let stack: string | undefined
  for (const cause of causesOf(error)) if (cause instanceof Error && cause.stack !== undefined) stack = cause.stack
  const frames = stack?.split('\n').filter(line => /^\s+at /.test(line))
  return frames && frames.length > 0 ? frames.map(line => line.trim()).join('\n') : undefined
}

/** Which schema the value was written with, as far as its codec can tell. */
export function schemaOf({ value }: Pick<BoundTopic, 'value'>, raw: RawRecord): string | undefined {
  try {
    return raw.value === null ? undefined : value.schemaOf?.(raw.value, raw.headers)
  } catch {
    return undefined // bytes that do not even say that: why they are parked
  }
}

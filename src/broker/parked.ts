import { messageOf, StreamError } from '../core/errors.ts'
import type { OutgoingRecord, RawRecord } from '../core/record.ts'
import type { TopicPartition } from '../spec/index.ts'

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
  error: '~parked-error',
  attempts: '~parked-attempts'
} as const

/**
 * A record on its way to the parked topic: key, value and headers as they came, the cause in headers beside them. The
 * message of the error is cut to 1 KiB, so that it fits backends with small headers.
 */
export function park(
  origin: TopicPartition,
  record: RawRecord,
  by: string,
  error: unknown,
  attempts: number
): OutgoingRecord {
  const code = StreamError.is(error) ? error.code : 'handler'
  const texts: Record<string, string> = {
    [parkedHeaders.origin]: `${origin.topic}/${origin.partition}/${record.position}`,
    [parkedHeaders.by]: by,
    [parkedHeaders.code]: code,
    [parkedHeaders.error]: messageOf(error).slice(0, 1024),
    [parkedHeaders.attempts]: String(attempts)
  }
  const headers: Record<string, Uint8Array> = { ...record.headers }
  for (const [name, value] of Object.entries(texts)) headers[name] = Buffer.from(value, 'utf8')
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

import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../src/core/record.ts'
import type { AnyAdapter, LogEvent, LogReader, StartAt, TopicPartition } from '../../src/spec/index.ts'

/** A name that no other test has. */
export const unique = (prefix: string): string => `${prefix}-${randomUUID().slice(0, 13)}`

export async function createTopic(
  adapter: AnyAdapter,
  partitions = 1,
  settings: Readonly<Record<string, string>> = {}
): Promise<string> {
  const topic = unique('topic')
  const admin = adapter.admin()
  await admin.createTopic({ topic, partitions, settings })
  await admin.close()
  return topic
}

export function record(
  topic: string,
  partition: number,
  value: string | Buffer | null,
  more: Partial<OutgoingRecord> = {}
): OutgoingRecord {
  return {
    topic,
    partition,
    key: null,
    value: typeof value === 'string' ? Buffer.from(value) : value,
    headers: noHeaders,
    stamp: undefined,
    timestamp: 1_700_000_000_000,
    ...more
  }
}

/** `'0'` to `count - 1`, after `from`. */
export function numbers(topic: string, partition: number, count: number, from = 0): OutgoingRecord[] {
  return Array.from({ length: count }, (_, index) => record(topic, partition, String(from + index)))
}

export function texts(records: readonly RawRecord[]): string[] {
  return records.map(({ value }) => (value === null ? '<null>' : Buffer.from(value).toString()))
}

/** Sends what must succeed as a whole. */
export async function send(adapter: AnyAdapter, records: readonly OutgoingRecord[]): Promise<void> {
  const producer = await adapter.producer()
  for (const result of await producer.send(records)) if (!result.ok) throw result.error
  await producer.close()
}

/** The error of the first record that was not written. */
export async function sendFailure(adapter: AnyAdapter, records: readonly OutgoingRecord[]): Promise<unknown> {
  const producer = await adapter.producer()
  try {
    const failed = (await producer.send(records)).find(result => !result.ok)
    if (!failed || failed.ok) throw new Error('all were written')
    return failed.error
  } finally {
    await producer.close()
  }
}

export interface ReadOptions {
  readonly readCommitted?: boolean
  readonly from?: StartAt
  readonly maxBytes?: number
}

/** One partition to its end. */
export async function readAll(
  adapter: AnyAdapter,
  topic: string,
  partition = 0,
  { readCommitted = true, from = 'earliest', maxBytes = 1 << 20 }: ReadOptions = {}
): Promise<RawRecord[]> {
  const reader = await adapter.partitionReader!({ topic, partition, from, readCommitted, maxBytes })
  const records: RawRecord[] = []
  const signal = AbortSignal.timeout(60_000)
  try {
    for (;;) {
      const received = await reader.receive({ wait: 100, signal })
      records.push(...received.records)
      if (received.atEnd) return records
    }
  } finally {
    await reader.close()
  }
}

/** Receives until the condition holds for all events so far. */
export async function eventsUntil(
  reader: LogReader,
  condition: (events: readonly LogEvent[]) => boolean,
  onEvent: (event: LogEvent) => Promise<unknown> | void = () => undefined
): Promise<LogEvent[]> {
  const events: LogEvent[] = []
  const signal = AbortSignal.timeout(20_000)
  while (!condition(events)) {
    for (const event of await reader.receive({ wait: 200, signal })) {
      events.push(event)
      await onEvent(event)
    }
  }
  return events
}

export function recordsOf(events: readonly LogEvent[]): RawRecord[] {
  return events.flatMap(event => (event.kind === 'records' ? event.records : []))
}

export function partitionsOf(
  events: readonly LogEvent[],
  kind: 'partitions-assigned' | 'partitions-revoked'
): TopicPartition[] {
  return events.flatMap(event => (event.kind === kind ? event.partitions : []))
}

/** Until the condition holds, looked at ten times a second; for what happens at a server on its own. */
export async function until(condition: () => Promise<boolean>, patience = 40_000): Promise<void> {
  const signal = AbortSignal.timeout(patience)
  while (!(await condition())) await wait(100, undefined, { signal })
}

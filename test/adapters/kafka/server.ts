import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { inject } from 'vitest'
import { kafka, type KafkaOptions } from '../../../src/adapters/kafka/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../../src/core/record.ts'
import type { LogEvent, LogReader, StartAt, TopicPartition } from '../../../src/spec/index.ts'
import type { SecureListener } from '../../../testcontainers/server.ts'

/** The Kafka that the whole run shares. */
const server = inject('kafka')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const tls: SecureListener | undefined = server.state === 'running' ? server.tls : undefined
export const broker: string = server.state === 'running' ? server.url.slice('kafka://'.length) : '127.0.0.1:1'

export type KafkaAdapter = ReturnType<typeof kafka>

export async function open(options: Partial<KafkaOptions> = {}): Promise<KafkaAdapter> {
  const adapter = kafka({ brokers: [broker], requestTimeout: 10_000, ...options })
  await adapter.open(systemEnvironment)
  return adapter
}

export const unique = (prefix: string): string => `${prefix}-${randomUUID().slice(0, 13)}`

export async function createTopic(
  adapter: KafkaAdapter,
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
  return records.map(({ value }) => Buffer.from(value ?? '<null>').toString())
}

export async function readAll(
  adapter: KafkaAdapter,
  topic: string,
  partition = 0,
  readCommitted = true,
  from: StartAt = 'earliest'
): Promise<RawRecord[]> {
  const reader = await adapter.partitionReader!({ topic, partition, from, readCommitted, maxBytes: 1 << 20 })
  const records: RawRecord[] = []
  try {
    for (;;) {
      const received = await reader.receive({ wait: 100, signal: AbortSignal.timeout(20_000) })
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

/** The error that the promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

/** Until the condition holds, looked at ten times a second; for what happens at the broker on its own. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(40_000)
  while (!(await condition())) await wait(100, undefined, { signal })
}

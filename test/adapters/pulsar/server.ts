import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { inject } from 'vitest'
import WebSocket from 'ws'
import { fromUrl, pulsar, type PulsarOptions } from '../../../src/adapters/pulsar/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../../src/core/record.ts'
import type { StartAt } from '../../../src/spec/index.ts'

/** The Pulsar that the whole run shares. */
const server = inject('pulsar')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const url: string = server.state === 'running' ? server.url : 'pulsar://127.0.0.1:1'
export const serviceUrl: string | undefined = server.state === 'running' ? server.serviceUrl : undefined

export type PulsarAdapter = ReturnType<typeof pulsar>

export async function open(options: Partial<PulsarOptions> = {}): Promise<PulsarAdapter> {
  const adapter = pulsar({ ...fromUrl(url), requestTimeout: 10_000, ...options })
  await adapter.open(systemEnvironment)
  return adapter
}

export const unique = (prefix: string): string => `${prefix}-${randomUUID().slice(0, 13)}`

export async function createTopic(
  adapter: PulsarAdapter,
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
export async function send(adapter: PulsarAdapter, records: readonly OutgoingRecord[]): Promise<void> {
  const producer = await adapter.producer()
  for (const result of await producer.send(records)) if (!result.ok) throw result.error
  await producer.close()
}

export async function readAll(
  adapter: PulsarAdapter,
  topic: string,
  partition = 0,
  from: StartAt = 'earliest',
  maxBytes: number = 1 << 20
): Promise<RawRecord[]> {
  const reader = await adapter.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes })
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

/** The error that the promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

/** The code of the first record that was not written. */
export async function sendFailure(adapter: PulsarAdapter, records: readonly OutgoingRecord[]): Promise<unknown> {
  const producer = await adapter.producer()
  try {
    const failed = (await producer.send(records)).find(result => !result.ok)
    if (!failed || failed.ok) throw new Error('all were written')
    return failed.error
  } finally {
    await producer.close()
  }
}

/** Until the condition holds, looked at ten times a second; for what happens at the broker on its own. */
export async function until(condition: () => Promise<boolean>, patience = 20_000): Promise<void> {
  const signal = AbortSignal.timeout(patience)
  while (!(await condition())) await wait(100, undefined, { signal })
}

/** The admin API, past the adapter. Gives the JSON of the answer; throws for a status that is no success. */
export async function admin(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await fetch(`http://${new URL(url).host}/admin/v2/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/**
 * Messages of a foreign producer over the same WebSocket API, all in one go, with the query parameters given. Resolves
 * with the message ids.
 */
export async function sendForeign(topic: string, query: string, messages: readonly object[]): Promise<string[]> {
  const address = `ws://${new URL(url).host}/ws/v2/producer/persistent/public/default/${topic}?${query}`
  const socket = new WebSocket(address, { perMessageDeflate: false })
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  const ids: string[] = []
  await new Promise<void>((resolve, reject) => {
    socket.on('message', data => {
      const { result, messageId } = JSON.parse(String(data)) as { result: string; messageId: string }
      if (result !== 'ok') reject(new Error(String(data)))
      else if (ids.push(messageId) === messages.length) resolve()
    })
    socket.on('close', () => reject(new Error('the socket was closed')))
    for (const message of messages) socket.send(JSON.stringify(message))
  })
  socket.terminate()
  return ids
}

import { memory, type MemoryAdapter, MemoryBroker } from '../../../src/adapters/memory/index.ts'
import { systemEnvironment, type Environment } from '../../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../../../src/core/record.ts'
import type { LogEvent, LogReader, PartitionReader } from '../../../src/spec/index.ts'

export const topic = 'words'

/** A broker with the topic `words`, and as many clients as asked for: `a`, `b` ... */
export async function setUp(
  partitions = 1,
  environment: Environment = systemEnvironment
): Promise<{
  broker: MemoryBroker
  a: MemoryAdapter
  b: MemoryAdapter
}> {
  const broker = new MemoryBroker()
  const [a, b] = [memory({ broker, client: 'a' }), memory({ broker, client: 'b' })]
  for (const adapter of [a, b]) await adapter.open(environment)
  broker.createTopic({ topic, partitions })
  return { broker, a, b }
}

export function word(value: string, partition = 0): OutgoingRecord {
  return { topic, partition, key: null, value: Buffer.from(value), headers: noHeaders, stamp: undefined, timestamp: 0 }
}

export function reader(adapter: MemoryAdapter, sessionTimeout = 1000): Promise<LogReader> {
  return adapter.logReader!({ group: 'group', topics: [topic], sessionTimeout, maxBytes: 1 << 20 })
}

/** Receives without waiting until there is nothing; starts what is assigned. Words, `+n` and `-n` for partitions. */
export async function drain(from: LogReader, release = true): Promise<string[]> {
  const seen: string[] = []
  for (;;) {
    const events = await from.receive({ wait: 0 })
    if (events.length === 0) return seen
    for (const event of events) seen.push(...(await told(from, event, release)))
  }
}

async function told(from: LogReader, event: LogEvent, release: boolean): Promise<string[]> {
  if (event.kind === 'records') return event.records.map(record => Buffer.from(record.value!).toString())
  const numbers = event.partitions.map(each => each.partition)
  if (event.kind === 'partitions-revoked') {
    if (release) event.release()
    return numbers.map(number => `-${number}`)
  }
  for (const partition of event.partitions) await from.seek(partition, 'committed')
  return numbers.map(number => `+${number}`)
}

/** Everything that a read-committed reader sees now. */
export async function contents(adapter: MemoryAdapter, partition = 0): Promise<{ words: string[]; atEnd: boolean }> {
  const opened: PartitionReader = await adapter.partitionReader!({
    topic,
    partition,
    from: 'earliest',
    readCommitted: true,
    maxBytes: 1 << 20
  })
  const { records, atEnd } = await opened.receive({ wait: 0 })
  await opened.close()
  return { words: records.map(record => Buffer.from(record.value!).toString()), atEnd }
}

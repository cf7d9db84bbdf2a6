import { promisify } from 'node:util'
import { Clock, type Run } from '../measure.ts'
import { batchRecords, fresh, recordAt } from '../records.ts'
import { missingPackage, type Driver } from './driver.ts'

/** What is used of the package, which is built on the machine and therefore no dependency: its calls in the manner of node-rdkafka. */
interface Package {
  readonly Producer: new (settings: object) => NativeProducer
  readonly KafkaConsumer: new (settings: object, topicSettings: object) => NativeConsumer
}
type Done = (error: Error | null) => void
interface NativeClient {
  connect(options: object, done: Done): void
  disconnect(done: Done): void
}
interface NativeProducer extends NativeClient {
  produce(topic: string, partition: null, value: Buffer, key: Buffer): void
  setPollInterval(milliseconds: number): void
  on(event: 'delivery-report', listener: (error: Error | null) => void): void
  initTransactions(timeout: number, done: Done): void
  beginTransaction(done: Done): void
  sendOffsetsToTransaction(offsets: readonly Place[], consumer: NativeConsumer, timeout: number, done: Done): void
  commitTransaction(timeout: number, done: Done): void
}
interface NativeConsumer extends NativeClient {
  subscribe(topics: readonly string[]): void
  consume(most: number, done: (error: Error | null, messages: NativeMessage[]) => void): void
}
interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}
interface NativeMessage extends Place {
  readonly key: Buffer
  readonly value: Buffer
}

const name = '@confluentinc/kafka-javascript'
const timeout = 60_000
/** What the client holds before it refuses records. */
const queued = 100_000
const tooMany = -184

export const confluent: Driver = {
  name,
  missing: () => missingPackage(name, load),
  async open(servers) {
    const kafka = await load()
    return {
      produce: (topic, count) => produce(kafka, servers, topic, count),
      consume: (topic, count) => consume(kafka, servers, topic, count),
      exactlyOnce: (from, to, count) => exactlyOnce(kafka, servers, from, to, count)
    }
  }
}

async function load(): Promise<Package> {
  return ((await import(name)) as { readonly default: Package }).default
}

const called = <Result = void>(call: (done: (error: Error | null, result?: Result) => void) => void): Promise<Result> =>
  promisify(call)() as Promise<Result>

async function openProducer(kafka: Package, servers: string, more: object): Promise<NativeProducer> {
  const common = { 'bootstrap.servers': servers, 'linger.ms': 5, 'queue.buffering.max.messages': queued }
  const producer = new kafka.Producer({ ...common, acks: 'all', partitioner: 'murmur2_random', ...more })
  await called(done => producer.connect({}, done))
  return producer
}

async function openConsumer(kafka: Package, servers: string, topic: string): Promise<NativeConsumer> {
  const consumer = new kafka.KafkaConsumer(
    {
      ...{ 'bootstrap.servers': servers, 'group.id': fresh('raw'), 'enable.auto.commit': false },
      'isolation.level': 'read_committed'
    },
    { 'auto.offset.reset': 'earliest' }
  )
  await called(done => consumer.connect({}, done))
  consumer.subscribe([topic])
  return consumer
}

/** Waits while the client holds too many records. */
async function send(producer: NativeProducer, topic: string, value: Buffer, key: Buffer): Promise<void> {
  for (;;) {
    try {
      return producer.produce(topic, null, value, key)
    } catch (error) {
      if ((error as { readonly code?: number }).code !== tooMany) throw error
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  }
}

async function produce(kafka: Package, servers: string, topic: string, count: number): Promise<Run> {
  const producer = await openProducer(kafka, servers, { dr_cb: true })
  producer.setPollInterval(5)
  const clock = new Clock()
  const stored = Promise.withResolvers<void>()
  let reports = 0
  producer.on('delivery-report', error => {
    if (error) stored.reject(error)
    if (++reports === count) stored.resolve()
  })
  clock.start()
  for (let index = 0; index < count; index++) {
    const { key, value } = recordAt(index)
    await send(producer, topic, value, key)
  }
  await stored.promise
  clock.stop(count)
  await called(done => producer.disconnect(done))
  return clock.run
}

async function consume(kafka: Package, servers: string, topic: string, count: number): Promise<Run> {
  const consumer = await openConsumer(kafka, servers, topic)
  const clock = new Clock()
  for (let seen = 0; seen < count;) {
    const messages = await called<NativeMessage[]>(done => consumer.consume(batchRecords, done))
    if (messages.length > 0) clock.start()
    seen += messages.length
  }
  clock.stop(count)
  await called(done => consumer.disconnect(done))
  return clock.run
}

async function exactlyOnce(kafka: Package, servers: string, from: string, to: string, count: number): Promise<Run> {
  const producer = await openProducer(kafka, servers, { 'transactional.id': fresh('transaction') })
  await called(done => producer.initTransactions(timeout, done))
  const consumer = await openConsumer(kafka, servers, from)
  const clock = new Clock()
  let [seen, batch]: [number, NativeMessage[]] = [0, []]
  while (seen < count) {
    const messages = await called<NativeMessage[]>(done => consumer.consume(batchRecords - batch.length, done))
    if (messages.length > 0) clock.start()
    batch.push(...messages)
    seen += messages.length
    if (batch.length === 0 || (batch.length < batchRecords && seen < count)) continue
    await called(done => producer.beginTransaction(done))
    for (const { key, value } of batch) await send(producer, to, value, key)
    const last = new Map(
      batch.map(({ topic, partition, offset }) => [partition, { topic, partition, offset: offset + 1 }])
    )
    await called(done => producer.sendOffsetsToTransaction([...last.values()], consumer, timeout, done))
    await called(done => producer.commitTransaction(timeout, done))
    batch = []
  }
  clock.stop(count)
  await called(done => consumer.disconnect(done))
  await called(done => producer.disconnect(done))
  return clock.run
}

import type { Consumer, Message, MessagesStream, Producer } from '@platformatic/kafka'
import { Clock, type Run } from '../measure.ts'
import { batchRecords, fresh, inBatches, recordAt } from '../records.ts'
import { missingPackage, type Driver } from './driver.ts'

type BytesMessage = Message<Buffer, Buffer, Buffer, Buffer>
type BytesConsumer = Consumer<Buffer, Buffer, Buffer, Buffer>
type BytesStream = MessagesStream<Buffer, Buffer, Buffer, Buffer>
const readCommitted = 1

export const platformatic: Driver = {
  name: '@platformatic/kafka',
  missing: () => missingPackage('@platformatic/kafka', () => import('@platformatic/kafka')),
  async open(servers) {
    return {
      produce: (topic, count) => produce(servers, topic, count),
      consume: (topic, count) => consume(servers, topic, count),
      exactlyOnce: (from, to, count) => exactlyOnce(servers, from, to, count)
    }
  }
}

async function produce(servers: string, topic: string, count: number): Promise<Run> {
  const { Producer } = await import('@platformatic/kafka')
  const producer = new Producer({ clientId: 'raw', bootstrapBrokers: [servers], acks: -1 })
  const clock = new Clock()
  clock.start()
  await inBatches(count, (from, to) =>
    producer.send({
      acks: -1,
      messages: Array.from({ length: to - from }, (_, index) => ({ topic, ...recordAt(from + index) }))
    })
  )
  clock.stop(count)
  await producer.close()
  return clock.run
}

async function reader(servers: string, topic: string): Promise<{ consumer: BytesConsumer; stream: BytesStream }> {
  const { Consumer } = await import('@platformatic/kafka')
  const consumer: BytesConsumer = new Consumer({ clientId: 'raw', bootstrapBrokers: [servers], groupId: fresh('raw') })
  const stream = await consumer.consume({
    ...{ topics: [topic], mode: 'earliest', maxWaitTime: 200, autocommit: false, isolationLevel: readCommitted },
    // What one fetch brings: the default of 1,024 stands still between fetches.
    highWaterMark: 4 * batchRecords
  })
  return { consumer, stream }
}

async function consume(servers: string, topic: string, count: number): Promise<Run> {
  const { consumer, stream } = await reader(servers, topic)
  const clock = new Clock()
  let seen = 0
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('data', () => {
      clock.start()
      if (++seen === count) resolve()
    })
  })
  clock.stop(count)
  await stream.close()
  await consumer.close(true)
  return clock.run
}

async function exactlyOnce(servers: string, from: string, to: string, count: number): Promise<Run> {
  const { Producer } = await import('@platformatic/kafka')
  const { consumer, stream } = await reader(servers, from)
  const producer: Producer<Buffer, Buffer, Buffer, Buffer> = new Producer({
    ...{ clientId: 'raw', bootstrapBrokers: [servers], idempotent: true, transactionalId: fresh('transaction') },
    // The next transaction has to wait a moment for the end of the one before.
    retryDelay: 5
  })
  const clock = new Clock()
  let [seen, batch]: [number, BytesMessage[]] = [0, []]
  for await (const message of stream as AsyncIterable<BytesMessage>) {
    clock.start()
    batch.push(message)
    seen++
    if (batch.length < batchRecords && seen < count) continue
    await commit(producer, consumer, to, batch)
    batch = []
    if (seen >= count) break
  }
  clock.stop(count)
  await producer.close()
  await consumer.close(true)
  return clock.run
}

async function commit(
  producer: Producer<Buffer, Buffer, Buffer, Buffer>,
  consumer: BytesConsumer,
  topic: string,
  batch: readonly BytesMessage[]
): Promise<void> {
  const transaction = await producer.beginTransaction()
  await transaction.addConsumer(consumer)
  await transaction.send({ messages: batch.map(({ key, value }) => ({ topic, key, value })) })
  // The last of each partition speaks for those before it.
  const last = new Map(batch.map(message => [message.partition, message]))
  for (const message of last.values()) await transaction.addOffset(message)
  await transaction.commit()
}

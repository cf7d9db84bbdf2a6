/**
 * The loops that a careful user of kafkajs would write, tuned: what ours is compared with. The types are those of the
 * package itself; here it is the subject.
 */
import type { EachBatchPayload, Kafka, KafkaMessage, Producer, RetryOptions } from 'kafkajs'
import { Clock, type Run } from '../measure.ts'
import { batchRecords, fresh, inBatches, partitions, recordAt, type Shape } from '../records.ts'

/** A client of `host:port`, silent. */
export async function rawKafka(servers: string, clientId = 'raw', retry: RetryOptions = {}): Promise<Kafka> {
  const kafkajs = (await import('kafkajs')).default
  return new kafkajs.Kafka({ brokers: [servers], logLevel: kafkajs.logLevel.NOTHING, clientId, retry })
}

/** `send` of 5,000 records, 4 on their way, acknowledged by all replicas. */
export async function rawProduce(kafka: Kafka, topic: string, count: number, shape: Shape = {}): Promise<Run> {
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const clock = new Clock()
  clock.start()
  const send = (from: number, to: number): Promise<unknown> =>
    producer.send({
      topic,
      acks: -1,
      messages: Array.from({ length: to - from }, (_, index) => recordAt(from + index, shape))
    })
  await inBatches(count, send, shape.bytes)
  clock.stop(count)
  await producer.disconnect()
  return clock.run
}

/** `eachBatch`, from the first batch to the last record. */
export async function rawConsume(kafka: Kafka, topic: string, count: number): Promise<Run> {
  const clock = new Clock()
  let seen = 0
  const consumer = kafka.consumer({ groupId: fresh('raw'), maxWaitTimeInMs: 200 })
  await eachBatch(consumer, topic, 1, async ({ batch }, done) => {
    clock.start()
    seen += batch.messages.length
    if (seen < count) return
    clock.stop(seen)
    done()
  })
  return clock.run
}

/**
 * Consume, transform, produce in transactions of about 5,000 records, offsets included. `initialRetryTime: 5` on the
 * transactional client alone: with the default of 300 ms most of the time goes into waiting for the last transaction's
 * end. One producer per partition, and the partitions side by side: faster than one producer for all of them, and the
 * only form that is sound on kafkajs.
 */
export async function rawExactlyOnce(
  kafka: Kafka,
  transactional: Kafka,
  from: string,
  to: string,
  count: number,
  producers: number = partitions
): Promise<Run> {
  const id = fresh('transaction')
  const open = async (index: number): Promise<Producer> => {
    const options = { idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false }
    const producer = transactional.producer({ ...options, transactionalId: `${id}-${index}` })
    await producer.connect()
    return producer
  }
  const opened = await Promise.all(Array.from({ length: producers }, (_, index) => open(index)))
  const clock = new Clock()
  let seen = 0
  const groupId = fresh('raw')
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200, readUncommitted: false })
  const commit = async (partition: number, messages: readonly KafkaMessage[]): Promise<void> => {
    const transaction = await opened[partition % producers]!.transaction()
    await transaction.send({ topic: to, acks: -1, messages: messages.map(({ key, value }) => ({ key, value })) })
    const offset = String(BigInt(messages.at(-1)!.offset) + 1n)
    await transaction.sendOffsets({
      consumerGroupId: groupId,
      topics: [{ topic: from, partitions: [{ partition, offset }] }]
    })
    await transaction.commit()
  }
  await eachBatch(consumer, from, producers, async ({ batch, heartbeat }, done) => {
    clock.start()
    // Batches of the broker vary in size: parts of about 5,000, none of them a small rest.
    const parts = Math.max(1, Math.round(batch.messages.length / batchRecords))
    for (let part = 0; part < parts; part++) {
      const [start, end] = [part, part + 1].map(edge => Math.round((edge * batch.messages.length) / parts)) as [
        number,
        number
      ]
      await commit(batch.partition, batch.messages.slice(start, end))
      await heartbeat()
    }
    seen += batch.messages.length
    if (seen < count) return
    clock.stop(seen)
    done()
  })
  for (const producer of opened) await producer.disconnect()
  return clock.run
}

/** Reads a topic from its start until `eachBatch` says that it is done. */
export async function eachBatch(
  consumer: ReturnType<Kafka['consumer']>,
  topic: string,
  concurrently: number,
  onBatch: (payload: EachBatchPayload, done: () => void) => Promise<void>
): Promise<void> {
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  try {
    await new Promise<void>((resolve, reject) => {
      const crashed = consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      void consumer
        .run({
          autoCommit: true,
          partitionsConsumedConcurrently: concurrently,
          eachBatch: payload =>
            onBatch(payload, () => {
              crashed()
              resolve()
            })
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
}

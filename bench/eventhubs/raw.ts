/**
 * The loops that a careful user of `@azure/event-hubs` would write, tuned: what ours is compared with. The types are those of
 * the package itself; here it is the subject.
 */
import { EventHubConsumerClient, EventHubProducerClient } from '@azure/event-hubs'
import { Clock, type Run } from '../measure.ts'
import { inBatches, partitions, recordAt } from '../records.ts'

const options = { retryOptions: { maxRetries: 0, timeoutInMs: 30_000 } }

/** Publications as large as they may be, by partition, 4 batches of 5,000 records on their way. The key is a property. */
export async function rawProduce(connectionString: string, hub: string, count: number): Promise<Run> {
  const producer = new EventHubProducerClient(connectionString, hub, options)
  const clock = new Clock()
  clock.start()
  await inBatches(count, (from, to) =>
    Promise.all(Array.from({ length: partitions }, (_, partition) => publish(producer, partition, from, to)))
  )
  clock.stop(count)
  await producer.close()
  return clock.run
}

async function publish(producer: EventHubProducerClient, partition: number, from: number, to: number): Promise<void> {
  const partitionId = String(partition)
  let batch = await producer.createBatch({ partitionId })
  for (let index = from + partition; index < to; index += partitions) {
    const { key, value } = recordAt(index)
    const event = { body: value, properties: { key: key.toString() } }
    if (batch.tryAdd(event)) continue
    await producer.sendBatch(batch)
    batch = await producer.createBatch({ partitionId })
    batch.tryAdd(event)
  }
  if (batch.count > 0) await producer.sendBatch(batch)
}

/** `subscribe` to all partitions, with large batches, from the first event to the last one. */
export async function rawConsume(connectionString: string, hub: string, count: number): Promise<Run> {
  const consumer = new EventHubConsumerClient('$Default', connectionString, hub, options)
  const clock = new Clock()
  let seen = 0
  await new Promise<void>((resolve, reject) => {
    consumer.subscribe(
      {
        async processEvents(events) {
          clock.start()
          seen += events.length
          if (seen < count) return
          clock.stop(seen)
          resolve()
        },
        async processError(error) {
          reject(error)
        }
      },
      {
        startPosition: { offset: '-1' },
        maxBatchSize: 2_000,
        prefetchCount: 4_000,
        maxWaitTimeInSeconds: 1,
        skipParsingBodyAsJson: true
      }
    )
  })
  await consumer.close()
  return clock.run
}

/**
 * The loops that a careful user of `@google-cloud/pubsub` would write, tuned: what ours is compared with. Requests of 1,000
 * messages; a subscription for each partition, with a filter on an attribute, so that the server has the same to do for
 * both.
 */
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub'
import { Clock, type Run } from '../measure.ts'
import { fresh, inBatches, partitions, recordAt } from '../records.ts'

/** The key as an attribute, as ours; acknowledged by the service. */
export async function rawProduce(client: PubSub, topic: string, count: number): Promise<Run> {
  const publisher = client.topic(topic, { batching: { maxMessages: 1_000, maxMilliseconds: 5, maxBytes: 9_000_000 } })
  const clock = new Clock()
  clock.start()
  await inBatches(count, (from, to) => {
    const sent: Promise<string>[] = []
    for (let index = from; index < to; index++) {
      const { key, value } = recordAt(index)
      const attributes = { key: key.toString(), partition: String(index % partitions) }
      sent.push(publisher.publishMessage({ data: value, attributes }))
    }
    return Promise.all(sent)
  })
  clock.stop(count)
  return clock.run
}

/** One subscription per partition: they must be there before the messages. */
export async function rawSubscriptions(client: PubSub, topic: string): Promise<string[]> {
  const names = Array.from({ length: partitions }, () => fresh('raw'))
  await Promise.all(
    names.map((name, partition) =>
      client.topic(topic).createSubscription(name, { filter: `attributes.partition = "${partition}"` })
    )
  )
  return names
}

/** From the first message to the last, each acknowledged when it is there. */
export async function rawConsume(client: PubSub, names: readonly string[], count: number): Promise<Run> {
  const clock = new Clock()
  let seen = 0
  const flowControl = { maxMessages: 20_000, maxBytes: 16 * 1024 * 1024, allowExcessMessages: true }
  const subscriptions: Subscription[] = []
  await new Promise<void>((resolve, reject) => {
    for (const name of names) {
      const subscription = client.subscription(name, { flowControl, streamingOptions: { maxStreams: 1 } })
      subscriptions.push(subscription)
      subscription.on('error', reject)
      subscription.on('message', (message: Message) => {
        clock.start()
        message.ack()
        if (++seen === count) resolve()
      })
    }
  })
  clock.stop(seen)
  await Promise.all(subscriptions.map(subscription => subscription.close()))
  return clock.run
}

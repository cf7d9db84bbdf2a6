import { connect } from '../../src/index.ts'
import type { EventhubsServer } from '../../testcontainers/eventhubs.ts'
import { progress, sideBySide, type Figure } from '../measure.ts'
import { assertHolds, consume, process, produce } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { alone } from '../measure.ts'
import { rawConsume, rawProduce } from './raw.ts'

export interface EventhubsSizes {
  readonly produce: number
  readonly consume: number
  readonly exactlyOnce: number
  readonly pairs: number
}

/**
 * Ours beside the raw `@azure/event-hubs` loop, on one double. The double is a Node process on the same machine, about as
 * busy as the client: the figures compare two ways of using it, and say nothing of the service.
 */
export async function benchEventhubs(
  server: EventhubsServer,
  sizes: EventhubsSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const figures: Figure[] = []
  await using client = await connect({ brokers: { default: server.url }, store: 'memory:', variables: {} })
  const { connectionString } = server
  const freshTopic = async (name: string): Promise<ReturnType<typeof byteTopic>> => {
    const topic = byteTopic(fresh(name))
    await client.admin.create(topic)
    return topic
  }
  progress('eventhubs: filling hubs, warming up')
  const [own, raw] = [await freshTopic('own'), await freshTopic('raw')]
  await produce(client, own, Math.max(sizes.consume, sizes.exactlyOnce))
  await rawProduce(connectionString, raw.name, sizes.consume)

  if (wanted('eventhubs produce'))
    figures.push(
      await sideBySide(
        'eventhubs produce',
        sizes.pairs,
        async () => produce(client, await freshTopic('own'), sizes.produce),
        async () => {
          const topic = await freshTopic('raw')
          const run = await rawProduce(connectionString, topic.name, sizes.produce)
          await assertHolds(client, topic, sizes.produce)
          return run
        }
      )
    )
  if (wanted('eventhubs consume'))
    figures.push(
      await sideBySide(
        'eventhubs consume',
        sizes.pairs,
        () => consume(client, own, sizes.consume),
        () => rawConsume(connectionString, raw.name, sizes.consume)
      )
    )
  if (wanted('eventhubs exactly-once'))
    figures.push(
      await alone('eventhubs exactly-once', sizes.pairs, async () =>
        process(client, own, await freshTopic('own-out'), Math.max(sizes.consume, sizes.exactlyOnce), false)
      )
    )
  return figures
}

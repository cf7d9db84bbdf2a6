import { connect, type Client } from '../../src/index.ts'
import type { Server } from '../../testcontainers/server.ts'
import { progress, sideBySide, type Figure } from '../measure.ts'
import { assertHolds, consume, process, produce } from '../ours.ts'
import { byteTopic, fresh, type Shape } from '../records.ts'
import { rawKafka, rawConsume, rawExactlyOnce, rawProduce } from './raw.ts'

export interface KafkaSizes {
  readonly produce: number
  readonly consume: number
  readonly exactlyOnce: number
  readonly pairs: number
}

/** Ours beside the raw kafkajs loop, on one server. Each side reads what it has written itself. */
export async function benchKafka(
  server: Server,
  sizes: KafkaSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const { host } = new URL(server.url)
  const kafka = await rawKafka(host)
  const transactional = await rawKafka(host, 'raw-transactional', { initialRetryTime: 5 })
  const figures: Figure[] = []
  await using client = await connect({ brokers: { default: server.url }, variables: {} })

  const freshTopic = async (name: string): Promise<ReturnType<typeof byteTopic>> => {
    const topic = byteTopic(fresh(name))
    await client.admin.create(topic)
    return topic
  }
  // Both code paths are compiled, and both sides' topics are filled, before anything is timed.
  progress('kafka: filling topics, warming up')
  const [own, raw] = [await freshTopic('own'), await freshTopic('raw')]
  const most = Math.max(sizes.consume, sizes.exactlyOnce)
  await produce(client, own, most)
  await rawProduce(kafka, raw.name, most)

  const producing = (name: string, count: number, shape: Shape = {}): Promise<Figure> =>
    sideBySide(
      name,
      sizes.pairs,
      async () => produce(client, await freshTopic('own'), count, shape),
      async () => {
        const topic = await freshTopic('raw')
        const run = await rawProduce(kafka, topic.name, count, shape)
        await assertHolds(client, topic, count)
        return run
      }
    )
  const large: Shape = { bytes: 1_024 }
  const share = 4

  if (wanted('kafka produce')) figures.push(await producing('kafka produce', sizes.produce))
  if (wanted('kafka produce of 1 KiB'))
    figures.push(await producing('kafka produce of 1 KiB', sizes.produce / share, large))
  if (wanted('kafka consume'))
    figures.push(
      await sideBySide(
        'kafka consume',
        sizes.pairs,
        () => consume(client, own, sizes.consume),
        () => rawConsume(kafka, raw.name, sizes.consume)
      )
    )
  if (wanted('kafka consume of 1 KiB')) {
    const count = sizes.consume / share
    const [ownLarge, rawLarge] = [await freshTopic('own'), await freshTopic('raw')]
    await produce(client, ownLarge, count, large)
    await rawProduce(kafka, rawLarge.name, count, large)
    figures.push(
      await sideBySide(
        'kafka consume of 1 KiB',
        sizes.pairs,
        () => consume(client, ownLarge, count),
        () => rawConsume(kafka, rawLarge.name, count)
      )
    )
  }
  if (wanted('kafka exactly-once')) figures.push(await exactlyOnce(client, sizes))
  return figures

  async function exactlyOnce(on: Client, { exactlyOnce: count, pairs }: KafkaSizes): Promise<Figure> {
    const [ownInput, rawInput] = [await freshTopic('own-in'), await freshTopic('raw-in')]
    await produce(on, ownInput, count)
    await rawProduce(kafka, rawInput.name, count)
    return sideBySide(
      'kafka exactly-once',
      pairs,
      async () => process(on, ownInput, await freshTopic('own-out'), count, false),
      async () => rawExactlyOnce(kafka, transactional, rawInput.name, (await freshTopic('raw-out')).name, count)
    )
  }
}

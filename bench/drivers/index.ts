import { connect, type Client } from '../../src/index.ts'
import { kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Bench } from '../bench.ts'
import { progress, sideBySide, type Figure, type Run } from '../measure.ts'
import { consume, process, produce, recount } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { confluent } from './confluent.ts'
import type { OpenDriver } from './driver.ts'
import { platformatic } from './platformatic.ts'

const known = [platformatic, confluent] as const
const works = ['produce', 'consume', 'exactly-once'] as const

interface Sizes {
  readonly produce: number
  readonly consume: number
  readonly exactlyOnce: number
  readonly pairs: number
}

/** Ours, which uses the connections of kafkajs, beside the raw loops of the other clients of Kafka; that of kafkajs is in `kafka`. */
export const drivers: Bench = {
  figures: known.flatMap(({ name }) => works.map(work => `${work}, beside ${name}`)),
  reason: kafkaAvailable,
  async run(wanted, quick, skip) {
    const sizes = quick
      ? { produce: 50_000, consume: 50_000, exactlyOnce: 30_000, pairs: 1 }
      : { produce: 400_000, consume: 1_000_000, exactlyOnce: 200_000, pairs: 5 }
    await using server = await startKafka({ heap: '768m' })
    await using client = await connect({ brokers: { default: server.url }, variables: {} })
    const figures: Figure[] = []
    for (const driver of known) {
      const own = works.filter(work => wanted(`drivers ${work}, beside ${driver.name}`))
      const reason = own.length > 0 ? await driver.missing() : undefined
      if (reason) for (const work of own) skip(`drivers ${work}, beside ${driver.name}`, reason)
      else if (own.length > 0)
        figures.push(...(await beside(client, driver.name, await driver.open(new URL(server.url).host), sizes, own)))
    }
    return figures
  }
}

async function beside(
  client: Client,
  name: string,
  raw: OpenDriver,
  sizes: Sizes,
  wanted: readonly (typeof works)[number][]
): Promise<Figure[]> {
  const freshTopic = async (what: string): Promise<ReturnType<typeof byteTopic>> => {
    const topic = byteTopic(fresh(what))
    await client.admin.create(topic)
    return topic
  }
  progress(`drivers: filling topics with ours and ${name}`)
  const [own, theirs] = [await freshTopic('own'), await freshTopic('raw')]
  const most = Math.max(sizes.consume, sizes.exactlyOnce)
  await produce(client, own, most)
  await raw.produce(theirs.name, most)
  const runs: Readonly<Record<(typeof works)[number], readonly [() => Promise<Run>, () => Promise<Run>]>> = {
    produce: [
      async () => produce(client, await freshTopic('own'), sizes.produce),
      async () => {
        const topic = await freshTopic('raw')
        const run = await raw.produce(topic.name, sizes.produce)
        await recount(client, topic, sizes.produce, false)
        return run
      }
    ],
    consume: [() => consume(client, own, sizes.consume), () => raw.consume(theirs.name, sizes.consume)],
    'exactly-once': [
      async () => process(client, await input(), await freshTopic('own-out'), sizes.exactlyOnce, false),
      async () => {
        const to = await freshTopic('raw-out')
        const run = await raw.exactlyOnce((await input()).name, to.name, sizes.exactlyOnce)
        await recount(client, to, sizes.exactlyOnce, false)
        return run
      }
    ]
  }
  let filled: ReturnType<typeof byteTopic> | undefined
  // One for both, and not longer than what is read of it: what comes out is counted.
  const input = async (): Promise<ReturnType<typeof byteTopic>> => {
    if (filled) return filled
    filled = await freshTopic('in')
    await produce(client, filled, sizes.exactlyOnce)
    return filled
  }
  const figures: Figure[] = []
  for (const work of wanted)
    figures.push(await sideBySide(`drivers ${work}, beside ${name}`, sizes.pairs, ...runs[work]))
  return figures
}

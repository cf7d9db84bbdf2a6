import { PubSub } from '@google-cloud/pubsub'
import { fromUrl } from '../../src/adapters/pubsub/index.ts'
import { connect } from '../../src/index.ts'
import type { PubsubServer } from '../../testcontainers/pubsub.ts'
import { Clock, type Figure, progress, type Run, sideBySide } from '../measure.ts'
import { byteTopic, entries, fresh, inBatches } from '../records.ts'
import { rawConsume, rawProduce, rawSubscriptions } from './raw.ts'

export interface PubsubSizes {
  readonly produce: number
  readonly consume: number
  readonly pairs: number
}

type ByteTopic = ReturnType<typeof byteTopic>

/**
 * Ours beside the loop over Google's own client, on Google's fake: the figures compare two ways of using it, and say
 * nothing of the service. A queue is empty once it is read, so each run of reading has messages of its own.
 */
export async function benchPubsub(
  server: PubsubServer,
  sizes: PubsubSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  await using client = await connect({ brokers: { default: server.url }, store: 'memory:', variables: {} })
  const raw = rawClient(server)
  const figures: Figure[] = []
  const group = 'bench'

  const made = async (): Promise<ByteTopic> => {
    const topic = byteTopic(fresh('topic'))
    await client.admin.create(topic)
    return topic
  }
  const produce = async (topic: ByteTopic, count: number): Promise<Run> => {
    const producer = await client.producer(topic)
    const clock = new Clock()
    clock.start()
    await inBatches(count, (from, to) => producer.sendAll(entries(from, to)))
    clock.stop(count)
    await producer.close()
    return clock.run
  }
  const consume = async (topic: ByteTopic, count: number): Promise<Run> => {
    const clock = new Clock()
    let seen = 0
    const stop = new AbortController()
    for await (const records of client.consumer(topic, { group, signal: stop.signal }).batches()) {
      clock.start()
      seen += records.length
      if (seen < count || stop.signal.aborted) continue
      clock.stop(seen)
      stop.abort() // not `break`: what was read last is acknowledged, too
    }
    if (seen !== count) throw new Error(`${count} records were written to '${topic.name}', ${seen} came`)
    await client.admin.delete(topic)
    return clock.run
  }
  // The fake looks at everything that waits a hundred times a second: nobody subscribes while writing is timed.
  const written = async (write: (topic: ByteTopic) => Promise<Run>): Promise<Run> => {
    const topic = await made()
    const run = await write(topic)
    await client.admin.delete(topic)
    return run
  }
  const ownRead = async (count: number): Promise<Run> => {
    const topic = await made()
    await client.admin.ensureGroup(group, topic)
    await produce(topic, count)
    return consume(topic, count)
  }
  const rawRead = async (count: number): Promise<Run> => {
    const topic = await made()
    const names = await rawSubscriptions(raw, topic.name)
    await rawProduce(raw, topic.name, count)
    const run = await rawConsume(raw, names, count)
    await Promise.all(names.map(name => raw.subscription(name).delete()))
    await client.admin.delete(topic)
    return run
  }

  progress('pubsub: warming up')
  const warm = Math.min(5_000, sizes.consume)
  await ownRead(warm)
  await rawRead(warm)
  if (wanted('pubsub produce')) {
    const own = (): Promise<Run> => written(topic => produce(topic, sizes.produce))
    const other = (): Promise<Run> => written(topic => rawProduce(raw, topic.name, sizes.produce))
    figures.push(await sideBySide('pubsub produce', sizes.pairs, own, other))
  }
  if (wanted('pubsub consume')) {
    const own = (): Promise<Run> => ownRead(sizes.consume)
    const other = (): Promise<Run> => rawRead(sizes.consume)
    figures.push(await sideBySide('pubsub consume', sizes.pairs, own, other))
  }
  await raw.close()
  return figures
}

function rawClient({ url }: PubsubServer): PubSub {
  const { projectId, emulator } = fromUrl(url)
  return new PubSub({
    projectId: projectId!,
    apiEndpoint: emulator!,
    emulatorMode: true,
    clientOptions: { universeDomain: 'googleapis.com' }
  })
}

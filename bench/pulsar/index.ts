import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/index.ts'
import type { Server } from '../../testcontainers/server.ts'
import { progress, sideBySide, type Figure } from '../measure.ts'
import { assertHolds, consume, produce } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { rawConsume, rawProduce } from './raw.ts'

export interface PulsarSizes {
  readonly produce: number
  readonly consume: number
  readonly pairs: number
}

/** Ours beside the raw loop over Pulsar's WebSocket API, on one server. Each side reads what it has written itself. */
export async function benchPulsar(
  server: Server,
  sizes: PulsarSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const figures: Figure[] = []
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  try {
    // Positions of the consumers' groups are in a store: Pulsar has no groups for readers.
    const store = `sqlite:${join(folder, 'store.db')}`
    await using client = await connect({ brokers: { default: server.url }, store, variables: {} })
    const freshTopic = async (name: string): Promise<ReturnType<typeof byteTopic>> => {
      const topic = byteTopic(fresh(name))
      await client.admin.create(topic)
      return topic
    }
    // Both code paths are compiled, here and in the server, and both sides' topics are filled, before anything is timed.
    progress('pulsar: filling topics, warming up')
    const [own, raw] = [await freshTopic('own'), await freshTopic('raw')]
    await produce(client, own, sizes.consume)
    await rawProduce(server.url, raw.name, sizes.consume)

    if (wanted('pulsar produce'))
      figures.push(
        await sideBySide(
          'pulsar produce',
          sizes.pairs,
          async () => produce(client, await freshTopic('own'), sizes.produce),
          async () => {
            const topic = await freshTopic('raw')
            const run = await rawProduce(server.url, topic.name, sizes.produce)
            await assertHolds(client, topic, sizes.produce)
            return run
          }
        )
      )
    if (wanted('pulsar consume')) {
      await consume(client, own, sizes.consume)
      await rawConsume(server.url, raw.name, sizes.consume)
      figures.push(
        await sideBySide(
          'pulsar consume',
          sizes.pairs,
          () => consume(client, own, sizes.consume),
          () => rawConsume(server.url, raw.name, sizes.consume)
        )
      )
    }
    return figures
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

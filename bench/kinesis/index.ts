import { KinesisClient } from '@aws-sdk/client-kinesis'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { fromUrl, kinesis } from '../../src/adapters/kinesis/index.ts'
import { connect, type Client } from '../../src/index.ts'
import type { KinesisServer } from '../../testcontainers/kinesis.ts'
import { Clock, type Figure, progress, type Run, sideBySide } from '../measure.ts'
import { consume } from '../ours.ts'
import { byteTopic, fresh, inBatches, recordAt } from '../records.ts'
import { rawConsume, rawProduce, type RecordOf } from './raw.ts'
import { limitShard } from './shard-limit.ts'

export interface KinesisSizes {
  readonly produce: number
  readonly consume: number
  /** Small records into one shard, raw and ours. */
  readonly perShard: { readonly raw: number; readonly ours: number }
  readonly pairs: number
}

type ByteTopic = ReturnType<typeof byteTopic>

/**
 * Ours beside the raw `@aws-sdk/client-kinesis` loop, on one local server, a Node process that is slower than either: the
 * figures compare two ways of using it, and say nothing of the service. Each side reads what it has written itself.
 */
export async function benchKinesis(
  server: KinesisServer,
  sizes: KinesisSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const raw = rawClient(server)
  await using client = await connect({ brokers: { default: server.url }, store: 'memory:', variables: {} })
  const figures: Figure[] = []
  const made = async (name: string): Promise<ByteTopic> => {
    const topic = byteTopic(fresh(name))
    await client.admin.create(topic)
    return topic
  }

  progress('kinesis: filling streams, warming up')
  const [own, plain] = [await made('own'), await made('raw')]
  await produce(client, own, sizes.consume)
  await rawProduce(raw, plain.name, sizes.consume)
  if (wanted('kinesis produce'))
    figures.push(
      await sideBySide(
        'kinesis produce',
        sizes.pairs,
        async () => checked(client, await made('own'), sizes.produce, topic => produce(client, topic, sizes.produce)),
        async () =>
          checked(client, await made('raw'), sizes.produce, topic => rawProduce(raw, topic.name, sizes.produce))
      )
    )
  if (wanted('kinesis consume'))
    figures.push(
      await sideBySide(
        'kinesis consume',
        sizes.pairs,
        () => consume(client, own, sizes.consume),
        () => rawConsume(raw, plain.name, sizes.consume)
      )
    )
  if (wanted('kinesis one shard, limits kept')) figures.push(await perShard(server, sizes))
  raw.destroy()
  return figures
}

/** Both ways into one shard that refuses what AWS would refuse: 1 MiB and 1,000 records a second. */
async function perShard(server: KinesisServer, { perShard: counts, pairs }: KinesisSizes): Promise<Figure> {
  const raw = rawClient(server)
  limitShard(raw)
  const adapter = kinesis(fromUrl(server.url))
  await using client = await connect({ brokers: { default: adapter }, store: 'memory:', variables: {} })
  limitShard(adapter.native)
  const made = async (name: string): Promise<ByteTopic> => {
    const topic = byteTopic(fresh(name))
    await client.admin.create(topic, { settings: { shards: '1' } })
    return topic
  }
  const run = async (topic: ByteTopic, count: number, write: (topic: ByteTopic) => Promise<Run>): Promise<Run> => {
    // The second's worth that a fresh shard would take at once is no rate.
    await new Promise(resolve => setTimeout(resolve, 1_500))
    await write(topic)
    return checked(client, topic, 2 * count, write)
  }
  const figure = await sideBySide(
    'kinesis one shard, limits kept',
    pairs,
    async () => run(await made('own'), counts.ours, topic => produce(client, topic, counts.ours, smallAt)),
    async () => run(await made('raw'), counts.raw, topic => rawProduce(raw, topic.name, counts.raw, smallAt))
  )
  raw.destroy()
  return figure
}

/** 20-byte values: what a shard takes of larger ones is a matter of bytes, however they are packed. */
const smallAt: RecordOf = index => {
  const { key, value } = recordAt(index % 1_000)
  return { key, value: value.subarray(0, 20) }
}

/** Throws when the topic does not hold what was written: a figure for records that are not there is none. */
async function checked(
  client: Client,
  topic: ByteTopic,
  count: number,
  write: (topic: ByteTopic) => Promise<Run>
): Promise<Run> {
  const run = await write(topic)
  const { records } = await consume(client, topic, count)
  if (records !== count) throw new Error(`${count} records were sent to '${topic.name}', it holds ${records}`)
  return run
}

/** As `produce` of `bench/ours.ts`, which counts what is there by the backlog: Kinesis has none in records. */
async function produce(client: Client, topic: ByteTopic, count: number, recordOf: RecordOf = recordAt): Promise<Run> {
  const producer = await client.producer(topic)
  const clock = new Clock()
  clock.start()
  await inBatches(count, (from, to) =>
    producer.sendAll(Array.from({ length: to - from }, (_, index) => recordOf(from + index)))
  )
  clock.stop(count)
  await producer.close()
  return clock.run
}

function rawClient({ endpoint }: KinesisServer): KinesisClient {
  return new KinesisClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    requestHandler: new NodeHttpHandler(),
    maxAttempts: 1
  })
}

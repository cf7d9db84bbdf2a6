/**
 * The loops that a careful user of `@aws-sdk/client-kinesis` would write, tuned: what ours is compared with. Records go out
 * 500 to a request, what is refused goes out again; each shard is looked at five times a second, as AWS allows, for 10,000
 * records at a time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type KinesisClient,
  ListShardsCommand,
  PutRecordsCommand,
  type PutRecordsRequestEntry
} from '@aws-sdk/client-kinesis'
import { Clock, type Run } from '../measure.ts'
import { recordAt } from '../records.ts'

const perRequest = 500
const requestsInFlight = 4
const lookInterval = 200

export type RecordOf = (index: number) => { readonly key: Buffer; readonly value: Buffer }

export async function rawProduce(
  client: KinesisClient,
  stream: string,
  count: number,
  recordOf: RecordOf = recordAt
): Promise<Run> {
  const clock = new Clock()
  clock.start()
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + perRequest)
      await put(
        client,
        stream,
        Array.from({ length: next - from }, (_, index) => entry(recordOf(from + index)))
      )
    }
  }
  await Promise.all(Array.from({ length: requestsInFlight }, lane))
  clock.stop(count)
  return clock.run
}

function entry({ key, value }: ReturnType<RecordOf>): PutRecordsRequestEntry {
  return { Data: value, PartitionKey: key.toString() }
}

async function put(client: KinesisClient, stream: string, entries: readonly PutRecordsRequestEntry[]): Promise<void> {
  for (let left = entries, wait = 20; left.length > 0; wait = Math.min(wait * 2, 500)) {
    const { Records = [] } = await client.send(new PutRecordsCommand({ StreamName: stream, Records: [...left] }))
    left = left.filter((_, index) => Records[index]?.ErrorCode !== undefined)
    if (left.length > 0) await sleep(wait)
  }
}

export async function rawConsume(client: KinesisClient, stream: string, count: number): Promise<Run> {
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName: stream }))
  const clock = new Clock()
  let seen = 0
  const read = async (shard: string): Promise<void> => {
    const where = { StreamName: stream, ShardId: shard, ShardIteratorType: 'TRIM_HORIZON' as const }
    let { ShardIterator: iterator } = await client.send(new GetShardIteratorCommand(where))
    while (iterator !== undefined && seen < count) {
      const asked = performance.now()
      const { Records = [], NextShardIterator } = await client.send(
        new GetRecordsCommand({ ShardIterator: iterator, Limit: 10_000 })
      )
      if (Records.length > 0) clock.start()
      seen += Records.length
      if (seen >= count) return
      iterator = NextShardIterator
      await sleep(Math.max(0, asked + lookInterval - performance.now()))
    }
  }
  await Promise.all(Shards.map(({ ShardId }) => read(ShardId!)))
  clock.stop(seen)
  return clock.run
}

/** Resolves when a new stream can be written to. */
export async function untilActive(client: KinesisClient, stream: string): Promise<void> {
  for (;;) {
    const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName: stream }))
    if (StreamDescriptionSummary?.StreamStatus === 'ACTIVE') return
    await sleep(20)
  }
}

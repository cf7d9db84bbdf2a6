/** What consumers of Azure's own library have left: written by Microsoft's store of checkpoints into Azurite. */
import { setTimeout as wait } from 'node:timers/promises'
import { type CheckpointStore, EventHubConsumerClient } from '@azure/event-hubs'
import { ContainerClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytes, connect, optional, topic as topicOf } from '../../../src/index.ts'
import { type AzuriteServer, azuriteAvailable, startAzurite } from '../../../testcontainers/azurite.ts'
import { failure } from '../../support/failure.ts'
import { createTopic, numbers, send, unique } from '../../support/records.ts'
import { notRun, OwnServer, running } from './server.ts'

const own = new OwnServer()
const reason = running ? await azuriteAvailable() : undefined
let storage: AzuriteServer

beforeAll(async () => {
  if (running && !reason) storage = await startAzurite()
})
afterAll(() => storage?.stop())

async function newContainer(): Promise<ContainerClient> {
  const container = new ContainerClient(storage.connectionString, unique('checkpoints'))
  await container.create()
  return container
}

/** An ordinary consumer: reads all partitions and leaves a checkpoint behind each event that is named. */
async function consumeWithAzure(
  container: ContainerClient,
  hub: string,
  last: readonly number[],
  group = '$Default'
): Promise<void> {
  const { BlobCheckpointStore } = storage.require('@azure/eventhubs-checkpointstore-blob')
  const { ContainerClient: Theirs } = storage.require('@azure/storage-blob')
  const store = new BlobCheckpointStore(
    new Theirs(storage.connectionString, container.containerName)
  ) as CheckpointStore
  const consumer = new EventHubConsumerClient(group, own.server.connectionString, hub, store)
  const done = new Set<string>()
  await new Promise<void>((resolve, reject) => {
    consumer.subscribe(
      {
        async processEvents(events, context) {
          const event = events.find(({ sequenceNumber }) => sequenceNumber === last[Number(context.partitionId)])
          if (!event) return
          await context.updateCheckpoint(event)
          done.add(context.partitionId)
          if (done.size === last.filter(number => number >= 0).length) resolve()
        },
        async processError(error) {
          reject(error)
        }
      },
      { startPosition: { offset: '-1' }, maxWaitTimeInSeconds: 1 }
    )
  })
  // Two consumers of one storage have been seen to hang here.
  await Promise.race([consumer.close(), wait(5_000)])
}

describe.skipIf(!running || reason)(
  `checkpoints of other consumers${notRun}${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    it('a group without a position starts behind them; its own position counts from then on', async () => {
      const admin = await own.open()
      const name = await createTopic(admin, 3)
      for (const partition of [0, 1, 2]) await send(admin, numbers(name, partition, 10))
      const container = await newContainer()
      await consumeWithAzure(container, name, [3, 7, -1])

      const checkpoints = { container: container.containerName, connectionString: storage.connectionString }
      const options = { adapter: 'eventhubs', host: own.server.address, emulator: true, checkpoints } as const
      await using client = await connect({ brokers: { default: options }, store: 'memory:', variables: {} })
      const topic = topicOf(name, { key: optional(bytes), value: bytes })
      const read = async (count: number): Promise<string[]> => {
        const seen: string[] = []
        const signal = AbortSignal.timeout(20_000)
        for await (const batch of client.consumer(topic, { group: 'new', poison: 'throw', signal }).batches()) {
          for (const { partition, value } of batch) seen.push(`${partition}/${Buffer.from(value).toString()}`)
          if (seen.length >= count) break
        }
        return seen.toSorted()
      }
      const rest = (partition: number, from: number, to: number): string[] =>
        Array.from({ length: to - from }, (_, index) => `${partition}/${from + index}`)
      expect(await read(18)).toEqual([...rest(0, 4, 10), ...rest(1, 8, 10), ...rest(2, 0, 10)])
      // The last batch was left unacknowledged; what was done before is not read again, whatever the checkpoints say.
      for (const partition of [0, 1, 2]) await send(admin, numbers(name, partition, 2, 10))
      const again = await read(6)
      expect(again).toEqual(expect.arrayContaining([0, 1, 2].flatMap(partition => rest(partition, 10, 12))))
      expect(again).not.toContain('0/3')
      expect(again).not.toContain('1/7')
    })

    it('are found by the consumer group that left them', async () => {
      const admin = await own.open()
      const name = await createTopic(admin, 2)
      await fetch(`${own.server.management}/eventhubs/${name}/consumergroups/Billing?api-version=2024-01-01`, {
        method: 'PUT'
      })
      for (const partition of [0, 1]) await send(admin, numbers(name, partition, 5))
      const container = await newContainer()
      await consumeWithAzure(container, name, [2, 4], 'Billing')
      const committed = async (consumerGroup?: string): Promise<unknown> => {
        const adapter = await own.open({ checkpoints: { client: container, ...(consumerGroup && { consumerGroup }) } })
        return adapter.admin().committed('any', name)
      }
      expect(await committed('Billing')).toEqual(['2', '4'])
      expect(await committed('BILLING')).toEqual(['2', '4'])
      expect(await committed()).toEqual([undefined, undefined])
    })

    it('an offset alone is refused, and so is a store that cannot be reached or an option that is not complete', async () => {
      const admin = await own.open()
      const name = await createTopic(admin, 1)
      const container = await newContainer()
      const blob = container.getBlockBlobClient(`127.0.0.1/${name}/$default/checkpoint/0`)
      await blob.upload('', 0, { metadata: { offset: '4711' } })
      const adapter = await own.open({ checkpoints: { client: container } })
      const error = await failure(() => adapter.admin().committed('any', name))
      expect(error).toMatchObject({ code: 'corrupt' })
      expect(error.message).toContain('has no sequence number')

      const incomplete = await own.open({ checkpoints: { container: 'x' } })
      expect(await failure(() => incomplete.admin().committed('any', name))).toMatchObject({ code: 'bad-config' })
      const without = await own.open()
      expect(await failure(() => without.admin().committed('any', name))).toMatchObject({ code: 'unsupported' })
    })
  }
)

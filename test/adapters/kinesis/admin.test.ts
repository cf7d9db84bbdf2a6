import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { unique } from '../../support/records.ts'
import { ask, injectFaults, notRun, open, openShards, running } from './server.ts'

describe.runIf(running)('streams', () => {
  let adapter: AnyAdapter
  beforeEach(async () => {
    adapter = await open()
  })
  afterEach(() => adapter.close())

  const create = async (partitions: number, settings: Record<string, string> = {}): Promise<string> => {
    const topic = unique('stream')
    await adapter.admin().createTopic({ topic, partitions, settings })
    return topic
  }

  it('have a shard per partition, four at most, unless it is said', async () => {
    expect(await openShards(adapter, await create(1))).toHaveLength(1)
    expect(await openShards(adapter, await create(3))).toHaveLength(3)
    expect(await openShards(adapter, await create(16))).toHaveLength(4)
    expect(await openShards(adapter, await create(16, { shards: '7' }))).toHaveLength(7)
  })

  it('are made on demand, with tags and a retention', async () => {
    const topic = await create(8, { mode: 'on-demand', retentionHours: '48', 'tags.team': 'orders' })
    const { StreamDescriptionSummary } = await ask(adapter, 'DescribeStreamSummary', { StreamName: topic })
    expect(StreamDescriptionSummary).toMatchObject({
      StreamModeDetails: { StreamMode: 'ON_DEMAND' },
      RetentionPeriodHours: 48
    })
    const { Tags } = await ask(adapter, 'ListTagsForStream', { StreamName: topic })
    expect(Object.fromEntries(Tags.map(({ Key, Value }: { Key: string; Value: string }) => [Key, Value]))).toEqual({
      team: 'orders',
      'tidemark:partitions': '8'
    })
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 8 })
  })

  it('get their tags afterwards from a server that takes none with a new stream', async () => {
    injectFaults(adapter, (name, input) => {
      if (name === 'CreateStream') delete input.Tags
      return undefined
    })
    const topic = await create(5)
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 5 })
    const other = await open()
    expect(await other.admin().describeTopic(topic)).toEqual({ topic, partitions: 5 })
    await other.close()
  })

  it('are listed, however many there are', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `${unique('many')}-${index}`)
    for (const topic of names) await adapter.admin().createTopic({ topic, partitions: 1 })
    injectFaults(adapter, (name, input) => {
      if (name === 'ListStreams') input.Limit = 10
      return undefined
    })
    const listed = await adapter.admin().listTopics()
    expect(listed).toEqual(expect.arrayContaining(names))
    expect(new Set(listed).size).toBe(listed.length)
  })

  it('that were made anew with another partition count are known by the new one', async () => {
    const topic = await create(2)
    const other = await open()
    expect((await other.admin().describeTopic(topic))?.partitions).toBe(2)
    await adapter.admin().deleteTopic(topic)
    expect(await other.admin().describeTopic(topic)).toBeUndefined()
    await adapter.admin().createTopic({ topic, partitions: 6 })
    expect((await other.admin().describeTopic(topic))?.partitions).toBe(6)
    await other.close()
  })
})

it.skipIf(running)(`streams${notRun}`, () => {})

import { createRequire } from 'node:module'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kafka, kafkaCapabilities, type KafkaClient, type KafkaModule } from '../../../src/adapters/kafka/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import {
  broker,
  createTopic,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  record,
  running,
  unique
} from './server.ts'

const kafkajs = createRequire(import.meta.url)('kafkajs') as KafkaModule

describe('the kafka adapter', () => {
  it('is inert until it is opened', async () => {
    const adapter = kafka({ brokers: ['127.0.0.1:1'] })
    expect(adapter.native).toBeUndefined()
    expect(adapter.capabilities).toBe(kafkaCapabilities)
    expect(() => adapter.admin()).toThrow('not been opened')
    await adapter.open(systemEnvironment)
    await adapter.open(systemEnvironment)
    expect(adapter.native).toBeInstanceOf(kafkajs.Kafka)
    await adapter.close()
    expect(adapter.classify(await failure(adapter.producer())).code).toBe('closed')
  })

  it('takes the module of kafkajs, and makes the client itself', async () => {
    const made: object[] = []
    class Kafka extends kafkajs.Kafka {
      constructor(options: object) {
        super(options)
        made.push(options)
      }
    }
    const adapter = kafka({ brokers: ['one:9092'], clientId: 'me', client: { Kafka } })
    await adapter.open(systemEnvironment)
    expect(adapter.native).toBeInstanceOf(Kafka)
    expect(made[0]).toMatchObject({ brokers: ['one:9092'], clientId: 'me' })
    await adapter.close()
  })

  it('refuses a client that is not kafkajs', async () => {
    const stranger: KafkaClient = { consumer: () => ({}), producer: () => ({}), admin: () => ({}) }
    const adapter = kafka({ brokers: [], client: stranger })
    await adapter.open(systemEnvironment)
    const error = await failure(adapter.producer())
    expect(adapter.classify(error).code).toBe('bad-config')
    expect(String(error)).toContain('kafkajs 2.2')
  })

  it('compares positions as numbers', () => {
    const { comparePositions } = kafka({ brokers: ['one:9092'] })
    expect(['10', '9', '-1', '1000000', '0'].toSorted(comparePositions)).toEqual(['-1', '0', '9', '10', '1000000'])
    expect(comparePositions('7', '7')).toBe(0)
  })
})

describe.runIf(running)(`the administration of kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  beforeAll(async () => void (adapter = await open()))
  afterAll(() => adapter.close())

  async function settings(topic: string): Promise<Record<string, string>> {
    const native = adapter.native!.admin()
    await native.connect()
    const { resources } = await native.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: topic }]
    })
    await native.disconnect()
    const entries = resources[0].configEntries as { configName: string; configValue: string }[]
    return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]))
  }

  it('creates compacted topics, and passes settings on', async () => {
    const topic = unique('topic')
    const admin = adapter.admin()
    await admin.createTopic({ topic, partitions: 2, compacted: true, settings: { 'retention.ms': '86400000' } })
    expect(await settings(topic)).toMatchObject({ 'cleanup.policy': 'compact', 'retention.ms': '86400000' })
    expect((await settings(await createTopic(adapter)))['cleanup.policy']).toBe('delete')
  })

  it.each([
    [{ topic: unique('t'), partitions: 1, settings: { 'no.such.setting': '1' } }, 'bad-config'],
    [{ topic: 'no good/name', partitions: 1 }, 'bad-config'],
    [{ topic: unique('t'), partitions: 0 }, 'bad-config']
  ])('refuses %o', async (wrong, code) => {
    expect(adapter.classify(await failure(adapter.admin().createTopic(wrong)))).toEqual({ code, retryable: false })
  })

  it('refuses more copies than brokers, naming the option', async () => {
    const greedy = await open({ replicationFactor: 5 })
    const error = await failure(greedy.admin().createTopic({ topic: unique('t'), partitions: 1 }))
    expect(greedy.classify(error).code).toBe('bad-config')
    expect(String(error)).toContain('replicationFactor')
    await greedy.close()
  })

  it('lists topics without those of the broker itself', async () => {
    const topic = await createTopic(adapter)
    const listed = await adapter.admin().listTopics()
    expect(listed).toContain(topic)
    expect(listed.filter(name => name.startsWith('__'))).toEqual([])
  })

  it('counts the markers of transactions in the backlog, as Kafka does', async () => {
    const topic = await createTopic(adapter)
    await (await adapter.producer()).send(numbers(topic, 0, 3))
    const producer = await adapter.transactions!().producer(topic)
    await producer.commit({
      records: [record(topic, 0, 'x')],
      offsets: { group: topic, positions: [{ topic, partition: 0, position: '1' }] }
    })
    expect(await adapter.admin().backlog(topic, [topic])).toEqual([{ topic, partition: 0, records: 3 }])
  })

  it('does not wait for other topics that are ill', async () => {
    const topics = await Promise.all(Array.from({ length: 5 }, () => createTopic(adapter)))
    const admin = adapter.admin()
    await Promise.all(topics.map(topic => admin.deleteTopic(topic)))
    for (const topic of topics) expect(await admin.describeTopic(topic)).toBeUndefined()
    expect((await admin.listTopics()).filter(name => topics.includes(name))).toEqual([])
  })

  it('rejects after its close', async () => {
    const admin = adapter.admin()
    await admin.close()
    await admin.close()
    expect(adapter.classify(await failure(admin.listTopics())).code).toBe('closed')
  })

  it('leaves no socket behind', async () => {
    const count = (): number => process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length
    const before = count()
    const brief = await open({ brokers: [broker] })
    const topic = await createTopic(brief)
    await (await brief.producer()).send([record(topic, 0, 'a')])
    await (await brief.transactions!().producer(topic)).commit({ records: [record(topic, 0, 'b')] })
    const reader = await brief.logReader!({ group: topic, topics: [topic], sessionTimeout: 6000, maxBytes: 1024 })
    await reader.receive({ wait: 3000 })
    await brief.partitionReader!({ topic, partition: 0, from: 'latest', readCommitted: true, maxBytes: 1024 })
    expect(count()).toBeGreaterThan(before)
    await brief.close()
    await expect.poll(count, { timeout: 2000 }).toBe(before)
  })
})

import { createRequire } from 'node:module'
import { afterEach, describe, expect, it } from 'vitest'
import type { KafkaModule, KafkaOptions, KafkaSasl } from '../../../src/adapters/kafka/index.ts'
import { kafka } from '../../../src/adapters/kafka/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import {
  createTopic,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  partitionsOf,
  eventsUntil,
  readAll,
  record,
  recordsOf,
  running,
  texts,
  tls
} from './server.ts'

const kafkajs = createRequire(import.meta.url)('kafkajs') as KafkaModule

type Mechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512'

/** The user of the test server for the mechanism. */
function user(mechanism: Mechanism): KafkaSasl {
  const found = tls!.users.find(({ mechanisms }) => mechanisms.includes(mechanism.toUpperCase()))
  if (!found) throw new Error(`the server has no user for ${mechanism}`)
  return { mechanism, username: found.username, password: found.password }
}

describe.runIf(running && tls)(`kafka behind TLS and SASL${notRun}`, () => {
  const adapters: KafkaAdapter[] = []
  afterEach(() => Promise.all(adapters.splice(0).map(adapter => adapter.close())))

  async function secure(sasl: KafkaSasl | undefined, more: Partial<KafkaOptions> = {}): Promise<KafkaAdapter> {
    const adapter = await open({ brokers: [tls!.address], ssl: { ca: tls!.ca }, ...(sasl && { sasl }), ...more })
    adapters.push(adapter)
    return adapter
  }

  it.each<Mechanism>(['plain', 'scram-sha-256', 'scram-sha-512'])('every part works with %s', async mechanism => {
    const adapter = await secure(user(mechanism))
    const topic = await createTopic(adapter)
    expect(await (await adapter.producer()).send([record(topic, 0, 'a')])).toEqual([{ ok: true, position: '0' }])
    const transaction = await adapter.transactions!().producer(topic)
    expect((await transaction.commit({ records: [record(topic, 0, 'b')] })).outcome).toBe('committed')
    expect(texts(await readAll(adapter, topic))).toEqual(['a', 'b'])
    const reader = await adapter.logReader!({ group: topic, topics: [topic], sessionTimeout: 6000, maxBytes: 1 << 20 })
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek({ topic, partition: 0 }, 'committed')
    await eventsUntil(reader, events => recordsOf(events).length === 2)
    await reader.commit([{ topic, partition: 0, position: '1' }])
  })

  it.each<Mechanism>(['plain', 'scram-sha-256', 'scram-sha-512'])(
    'a wrong password is unauthorized with %s, not worth a retry, and not shown',
    async mechanism => {
      const adapter = await secure({ ...user(mechanism), password: 'wrong-hunter2' })
      const calls: (() => Promise<unknown>)[] = [
        () => adapter.admin().listTopics(),
        async () => (await adapter.producer()).send(numbers('any-topic', 0, 1)),
        () => adapter.logReader!({ group: 'any', topics: ['any-topic'], sessionTimeout: 6000, maxBytes: 1024 }),
        () => adapter.transactions!().producer('any')
      ]
      for (const call of calls) {
        const error = await failure(call())
        expect(adapter.classify(error), String(error)).toEqual({ code: 'unauthorized', retryable: false })
        expect(String(error)).not.toContain('hunter2')
      }
    }
  )

  it('a server whose certificate is not trusted is unauthorized, not worth a retry', async () => {
    const adapter = await secure(user('plain'), { ssl: true })
    const error = await failure(adapter.admin().listTopics())
    expect(adapter.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
    expect(String(error)).toMatch(/certificate/)
  })

  it('no TLS, or no login, is an error and no hang', async () => {
    const plain = await open({ brokers: [tls!.address], requestTimeout: 3000, connectionTimeout: 1500 })
    adapters.push(plain)
    expect(plain.classify(await failure(plain.admin().listTopics())).code).toMatch(/connection|timeout/)
    const anonymous = await secure(undefined, { requestTimeout: 3000 })
    expect(anonymous.classify(await failure(anonymous.admin().listTopics())).code).toMatch(/connection|unauthorized/)
  })

  it('a client of your own keeps its own settings', async () => {
    const { username, password } = user('plain')
    const client = new kafkajs.Kafka({
      brokers: [tls!.address],
      ssl: { ca: [tls!.ca] },
      sasl: { mechanism: 'plain', username, password },
      logCreator: () => () => undefined
    })
    const adapter = kafka({ brokers: [], client })
    await adapter.open(systemEnvironment)
    adapters.push(adapter)
    expect(adapter.native).toBe(client)
    expect(Array.isArray(await adapter.admin().listTopics())).toBe(true)
  })
})

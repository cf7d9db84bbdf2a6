/** What comes from others, or from a mistake: neither breaks a reader, nor shows a secret, nor leads a token astray. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { EventHubProducerClient } from '@azure/event-hubs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Checkpoints } from '../../../src/adapters/eventhubs/checkpoints.ts'
import { Feed } from '../../../src/adapters/eventhubs/feed.ts'
import { consumerGroupName, eventhubs, type EventhubsOptions } from '../../../src/adapters/eventhubs/index.ts'
import { readEventhubsOptions } from '../../../src/adapters/eventhubs/options.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { failure } from '../../support/failure.ts'
import { createTopic, readAll, record, texts } from '../../support/records.ts'
import { notRun, opened, OwnServer, running } from './server.ts'

const own = new OwnServer()
const host = 'orders.servicebus.windows.net'
const namespace = '/subscriptions/0/resourceGroups/a/providers/Microsoft.EventHub/namespaces/orders'

/** Own, as JSON.parse makes it. */
const prototype = (value: unknown): Record<string, unknown> =>
  Object.defineProperty({}, '__proto__', { value, enumerable: true }) as Record<string, unknown>

describe.skipIf(!running)(`hostile events${notRun}`, () => {
  it('a property __proto__ does not become the prototype of anything', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    const producer = new EventHubProducerClient(own.server.connectionString, topic)
    const properties = Object.assign(prototype(Buffer.from('bytes')), { kind: 'odd' })
    await producer.sendBatch([{ body: Buffer.from('a'), properties }, { body: Buffer.from('b') }] as never, {
      partitionId: '0'
    })
    await producer.close()
    const records = await readAll(adapter, topic)
    expect(texts(records)).toEqual(['a', 'b'])
    expect(Object.keys(records[0]!.headers)).toEqual(['kind'])
    expect(Object.getPrototypeOf(records[0]!.headers)).toBe(Object.prototype)
    const headers = prototype(Buffer.from('x')) as Record<string, Uint8Array>
    expect(() => adapter.check!(record(topic, 0, 'x', { headers }))).toThrow(/'__proto__' .* reserved name/)
  })
})

describe('hostile answers', () => {
  it('an event without a sequence number ends the reading', async () => {
    let handlers: { processEvents(events: readonly object[]): Promise<void> } | undefined
    const client = {
      subscribe(_partition: string, given: never) {
        handlers = given
        return { close: async () => {} }
      }
    }
    const feed = new Feed(
      {
        client: client as never,
        environment: systemEnvironment,
        patience: 1_000,
        partition: 0,
        ownerLevel: undefined,
        maxBytes: 1_000,
        arrived: () => expect.unreachable(),
        hasRoom: () => true,
        skipped: async () => {},
        failed: () => {}
      },
      -1,
      { offset: '-1' }
    )
    await feed.open()
    await expect(handlers!.processEvents([{ body: Buffer.from('x') }])).rejects.toMatchObject({ code: 'corrupt' })
    await feed.close()
  })

  it('a next page on another server is not asked for: the token stays where it belongs', async () => {
    const asked: string[] = []
    const servers = [0, 1].map(() =>
      createServer((request, response) => {
        asked.push(String(request.headers.host))
        const nextLink = `http://127.0.0.1:${port(1)}${namespace}/eventhubs?page=2`
        response.end(JSON.stringify({ value: [{ name: 'trades' }], nextLink }))
      })
    )
    const port = (index: number): number => (servers[index]!.address() as AddressInfo).port
    for (const server of servers) {
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
      onTestFinished(() => void server.close())
    }
    const credential = { getToken: async () => ({ token: 'TOKEN' }) }
    const management = `http://127.0.0.1:${port(0)}${namespace}`
    const adapter = await opened({ host: '127.0.0.1:1', emulator: true, credential, management })
    const error = await failure(() => adapter.admin().listTopics())
    expect(error.message).toContain('a next page that is on another server')
    expect(inspect(error)).not.toContain('TOKEN')
    expect(asked).toEqual([`127.0.0.1:${port(0)}`])
  })

  it('checkpoints of no partition are passed over; a storage account that refuses is told as what it is', async () => {
    const prefix = 'ns/hub/$default/checkpoint/'
    const blobs = ['', '1.5', '0x1', '-0', '7', '1'].map(id => ({
      name: prefix + id,
      metadata: { sequencenumber: '9' }
    }))
    const from = (list: () => AsyncIterable<any>): Checkpoints =>
      new Checkpoints({ client: { listBlobsFlat: list }, namespace: 'ns' }, host, undefined)
    const found = await from(async function* () {
      yield* blobs
    }).positions('hub', 2)
    expect(found).toEqual([undefined, '9'])
    const refusals: [object, object][] = [
      [{ statusCode: 403 }, { code: 'unauthorized', retryable: false }],
      [{ statusCode: 404 }, { code: 'bad-config', retryable: false }],
      [{ statusCode: 503 }, { code: 'throttled', retryable: true }],
      [{ statusCode: 500 }, { code: 'connection', retryable: true }],
      [{ code: 'ECONNREFUSED' }, { code: 'connection', retryable: true }]
    ]
    for (const [fields, expected] of refusals) {
      const refusing = from(() => ({
        [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(Object.assign(new Error('no'), fields)) })
      }))
      const error = await failure(() => refusing.positions('hub', 2))
      expect(error).toMatchObject(expected)
      expect(error.message).toBe(`the checkpoints '${prefix}' cannot be read: no`)
    }
  })

  it('an identity that is not let in is unauthorized, not a fault of ours', () => {
    const adapter = eventhubs({ host, credential: { name: 'a', key: 'b' } })
    for (const name of ['AuthenticationError', 'AggregateAuthenticationError', 'AuthenticationRequiredError'])
      expect(adapter.classify(Object.assign(new Error('refused'), { name }))).toEqual({
        code: 'unauthorized',
        retryable: false
      })
  })
})

describe('options that are mistakes', () => {
  const refused = (options: object): string => {
    try {
      eventhubs(options as EventhubsOptions)
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad-config' })
      return inspect(error)
    }
    return expect.unreachable()
  }

  it('are told without the secret that is in them', () => {
    expect(refused({ host, credential: 'SECRET' })).not.toContain('SECRET')
    const credential = { getToken: async () => null }
    const management = `https://user:SECRET@management.azure.com${namespace}`
    expect(refused({ host, credential, management })).not.toContain('SECRET')
    expect(refused({ connectionString: 'SharedAccessKey=SECRET' })).not.toContain('SECRET')
  })

  it('tokens are not sent over http, but to this machine', () => {
    const credential = { getToken: async () => null }
    for (const server of ['http://10.0.0.1', 'http://management.azure.com', 'http://127.0.0.1.example.com'])
      expect(refused({ host, credential, management: server + namespace })).toContain('must be https')
    for (const server of [
      'http://127.0.0.1:8080',
      'http://localhost',
      'http://[::1]:80',
      'https://management.azure.com'
    ])
      expect(readEventhubsOptions({ host, credential, management: server + namespace }).management).toContain(server)
  })

  it('the emulator takes a policy in either form', () => {
    const text = (options: object): unknown =>
      readEventhubsOptions({ host: '127.0.0.1', emulator: true, ...options }).argumentsFor('trades')[0]
    const ours = 'SharedAccessKeyName=sender;SharedAccessKey=KEY;'
    expect(text({ credential: { name: 'sender', key: 'KEY' } })).toContain(ours)
    expect(text({ sharedAccessKeyName: 'sender', sharedAccessKey: 'KEY' })).toContain(ours)
    expect(text({})).toContain('SharedAccessKey=SAS_KEY_VALUE;')
  })

  it('names of consumer groups are those that Event Hubs takes', () => {
    const names = ['orders.count', '_count', 'count-', '~', 'größe', '$Default', 'a'.repeat(51), '-'.repeat(60)]
    const made = names.map(consumerGroupName)
    expect(made[0]).toBe('orders.count')
    expect(new Set(made).size).toBe(names.length)
    for (const name of made) expect(name).toMatch(/^[a-zA-Z0-9](?:[\w.-]{0,48}[a-zA-Z0-9])?$/)
  })
})

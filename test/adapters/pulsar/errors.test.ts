import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import WebSocket from 'ws'
import { fromUrl, pulsar, type PulsarOptions } from '../../../src/adapters/pulsar/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { type PulsarServer, startPulsar } from '../../../testcontainers/pulsar.ts'
import {
  createTopic,
  failure,
  numbers,
  type PulsarAdapter,
  readAll,
  send,
  sendFailure,
  texts,
  unique
} from './server.ts'

const shared = inject('pulsar')

/** A server of its own: everybody needs a token, and a silent socket is closed after four seconds. */
describe.skipIf(shared.state !== 'running')('a Pulsar with users, TLS and little patience', () => {
  let server: PulsarServer
  const token = (index: number): string => server.tls.users[index]!.password
  const adapters: PulsarAdapter[] = []

  beforeAll(async () => {
    server = await startPulsar({ authentication: true, properties: { webSocketSessionIdleTimeoutMillis: '4000' } })
  })
  afterAll(async () => {
    await Promise.all(adapters.map(adapter => adapter.close()))
    await server?.stop()
  })

  async function open(options: Partial<PulsarOptions>): Promise<PulsarAdapter> {
    const adapter = pulsar({ ...fromUrl(server.url), requestTimeout: 10_000, ...options })
    await adapter.open(systemEnvironment)
    adapters.push(adapter)
    return adapter
  }

  const request = async (method: string, path: string, body?: unknown): Promise<number> => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token(0)}` }
    const address = `http://${new URL(server.url).host}/admin/v2/${path}`
    return (await fetch(address, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })).status
  }

  test('records travel through TLS with a token, which is in no URL', async () => {
    const addresses: string[] = []
    class Spy extends WebSocket {
      constructor(address: string, options: object) {
        super(address, options)
        addresses.push(address)
      }
    }
    const webUrl = `https://${server.tls.address}`
    const adapter = await open({ webUrl, tls: { ca: server.tls.ca }, token: token(0), client: Spy as never })
    const topic = await createTopic(adapter, 2)
    await send(adapter, numbers(topic, 1, 20))
    expect(texts(await readAll(adapter, topic, 1))).toHaveLength(20)
    expect(addresses).toHaveLength(2)
    for (const address of addresses) {
      expect(address).toMatch(/^wss:\/\/127\.0\.0\.1:\d+\/ws\/v2\//)
      expect(address).not.toContain(token(0).slice(0, 20))
    }
    expect(adapter.location).not.toContain(token(0).slice(0, 20))
  })

  test('a server whose certificate is not trusted is refused, for good', async () => {
    const adapter = await open({ webUrl: `https://${server.tls.address}`, token: token(0) })
    const error = await failure(adapter.admin().listTopics())
    expect(adapter.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
  })

  test.each([
    ['no token', () => undefined],
    ['a token that is none', () => 'x.y.z'],
    ['the token of somebody without rights', () => token(1)]
  ])('%s is unauthorized, whatever is tried, and not retried', async (_, given) => {
    const topic = await createTopic(await open({ token: token(0) }), 1)
    const secret = given()
    const adapter = await open(secret === undefined ? {} : { token: secret })
    const expected = { code: 'unauthorized', retryable: false }
    const tried = [
      await failure(adapter.admin().listTopics()),
      await failure(adapter.admin().describeTopic(topic)),
      await failure(adapter.admin().createTopic({ topic: unique('topic'), partitions: 1 })),
      await failure(readAll(adapter, topic)),
      await sendFailure(adapter, numbers(topic, 0, 3))
    ]
    for (const error of tried) {
      expect(adapter.classify(error)).toEqual(expected)
      expect(String(error)).toMatch(/token/)
      if (secret !== undefined) expect(String(error)).not.toContain(secret)
    }
  })

  test('a socket without rights is refused at its handshake', async () => {
    const topic = await createTopic(await open({ token: token(0) }), 1)
    const host = new URL(server.url).host
    // The admin API is asked first; a role may be let in there and not here.
    const { PulsarSocket } = await import('../../../src/adapters/pulsar/sockets.ts')
    for (const given of [undefined, token(1)]) {
      const settings = {
        webSocket: WebSocket as never,
        environment: systemEnvironment,
        webUrl: `http://${host}`,
        token: given,
        tls: {},
        requestTimeout: 5_000,
        pingInterval: 60_000
      }
      const path = `producer/persistent/public/default/${topic}-partition-0`
      const opening = PulsarSocket.open(settings, 'writing', path, { message: () => {}, lost: () => {} })
      expect(await failure(opening)).toMatchObject({ code: 'unauthorized', retryable: false })
    }
  })

  test('produce and consume are enough to read and write, not to create or delete', async () => {
    const namespace = unique('granted')
    expect(await request('PUT', `namespaces/public/${namespace}`)).toBe(204)
    expect(await request('POST', `namespaces/public/${namespace}/permissions/guest`, ['produce', 'consume'])).toBe(204)
    const [owner, guest] = [await open({ token: token(0), namespace }), await open({ token: token(1), namespace })]
    const topic = await createTopic(owner, 2)
    await send(guest, numbers(topic, 1, 10))
    const records = await readAll(guest, topic, 1)
    expect(texts(await readAll(guest, topic, 1, { after: records[3]!.position }))).toEqual([
      '4',
      '5',
      '6',
      '7',
      '8',
      '9'
    ])
    expect(await readAll(guest, topic, 1, { time: Date.now() })).toEqual([])
    expect(await readAll(guest, topic, 0, 'latest')).toEqual([])
    const admin = guest.admin()
    expect(await admin.describeTopic(topic)).toEqual({ topic, partitions: 2 })
    expect((await admin.behind!(topic, []))[1]).toEqual({ topic, partition: 1, records: 10 })
    const unauthorized = { code: 'unauthorized', retryable: false }
    for (const refused of [admin.createTopic({ topic: unique('topic'), partitions: 1 }), admin.deleteTopic(topic)])
      expect(guest.classify(await failure(refused))).toEqual(unauthorized)
  })

  test('a namespace that is not there is an unknown topic', async () => {
    const adapter = await open({ token: token(0), namespace: unique('nowhere') })
    expect(adapter.classify(await sendFailure(adapter, numbers('x', 0, 1))).code).toBe('unknown-topic')
    expect(adapter.classify(await failure(adapter.admin().createTopic({ topic: 'x', partitions: 1 }))).code).toBe(
      'unknown-topic'
    )
  })

  test('a full backlog is throttled and may be retried', { timeout: 120_000 }, async () => {
    const namespace = unique('small')
    expect(await request('PUT', `namespaces/public/${namespace}`)).toBe(204)
    // Pulsar keeps a new producer waiting for longer than a minute.
    const adapter = await open({ token: token(0), namespace, requestTimeout: 5_000 })
    const topic = await createTopic(adapter)
    expect(
      await request('PUT', `persistent/public/${namespace}/${topic}/subscription/slow`, { ledgerId: -1, entryId: -1 })
    ).toBe(204)
    const quota = { limitSize: 10_000, policy: 'producer_exception' }
    expect(await request('POST', `namespaces/public/${namespace}/backlogQuota`, quota)).toBe(204)
    // The broker looks every two seconds.
    const signal = AbortSignal.timeout(110_000)
    let error: unknown
    while (error === undefined) {
      signal.throwIfAborted()
      error = await sendFailure(
        adapter,
        Array.from({ length: 20 }, () => numbers(topic, 0, 1)[0]!).map(each => ({
          ...each,
          value: Buffer.alloc(1_000)
        }))
      ).catch(() => undefined)
    }
    expect(adapter.classify(error), String(error)).toEqual({ code: 'throttled', retryable: true })
    expect(String(error)).toMatch(/subscription 'slow' has not acknowledged \d+ messages/)
  })

  test(
    'pings keep a quiet reader open; without them the server closes it, and the next receive opens it again',
    { timeout: 60_000 },
    async () => {
      const topic = await createTopic(await open({ token: token(0) }))
      const [awake, asleep] = [
        await open({ token: token(0), pingInterval: 1_000 }),
        await open({ token: token(0), pingInterval: 60_000 })
      ]
      const readers = await Promise.all(
        [awake, asleep].map(adapter =>
          adapter.partitionReader!({ topic, partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1 << 20 })
        )
      )
      const quiet = await Promise.allSettled(readers.map(reader => reader.receive({ wait: 9_000 })))
      expect(quiet[0]).toEqual({ status: 'fulfilled', value: { records: [], atEnd: true } })
      expect(quiet[1]!.status).toBe('rejected')
      const { reason } = quiet[1] as PromiseRejectedResult
      expect(asleep.classify(reason)).toEqual({ code: 'connection', retryable: true })
      expect(String(reason)).toContain('1001')
      await send(awake, numbers(topic, 0, 3))
      for (const reader of readers) expect(texts((await reader.receive({ wait: 10_000 })).records)[0]).toBe('0')
    }
  )

  // The last one: it leaves the server down.
  test('a broker that goes away is a lost connection, for readers, producers and admin', async () => {
    const adapter = await open({ token: token(0) })
    const topic = await createTopic(adapter)
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 3))
    for (let seen = 0; seen < 3;) seen += (await reader.receive({ wait: 5_000 })).records.length
    const waiting = failure(reader.receive({ wait: 30_000 }))
    await server.kill()
    const expected = { code: 'connection', retryable: true }
    expect(adapter.classify(await waiting)).toEqual(expected)
    const results = await producer.send(numbers(topic, 0, 3))
    expect(results.map(result => !result.ok && adapter.classify(result.error))).toEqual([expected, expected, expected])
    expect(adapter.classify(await failure(reader.receive({ wait: 1_000 })))).toEqual(expected)
    expect(adapter.classify(await failure(adapter.admin().listTopics()))).toEqual(expected)
    await adapter.close()
  })
})

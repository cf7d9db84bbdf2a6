import { createHmac } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { eventhubs, fromUrl } from '../../../src/adapters/eventhubs/index.ts'
import { connect } from '../../../src/index.ts'
import { bytes, topic as topicOf } from '../../../src/index.ts'
import { failure } from '../../support/failure.ts'
import { createTopic, numbers, readAll, send, sendFailure, texts } from '../../support/records.ts'
import { type EventhubsAdapter, notRun, opened, OwnServer, reader, running, take } from './server.ts'

const own = new OwnServer({ webSocket: true })

/** A token of nobody's: the double believes what it says. */
function credential(lifetime: number, asked: string[] = []): { getToken(scope: string | string[]): Promise<any> } {
  return {
    async getToken(scope) {
      asked.push(String(scope))
      const expiresOnTimestamp = Date.now() + lifetime
      const payload = Buffer.from(JSON.stringify({ exp: expiresOnTimestamp / 1_000 })).toString('base64url')
      return { token: `e30.${payload}.`, expiresOnTimestamp }
    }
  }
}

/** AMQP over WebSockets, with TLS. */
function overWebSocket(): { host: string; webSocketOptions: Record<string, unknown> } {
  const { address, ca } = own.server.webSocket!
  return { host: address, webSocketOptions: { webSocket: WebSocket, webSocketConstructorOptions: { ca } } }
}

function signature(hub: string, lifetime: number, key = 'SAS_KEY_VALUE'): string {
  const resource = encodeURIComponent(`sb://127.0.0.1/${hub}`)
  const expiry = Math.floor((Date.now() + lifetime) / 1_000)
  const signed = createHmac('sha256', key).update(`${resource}\n${expiry}`).digest('base64')
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signed)}&se=${expiry}&skn=RootManageSharedAccessKey`
}

async function roundTrip(adapter: EventhubsAdapter, topic: string): Promise<void> {
  await send(adapter, numbers(topic, 0, 3))
  expect(texts(await readAll(adapter, topic))).toEqual(['0', '1', '2'])
}

describe.skipIf(!running)(`how a client is let in${notRun}`, () => {
  it('by a connection string of the namespace, or of one hub alone', async () => {
    const topic = await createTopic(await own.open())
    const { connectionString } = own.server
    await roundTrip(await opened({ connectionString }), topic)
    const one = await opened({ connectionString: `${connectionString};EntityPath=${topic}` })
    expect(texts(await readAll(one, topic))).toEqual(['0', '1', '2'])
    expect(String(await sendFailure(one, numbers('another', 0, 1)))).toContain(`good for the hub '${topic}' alone`)
  })

  it('by a policy and its key, as the emulator does it', async () => {
    const topic = await createTopic(await own.open())
    const policy = { sharedAccessKeyName: 'sender', sharedAccessKey: 'SENDER_KEY' }
    const adapter = await opened({ host: own.server.address, emulator: true, ...policy })
    await send(adapter, numbers(topic, 0, 1))
    expect(await failure(async () => take(await reader(adapter, topic), 1))).toMatchObject({ code: 'unauthorized' })
  })

  it('by a token credential, over WebSockets: what is asked for is the scope of Event Hubs', async () => {
    const asked: string[] = []
    const topic = await createTopic(await own.open())
    const adapter = await opened({ ...overWebSocket(), credential: credential(3_600_000, asked) })
    await roundTrip(adapter, topic)
    expect(new Set(asked)).toEqual(new Set(['https://eventhubs.azure.net//.default']))
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 1 })
  })

  it('by a policy or a signature that was made elsewhere, over WebSockets', async () => {
    const topic = await createTopic(await own.open())
    await roundTrip(
      await opened({ ...overWebSocket(), credential: { name: 'RootManageSharedAccessKey', key: 'SAS_KEY_VALUE' } }),
      topic
    )
    const signed = await opened({ ...overWebSocket(), sharedAccessSignature: signature(topic, 60_000) })
    expect(texts(await readAll(signed, topic))).toEqual(['0', '1', '2'])
  })

  it('not by a token or a signature that has expired', async () => {
    const topic = await createTopic(await own.open())
    for (const proof of [
      { sharedAccessSignature: signature(topic, -60_000) },
      { sharedAccessSignature: signature(topic, 60_000, 'wrong') },
      { credential: credential(-1_000) }
    ]) {
      const adapter = await opened({ ...overWebSocket(), ...proof })
      const error = await sendFailure(adapter, numbers(topic, 0, 1))
      expect(adapter.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
      expect(String(error)).toMatch(/ExpiredToken|InvalidSignature/)
      expect(String(error)).toContain('tokens and signatures expire')
    }
  })

  it('a signature that expires while it is in use ends the reading; nothing else is lost', async () => {
    const topic = await createTopic(await own.open())
    const adapter = await opened({ ...overWebSocket(), sharedAccessSignature: signature(topic, 3_000) })
    const reading = await reader(adapter, topic)
    await send(adapter, numbers(topic, 0, 2))
    const seen = await take(reading, 2)
    expect(texts(seen)).toEqual(['0', '1'])
    const expired = await failure(() => take(reading, 1))
    expect(expired).toMatchObject({ code: 'unauthorized', retryable: false })
    expect(expired.message).toContain('ExpiredToken')
    await wait(500)
    expect(adapter.classify(await sendFailure(adapter, numbers(topic, 0, 1)))).toMatchObject({ code: 'unauthorized' })
    const renewed = await own.open()
    await send(renewed, numbers(topic, 0, 1, 2))
    expect(texts(await readAll(renewed, topic, 0, { from: { after: seen[1]!.position } }))).toEqual(['2'])
  })

  it('secrets come from the environment beside a URL', async () => {
    const { url, connectionString } = own.server
    const name = await createTopic(await own.open())
    const variables = { TIDEMARK_BROKERS__DEFAULT__CONNECTION_STRING: connectionString }
    await using client = await connect({ brokers: { default: url.replace('emulator=true&', '') }, variables })
    const producer = await client.producer(topicOf(name, { key: bytes, value: bytes }))
    await producer.send({ key: Buffer.from('k'), value: Buffer.from('v') })
    await producer.close()
    expect(await client.admin.describe(topicOf(name, { key: bytes, value: bytes }))).toMatchObject({ partitions: 1 })
  })

  it('the own client of the vendor is at hand, with the same credential', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 2)
    const producer = adapter.native!.producer(topic)
    expect((await producer.getEventHubProperties()).partitionIds).toEqual(['0', '1'])
    await producer.close()
    const consumer = adapter.native!.consumer(topic)
    expect((await consumer.getPartitionProperties('1')).isEmpty).toBe(true)
    await consumer.close()
    expect(eventhubs(fromUrl(own.server.url)).native).toBeUndefined()
  })
})

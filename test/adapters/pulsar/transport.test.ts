import { describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { NativeTransport } from '../../../src/adapters/pulsar/native.ts'
import { WebSocketTransport } from '../../../src/adapters/pulsar/websocket.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { FakeClient } from './fake-client.ts'
import {
  admin,
  createTopic,
  failure,
  notRun,
  numbers,
  open,
  readAll,
  record,
  running,
  send,
  texts,
  unique,
  until,
  url
} from './server.ts'
import { message, sendAll, transportContract } from './transport-contract.ts'

describe.skipIf(!running)(`transport over WebSockets${notRun}`, () => {
  transportContract(() => ({
    open: async () =>
      new WebSocketTransport({
        webSocket: WebSocket,
        environment: systemEnvironment,
        webUrl: `http://${new URL(url).host}`,
        token: undefined,
        tls: {},
        requestTimeout: 10_000,
        pingInterval: 30_000
      }),
    topic: async deduplication => {
      const adapter = await open({ deduplication })
      const topic = await createTopic(adapter)
      await adapter.close()
      return `persistent://public/default/${topic}-partition-0`
    },
    breakTopic: async topic => void (await admin('POST', `${topic.replace('://', '/')}/terminate`))
  }))
})

describe('native transport, with a client that stands in for pulsar-client', () => {
  let client = new FakeClient()
  const opened = (): NativeTransport => {
    client = new FakeClient()
    return new NativeTransport({
      client,
      messageIds: client.MessageId,
      environment: systemEnvironment,
      requestTimeout: 5_000
    })
  }
  transportContract(() => ({
    open: async () => opened(),
    topic: async () => `persistent://public/default/${unique('topic')}-partition-0`,
    breakTopic: async () => {
      client.onSend = () => {
        throw new Error('Failed to send message: ConnectError')
      }
    }
  }))

  test('never batches, never blocks, and counts on from the number before', async () => {
    const transport = opened()
    await transport.producer({ topic: 't', maxInFlight: 77, identity: { name: 'task', lastSequence: 41 } })
    const options = { batchingEnabled: false, blockIfQueueFull: false, maxPendingMessages: 77 }
    expect(client.producerOptions).toEqual([
      expect.objectContaining({ ...options, producerName: 'task', initialSequenceId: 41, topic: 't' })
    ])
  })

  test('what is behind a failed send is told as failed, although it was stored', async () => {
    const transport = opened()
    const link = await transport.producer({ topic: 't', maxInFlight: 10 })
    client.onSend = count => {
      if (count === 3) throw new Error('Failed to send message: MessageTooBig')
    }
    const outcomes = await sendAll(
      link,
      ['a', 'b', 'c', 'd'].map(each => message(each))
    )
    expect(outcomes.map(({ error }) => (error as { code?: string } | undefined)?.code)).toEqual([
      undefined,
      undefined,
      'too-large',
      'too-large'
    ])
  })

  test('a read that fails ends the reader with its code', async () => {
    const transport = opened()
    let failed: unknown
    await transport.reader({
      topic: 't',
      after: undefined,
      window: 5,
      message: () => {},
      failed: error => (failed = error)
    })
    client.readFailure = new Error('Failed to read next message: Disconnected')
    await until(async () => failed !== undefined)
    expect(failed).toMatchObject({ code: 'connection', retryable: true })
    await transport.close()
  })

  test.skipIf(!running)(`the adapter reads and writes through it${notRun}`, async () => {
    client = new FakeClient()
    const adapter = await open({ client })
    expect(adapter.native).toBe(client)
    const topic = await createTopic(adapter, 2)
    await send(adapter, [...numbers(topic, 1, 30), record(topic, 1, null, { key: Buffer.from([255]) })])
    // The end of the partition is known to the server alone, where nothing was written.
    const records = await readAll(adapter, topic, 1)
    expect(texts(records)).toEqual([...Array.from({ length: 30 }, (_, index) => String(index)), '<null>'])
    expect([...records.at(-1)!.key!]).toEqual([255])
    client.onSend = () => {
      throw new Error('Failed to send message: ProducerBlockedQuotaExceededException')
    }
    expect(adapter.classify(await failure(send(adapter, numbers(topic, 0, 1))))).toEqual({
      code: 'throttled',
      retryable: true
    })
    await adapter.close()
  })
})

/** What a real server does too rarely to wait for: servers of our own that misbehave. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { pulsar, type PulsarOptions } from '../../../src/adapters/pulsar/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { failure, numbers, type PulsarAdapter } from './server.ts'

const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function listen(handler: RequestListener): Promise<{ server: Server; webUrl: string }> {
  const server = createServer(handler)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, webUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function open(webUrl: string, options: Partial<PulsarOptions> = {}): Promise<PulsarAdapter> {
  const adapter = pulsar({ webUrl, requestTimeout: 5_000, ...options })
  await adapter.open(systemEnvironment)
  closing.push(() => adapter.close())
  return adapter
}

/** Answers what a reader and a producer ask before they connect. */
const oneEmptyPartition: RequestListener = ({ url = '' }, answer) => {
  const empty = { ledgerId: 3, entryId: -1, partitionIndex: 0 }
  answer.end(JSON.stringify(url.includes('/partitions') ? { partitions: 1 } : empty))
}

describe('connections to Pulsar', () => {
  test('a request is sent on to the broker that has the topic, with the token', async () => {
    const seen: IncomingMessage[] = []
    const owner = await listen((request, answer) => {
      seen.push(request)
      answer.end(JSON.stringify({ partitions: 7 }))
    })
    const first = await listen(({ url }, answer) => answer.writeHead(307, { location: `${owner.webUrl}${url}` }).end())
    const adapter = await open(first.webUrl, { token: 'secret-token' })
    expect(await adapter.admin().describeTopic('trades')).toEqual({ topic: 'trades', partitions: 7 })
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret-token'])
  })

  test('redirects without end are given up', async () => {
    const server = await listen(({ url }, answer) => answer.writeHead(307, { location: url }).end())
    const adapter = await open(server.webUrl)
    expect(adapter.classify(await failure(adapter.admin().listTopics()))).toEqual({
      code: 'internal',
      retryable: false
    })
  })

  test('a server that does not answer is timed out, and may be asked again', async () => {
    const server = await listen(() => {})
    const adapter = await open(server.webUrl, { requestTimeout: 300 })
    const started = performance.now()
    const error = await failure(adapter.admin().listTopics())
    expect(adapter.classify(error)).toEqual({ code: 'timeout', retryable: true })
    expect(performance.now() - started).toBeLessThan(3_000)
  })

  test('an answer that is no JSON is a lost connection, not a crash', async () => {
    const server = await listen((_, answer) => answer.end('<html>a proxy says hello</html>'))
    const adapter = await open(server.webUrl)
    expect(adapter.classify(await failure(adapter.admin().listTopics())).code).toBe('connection')
  })

  test.each([
    [429, '', 'throttled', true],
    [500, '', 'connection', true],
    [500, '{"reason":"\\n --- An unexpected error occurred"}', 'connection', true],
    [500, '{"reason":"org.apache.pulsar.IncompatibleSchemaException: no"}', 'bad-schema', false],
    [418, '', 'internal', false],
    [503, '', 'connection', true],
    [500, '{"reason":"org.apache.pulsar.ServiceUnitNotReadyException: not ready"}', 'connection', true],
    [412, '{"reason":"Cluster name is not valid"}', 'bad-config', false]
  ])('status %i %s is %s', async (status, text, code, retryable) => {
    const server = await listen((_, answer) => answer.writeHead(status).end(text))
    const adapter = await open(server.webUrl)
    expect(adapter.classify(await failure(adapter.admin().listTopics()))).toEqual({ code, retryable })
  })

  test('a peer that is silent, pings included, counts as lost', async () => {
    const { server, webUrl } = await listen(oneEmptyPartition)
    const sockets = new WebSocketServer({ server, autoPong: false })
    closing.push(() => sockets.close())
    const adapter = await open(webUrl, { pingInterval: 150 })
    const place = { topic: 't', partition: 0, from: 'earliest' as const, readCommitted: true, maxBytes: 1_000 }
    const reader = await adapter.partitionReader!(place)
    const error = await failure(reader.receive({ wait: 20_000 }))
    expect(adapter.classify(error)).toEqual({ code: 'connection', retryable: true })
    expect(String(error)).toContain('no sign of life')
    const producer = await adapter.producer()
    const [result] = await producer.send(numbers('t', 0, 1))
    expect(!result!.ok && adapter.classify(result!.error)).toEqual({ code: 'connection', retryable: true })
  })

  test('a send that nobody answers is given up by its signal at once, and a close does not wait for it', async () => {
    const { server, webUrl } = await listen(oneEmptyPartition)
    const sockets = new WebSocketServer({ server })
    closing.push(() => sockets.close())
    const adapter = await open(webUrl)
    const producer = await adapter.producer()
    const stop = new AbortController()
    const sending = failure(producer.send(numbers('t', 0, 3), stop.signal))
    await new Promise(resolve => sockets.once('connection', socket => socket.once('message', resolve)))
    const started = performance.now()
    stop.abort()
    expect(adapter.classify(await sending).code).toBe('aborted')
    expect(performance.now() - started).toBeLessThan(500)
    await producer.close()
    expect(performance.now() - started).toBeLessThan(3_000)
  })

  test('a server that sends nonsense ends the socket with corrupt', async () => {
    const { server, webUrl } = await listen(oneEmptyPartition)
    const sockets = new WebSocketServer({ server })
    closing.push(() => sockets.close())
    sockets.on('connection', socket => {
      socket.send('nonsense')
      socket.on('message', () => socket.send('{"result":"ok","messageId":"CAYQADAA","context":"99"}'))
    })
    const adapter = await open(webUrl)
    const place = { topic: 't', partition: 0, from: 'earliest' as const, readCommitted: true, maxBytes: 1_000 }
    const reader = await adapter.partitionReader!(place)
    expect(adapter.classify(await failure(reader.receive({ wait: 5_000 })))).toEqual({
      code: 'corrupt',
      retryable: false
    })
    const producer = await adapter.producer()
    const [result] = await producer.send(numbers('t', 0, 1))
    expect(!result!.ok && adapter.classify(result!.error).code).toBe('corrupt')
  })
})

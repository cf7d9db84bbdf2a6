/** A network that breaks: cut, silent, and cut in the middle of a pipeline's work. */
import { describe, expect, test } from 'vitest'
import type { PullingStream, PullResponse } from '../../../src/adapters/pubsub/client.ts'
import type { Connection } from '../../../src/adapters/pubsub/connection.ts'
import { PullStream } from '../../../src/adapters/pubsub/pull-stream.ts'
import { fromUrl, type PubsubOptions } from '../../../src/adapters/pubsub/index.ts'
import { connect } from '../../../src/index.ts'
import { SimulatedEnvironment } from '../../../src/testing/simulated-environment.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { storm } from './storm-pipeline.ts'
import { lastWords } from './last-words.ts'
import {
  atEnd,
  createTopic,
  failure,
  linger,
  notRun,
  numbers,
  opened,
  running,
  sendFailure,
  send,
  sorted,
  subscribe,
  take,
  unique,
  until,
  url
} from './server.ts'

async function proxied(): Promise<{ proxy: TcpProxy; through: PubsubOptions; address: string }> {
  const port = Number(/:(\d+)$/.exec(fromUrl(url).emulator!)![1])
  const proxy = await TcpProxy.start(port)
  atEnd(() => proxy.close())
  const emulator = `127.0.0.1:${proxy.port}`
  return { proxy, through: { emulator, requestTimeout: 2_000 }, address: `pubsub://tidemark-test?emulator=${emulator}` }
}

describe.skipIf(!running)(`connections to Pub/Sub${notRun}`, () => {
  test('a cut is an error that may be retried; after it the same objects go on, and nothing is lost', async () => {
    const { proxy, through } = await proxied()
    const adapter = await opened(through)
    const topic = await createTopic(adapter)
    const subscription = await subscribe(adapter, topic)
    await send(adapter, numbers(topic, 0, 20))
    const before = await take(subscription, 20)
    await subscription.acknowledge(before.slice(0, 10).map(({ id }) => id))
    proxy.cut()
    const read = async (): Promise<never> => {
      for (;;) await subscription.receive({ wait: 100 })
    }
    expect(adapter.classify(await failure(read()))).toEqual({ code: 'connection', retryable: true })
    const lost = adapter.classify(await sendFailure(adapter, numbers(topic, 0, 5)))
    expect(lost).toEqual({ code: 'connection', retryable: true })
    expect(adapter.classify(await failure(adapter.admin().listTopics()))).toEqual(lost)
    proxy.restore()
    await until(
      async () =>
        (
          await adapter
            .admin()
            .listTopics()
            .catch(() => [])
        ).length > 0
    )
    await send(adapter, numbers(topic, 0, 20, 20))
    const open = async (): Promise<boolean> => {
      try {
        return (await subscription.receive({ wait: 0 })).length === 0
      } catch {
        return false // an error of the time before
      }
    }
    await until(open)
    // What was in our hands stayed there; the rest comes.
    expect(sorted(await take(subscription, 20))).toEqual(Array.from({ length: 20 }, (_, index) => String(20 + index)))
    expect(await subscription.acknowledge(before.map(({ id }) => id))).toEqual([])
    expect(await linger(subscription, 300)).toEqual([])
  })

  test('a server that says nothing is timed out', async () => {
    const { proxy, through } = await proxied()
    const adapter = await opened({ ...through, requestTimeout: 500 })
    const topic = await createTopic(adapter)
    proxy.judge = () => 'silence'
    const started = performance.now()
    const lost = adapter.classify(await sendFailure(adapter, numbers(topic, 0, 5)))
    expect(lost).toEqual({ code: 'timeout', retryable: true })
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  test('a stream that gives no answer to a ping is opened anew', async () => {
    const environment = new SimulatedEnvironment()
    const streams: { written: object[]; listeners: Map<string, (value: never) => void>; cancelled: boolean }[] = []
    const pull = async (): ReturnType<Connection['pull']> => {
      const opened: (typeof streams)[number] = { written: [], listeners: new Map(), cancelled: false }
      streams.push(opened)
      const stream: PullingStream = {
        write: request => opened.written.push(request),
        end: () => {},
        cancel() {
          opened.cancelled = true
          const error = Object.assign(new Error('1 CANCELLED'), { code: 1, details: 'Cancelled on client' })
          opened.listeners.get('error')?.(error as never)
        },
        pause: () => {},
        resume: () => {},
        on: (event: string, listener: (value: never) => void) => opened.listeners.set(event, listener)
      }
      return { stream, ended: () => {} }
    }
    const failures: unknown[] = []
    const stream = new PullStream({ environment, pull } as unknown as Connection, {
      subscription: 'projects/p/subscriptions/s',
      ackDeadline: 10_000,
      maxBytes: 1000,
      clientId: 'me',
      received: () => {},
      failed: error => failures.push(error)
    })
    stream.open()
    await environment.advance(29_000)
    const [first] = streams
    expect(first!.written).toHaveLength(1)
    // It answers its pings, with nothing in them, as long as it lives.
    for (let ping = 2; ping < 5; ping++) {
      await environment.advance(30_000)
      expect(first!.written).toHaveLength(ping)
      first!.listeners.get('data')!({ receivedMessages: [] } satisfies PullResponse as never)
    }
    await environment.advance(61_000)
    expect(first!.cancelled).toBe(true)
    expect(streams).toHaveLength(2)
    expect(failures).toEqual([])
    const closing = stream.close()
    await environment.advance(1_000)
    await closing
  })

  test('a pipeline over a network that is cut again and again: 0 lost, 0 doubled', { timeout: 300_000 }, async () => {
    const { proxy, address } = await proxied()
    const job = { name: unique('cuts'), pace: 1 }
    const { deposits, audited, app } = storm(job)
    const producing = await connect({ brokers: { default: url }, store: 'memory:' })
    atEnd(() => producing.close())
    await producing.admin.prepare(app)
    const { counted, last } = await lastWords(url, audited.name)
    const working = await connect({
      brokers: { default: `${address}&ackDeadline=10000&requestTimeout=2000` },
      store: 'memory:'
    })
    atEnd(() => working.close())
    const stop = new AbortController()
    const run = working.run(app, { sessionTimeout: 2_000, vitalsInterval: 250, signal: stop.signal })
    const ended = run.catch((error: unknown) => error)
    const producer = await producing.producer(deposits)
    await producer.sendAll(
      Array.from({ length: 1000 }, (_, index) => ({ key: `a${index % 10}`, value: { amount: 1 } }))
    )
    let dice = 7
    // Some answers never arrive, though the server has done what it was asked for.
    proxy.judge = () => ((dice = (dice * 48_271) % 2_147_483_647) % 60 === 0 ? 'pass-cut' : 'pass')
    for (let cut = 0; cut < 3; cut++) {
      await until(async () => counted() >= 200 * (cut + 1))
      proxy.cut()
      await new Promise(resolve => setTimeout(resolve, 300))
      proxy.restore()
    }
    proxy.judge = undefined
    await until(async () => counted() >= 1000)
    await new Promise(resolve => setTimeout(resolve, 1_000))
    for (let account = 0; account < 10; account++)
      expect(last.get(`a${account}`), `a${account}`).toMatchObject({ count: 100, sum: 5050 })
    expect(proxy.opened).toBeGreaterThan(6)
    await producer.close()
    stop.abort()
    expect(await ended).toBeUndefined()
  })
})

import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createTopic, numbers, readAll, send, texts } from '../../support/records.ts'
import { failure } from '../../support/failure.ts'
import type { EventhubsModule, ProducerClient } from '../../../src/adapters/eventhubs/client.ts'
import type { RawRecord } from '../../../src/core/record.ts'
import { fromUrl } from '../../../src/adapters/eventhubs/index.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { opened, type EventhubsAdapter, notRun, OwnServer, reader, running, take } from './server.ts'

const own = new OwnServer()

/** As the front does: again while it may help. */
async function retrying<Value>(adapter: EventhubsAdapter, call: () => Promise<Value>): Promise<Value> {
  for (const end = performance.now() + 20_000; ;) {
    try {
      return await call()
    } catch (error) {
      if (!adapter.classify(error).retryable || performance.now() > end) throw error
      await wait(50)
    }
  }
}

describe.skipIf(!running)(`the connection${notRun}`, () => {
  it('breaks between two sends, and while a reader waits: both go on', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reading = await reader(adapter, topic)
    await producer.send(numbers(topic, 0, 5))
    const seen: RawRecord[] = await take(reading, 5)
    for (let round = 1; round <= 5; round++) {
      await own.server.control('drop')
      await retrying(adapter, () => send(adapter, numbers(topic, 0, 5, round * 5)))
      while (seen.length < round * 5 + 5)
        seen.push(...(await retrying(adapter, () => reading.receive({ wait: 500, end: false }))).records)
    }
    expect(texts(seen)).toEqual(texts(await readAll(adapter, topic)))
    expect(texts(seen)).toEqual(Array.from({ length: 30 }, (_, index) => String(index)))
  })

  it('breaks again and again while records are written and read: none is lost, the order holds', async () => {
    const adapter = await own.open({ requestTimeout: 2_000 })
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reading = await reader(adapter, topic)
    const total = 3_000
    let written = 0
    let failed = false
    const writing = (async () => {
      while (written < total) {
        await retrying(adapter, async () => {
          const results = await producer.send(numbers(topic, 0, 50, written))
          for (const result of results) if (!result.ok) throw result.error
        })
        written += 50
      }
    })().finally(() => (failed = written < total))
    const breaking = (async () => {
      while (written < total && !failed) {
        await wait(300)
        await own.server.control('drop')
      }
    })()
    const seen: string[] = []
    const signal = AbortSignal.timeout(50_000)
    while (seen.at(-1) !== String(total - 1) && !signal.aborted && !failed)
      seen.push(...texts((await retrying(adapter, () => reading.receive({ wait: 500, end: false }))).records))
    await Promise.all([writing, breaking])
    // A publication whose answer was lost is written again as a whole; nothing else comes twice.
    expect(seen).toEqual(texts(await readAll(adapter, topic)))
    const first = new Map<string, number>()
    for (const [index, value] of seen.entries()) if (!first.has(value)) first.set(value, index)
    expect([...first.keys()]).toEqual(Array.from({ length: total }, (_, index) => String(index)))
  }, 90_000)

  it('is refused while the server is down, as a connection error; after its restart all goes on', async () => {
    const adapter = await own.open({ requestTimeout: 2_000 })
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reading = await reader(adapter, topic)
    await producer.send(numbers(topic, 0, 5))
    await take(reading, 5)
    await own.server.kill()
    const [refused] = await producer.send(numbers(topic, 0, 1, 5))
    expect(adapter.classify((refused as { error?: unknown }).error)).toMatchObject({ retryable: true })
    expect(await failure(() => take(reading, 1))).toMatchObject({ retryable: true, code: 'connection' })
    await own.server.restart()
    await retrying(adapter, () => send(adapter, numbers(topic, 0, 3, 5)))
    const seen: RawRecord[] = []
    while (seen.length < 3) seen.push(...(await retrying(adapter, () => reading.receive({ wait: 500 }))).records)
    expect(texts(seen)).toEqual(['5', '6', '7'])
  })

  it.each(['createBatch', 'sendBatch', 'getEventHubProperties'] as const)(
    'whose client never comes back from %s, whatever it is told, is given up, and the next call has another one',
    async stuck => {
      const vendor = (await import('@azure/event-hubs')) as unknown as EventhubsModule
      let clients = 0
      /** The first one is as the real one was seen: it waits for a lock that nobody gives back, and hears no signal. */
      class Producer extends (vendor.EventHubProducerClient as new (...parts: any[]) => ProducerClient) {
        constructor(...parts: any[]) {
          super(...parts)
          if (++clients === 1) Object.assign(this, { [stuck]: () => new Promise(() => {}) })
        }
      }
      const client = { ...vendor, EventHubProducerClient: Producer }
      const topic = await createTopic(await own.open())
      const adapter = await own.open({ requestTimeout: 500, client })
      const producer = await adapter.producer()
      const admin = adapter.admin()
      const call = async (): Promise<void> => {
        if (stuck === 'getEventHubProperties') return void (await admin.describeTopic(topic))
        const [result] = await producer.send(numbers(topic, 0, 1))
        if (!result!.ok) throw result!.error
      }
      const began = performance.now()
      expect(await failure(call)).toMatchObject({ code: 'timeout', retryable: true })
      expect(performance.now() - began).toBeLessThan(5_000)
      await call()
      await producer.close()
      await adapter.close()
    }
  )

  it('closing takes no time while the server is away', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter)
    await send(adapter, numbers(topic, 0, 1))
    await take(await reader(adapter, topic), 1)
    await own.server.kill()
    const started = performance.now()
    await adapter.close()
    expect(performance.now() - started).toBeLessThan(5_000)
    await own.server.restart()
  })

  it('leaves none behind when it is closed, however often it was cut in the middle of a frame', async () => {
    await using proxy = await TcpProxy.start(Number(/127\.0\.0\.1:(\d+)/.exec(own.server.url)![1]))
    const url = own.server.url.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`)
    for (let round = 0; round < 3; round++) {
      const adapter = await opened({ ...fromUrl(url), requestTimeout: 2_000 })
      const topic = await createTopic(adapter, 2)
      const producer = await adapter.producer()
      let chunks = 0
      proxy.judge = () => (++chunks % 40 === 0 ? 'half' : 'pass')
      const stop = AbortSignal.timeout(5_000)
      const write = async (partition: number): Promise<void> => {
        while (!stop.aborted) await producer.send(numbers(topic, partition, 1)).then(() => wait(20))
      }
      const read = async (partition: number): Promise<void> => {
        while (!stop.aborted) {
          const reading = await reader(adapter, topic, { partition }).catch(() => wait(50))
          if (!reading) continue
          const receive = async (): Promise<void> => {
            while (!stop.aborted) await reading.receive({ wait: 200, signal: stop })
          }
          await receive().catch(() => {})
          await reading.close()
        }
      }
      // Not waited for beyond that: closed in the middle of whatever they do.
      void Promise.allSettled([write(0), write(1), read(0), read(1)])
      await wait(5_000)
      proxy.judge = undefined
      const began = performance.now()
      await adapter.close()
      expect(performance.now() - began).toBeLessThan(10_000)
    }
    const deadline = performance.now() + 5_000
    while (proxy.open > 0 && performance.now() < deadline) await wait(100)
    expect(proxy.open).toBe(0)
  }, 120_000)

  it('a link that the service ends is opened again', async () => {
    const adapter = await own.open({ requestTimeout: 2_000 })
    const topic = await createTopic(adapter)
    const reading = await reader(adapter, topic)
    await send(adapter, numbers(topic, 0, 2))
    await take(reading, 2)
    const error = { condition: 'amqp:link:detach-forced', description: 'The link is force detached: idle.' }
    await own.server.control('detach', { hub: topic, error })
    await retrying(adapter, () => send(adapter, numbers(topic, 0, 2, 2)))
    const seen: RawRecord[] = []
    while (seen.length < 2) seen.push(...(await retrying(adapter, () => reading.receive({ wait: 500 }))).records)
    expect(texts(seen)).toEqual(['2', '3'])
  })
})

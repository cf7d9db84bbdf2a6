import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createTopic, numbers, readAll, send, texts } from '../../support/records.ts'
import { failure } from '../../support/failure.ts'
import type { RawRecord } from '../../../src/core/record.ts'
import { type EventhubsAdapter, notRun, OwnServer, reader, running, take } from './server.ts'

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

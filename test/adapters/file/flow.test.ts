import { describe, expect, it } from 'vitest'
import { collectGarbage } from '../../support/garbage.ts'
import { folder, open, prepare, readAll, record, send } from './support.ts'

const topic = 'words'
const megabyte = 1 << 20

/** Bytes of payloads that are really held. */
async function held(): Promise<number> {
  // What is collected is freed a little later.
  for (let times = 0; times < 3; times++) {
    collectGarbage()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return process.memoryUsage().arrayBuffers
}

describe('a group reader', () => {
  it('holds one batch at most, however many partitions it reads in turn', async () => {
    const adapter = await open(folder())
    const partitions = 32
    const producer = await prepare(adapter, { topic, partitions })
    const value = 'x'.repeat(10_000)
    for (let partition = 0; partition < partitions; partition++)
      await send(producer, ...Array.from({ length: 100 }, () => record(topic, value, { partition })))
    const reader = await adapter.logReader!({ group: 'g', topics: [topic], sessionTimeout: 5_000, maxBytes: 30_000 })
    const before = await held()
    let most = 0
    let read = 0
    const seen = new Map<number, number>()
    for (let round = 0; read < partitions * 100; round++) {
      const events = await reader.receive({ wait: 1_000 })
      expect(events.length, `nothing came after ${read} records`).toBeGreaterThan(0)
      for (const event of events) {
        if (event.kind === 'partitions-assigned')
          for (const place of event.partitions) await reader.seek(place, 'earliest')
        if (event.kind !== 'records') continue
        const next = seen.get(event.partition) ?? 0
        expect(event.records.map(({ position }) => Number(position))).toEqual(
          event.records.map((_, index) => next + index)
        )
        seen.set(event.partition, next + event.records.length)
        read += event.records.length
      }
      // A front may pause what it has got in the middle of a batch.
      const places = [...seen.keys()].map(partition => ({ topic, partition }))
      if (round % 10 === 5) reader.pause(places)
      if (seen.size === partitions || round % 60 === 59) reader.resume(places)
      if (round % 100 === 50) most = Math.max(most, (await held()) - before)
    }
    expect([...seen.values()]).toEqual(Array.from({ length: partitions }, () => 100))
    expect(most).toBeLessThan(3 * megabyte)
  })

  it('reads all partitions in turn, none again before the others', async () => {
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 20 })
    const value = 'x'.repeat(1_000)
    for (let round = 0; round < 10; round++)
      for (let partition = 0; partition < 20; partition++)
        await send(producer, ...Array.from({ length: 20 }, () => record(topic, value, { partition })))
    // More than one batch, less than two: so each call ends inside of one.
    const reader = await adapter.logReader!({ group: 'g', topics: [topic], sessionTimeout: 5_000, maxBytes: 30_000 })
    const order: number[] = []
    while (new Set(order).size < 20) {
      expect(order.length, `only ${new Set(order).size} partitions came`).toBeLessThan(50)
      for (const event of await reader.receive({ wait: 1_000 })) {
        if (event.kind === 'partitions-assigned')
          for (const place of event.partitions) await reader.seek(place, 'earliest')
        if (event.kind === 'records') order.push(event.partition)
      }
    }
  })
})

describe('a loop that finds everything at hand', () => {
  it('does not keep timers out, and so no heartbeats: reading and writing', async () => {
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 1 })
    const batch = Array.from({ length: 5_000 }, () => record(topic, 'x'.repeat(100)))
    for (let index = 0; index < 20; index++) await send(producer, ...batch)
    const ticksDuring = async (body: () => Promise<unknown>): Promise<number> => {
      let ticks = 0
      const ticking = setInterval(() => ticks++, 5)
      for (const end = performance.now() + 250; performance.now() < end;) await body()
      clearInterval(ticking)
      return ticks
    }
    expect(await ticksDuring(() => readAll(adapter, topic))).toBeGreaterThan(5)
    const others = [await adapter.producer(), await adapter.producer()]
    const sending = others.map(other => ticksDuring(() => send(other, record(topic, 'x'))))
    for (const ticks of await Promise.all(sending)) expect(ticks).toBeGreaterThan(5)
    const reader = await adapter.logReader!({ group: 'g', topics: [topic], sessionTimeout: 5_000, maxBytes: megabyte })
    await reader.receive({ wait: 1_000 })
    await reader.seek({ topic, partition: 0 }, 'earliest')
    const again = async (): Promise<void> => {
      const [event] = await reader.receive({ wait: 1_000 })
      if (event?.kind === 'records' && event.behind === 0) await reader.seek(event, 'earliest')
    }
    expect(await ticksDuring(again)).toBeGreaterThan(5)
  })
})

import { expect, it } from 'vitest'
import { aggregate, connect, number, pipeline, sink, source, text, topic, tumbling } from '../../../src/index.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import { broker, createTopic, notRun, open, readAll, record, running } from './server.ts'

const HOUR = 3_600_000

it.runIf(running)(`a record of ours may be farther ahead than the broker takes it${notRun}`, async () => {
  const adapter = await open()
  const name = await createTopic(adapter, 1)
  const producer = await adapter.producer()
  const now = Date.now()
  const times = [0, HOUR / 2, 24 * HOUR].map(ahead => now + ahead)
  const results = await producer.send(
    times.map((time, index) => ({
      ...record(name, 0, `${index}`),
      timestamp: time,
      stamp: encodeStamp('0123456789abcdef', index + 1, time, undefined, false)
    }))
  )
  expect(results.map(result => result.ok)).toEqual([true, true, true])
  const read = await readAll(adapter, name)
  expect(read.slice(0, 2).map(({ timestamp }) => timestamp)).toEqual(times.slice(0, 2))
  expect(read[2]!.timestamp).toBeGreaterThan(now + HOUR / 2)
  expect(read[2]!.timestamp).toBeLessThan(now + HOUR)
  await adapter.close()
})

it.runIf(running)(
  `early results of long windows are written, with their event time${notRun}`,
  { timeout: 60_000 },
  async () => {
    const unique = Math.random().toString(36).slice(2)
    const amounts = topic(`amounts-${unique}`, { key: text, value: number, partitions: 1 })
    const sums = topic(`sums-${unique}`, { key: text, value: number, partitions: 1 })
    const WEEK = 7 * 24 * HOUR
    const now = Date.now()
    const seen: [number, number][] = []
    const stages = [
      source({
        name: 'feed',
        to: amounts,
        run: () => [1, 2, 3].map(value => ({ key: 'k', value, eventTime: now + value }))
      }),
      aggregate({
        ...{
          name: 'sums',
          from: amounts,
          to: sums,
          window: tumbling(WEEK, { offset: now % WEEK }),
          early: { count: 1 }
        },
        accumulator: number,
        init: () => 0,
        add: (sum, { value }) => sum + value,
        result: ({ key, value }) => ({ key, value })
      }),
      sink({
        name: 'seen',
        from: sums,
        write: records => void seen.push(...records.map(r => [r.value, r.eventTime] as [number, number]))
      })
    ]
    const client = await connect({ brokers: { default: `kafka://${broker}` }, store: 'broker', variables: {} })
    await client.run(pipeline(`future-${unique}`, stages), { handleSignals: false })
    await client.close()
    expect(seen.map(([value]) => value)).toEqual([1, 3, 6, 6])
    for (const [, time] of seen) expect(time).toBe(now + WEEK - 1)
  }
)

import { expect, it } from 'vitest'
import type { AnyAdapter, LogEvent } from '../../src/spec/index.ts'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { noHeaders } from '../../src/core/record.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import { keyed, number, pipeline, processor, text, topic } from '../../src/index.ts'
import { runPipeline, runSettings } from '../../src/pipeline/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })

/** Whatever it gives, it gives again a little later: a broker that answers with an old place (protocol F5). */
function repeating(inner: AnyAdapter): AnyAdapter {
  return {
    ...inner,
    logReader: async options => {
      const reader = await inner.logReader!(options)
      let again: readonly LogEvent[] = []
      return {
        seek: (place, at) => reader.seek(place, at),
        commit: positions => reader.commit(positions),
        pause: partitions => reader.pause(partitions),
        resume: partitions => reader.resume(partitions),
        close: () => reader.close(),
        async receive(given) {
          const before = again
          again = []
          if (before.length > 0) return before
          const events = await reader.receive(given)
          again = events.filter(event => event.kind === 'records')
          return events
        }
      }
    }
  }
}

it('records without a stamp that a log gives once more are dropped, and the position does not go back', async () => {
  const environment = new SimulatedEnvironment()
  const broker = new MemoryBroker()
  const adapter = repeating(memory({ broker, client: 'worker' }))
  await adapter.open(environment)
  broker.createTopic({ topic: 'numbers', partitions: 1 })
  const sums: number[] = []
  const positions: string[] = []
  const add = processor({
    name: 'add',
    from: numbers,
    state: { sum: keyed(number, 0) },
    process({ value, position }, { state }) {
      state.sum.set(state.sum.get() + value)
      sums.push(state.sum.get())
      positions.push(position)
    }
  })
  const stop = new AbortController()
  const host = {
    environment,
    registry: undefined,
    adapterOf: () => adapter,
    commitIn: 'store' as const,
    openStore: async () => new MemoryStore()
  }
  const running = runPipeline(
    host,
    pipeline('app', [add]),
    runSettings({ handleSignals: false, commitRecords: 1 }),
    stop.signal
  )
  await environment.advance(1_000)
  for (const value of [1, 2, 3]) {
    const record = {
      key: text.encode('a'),
      value: number.encode(value),
      headers: noHeaders,
      stamp: undefined,
      timestamp: 0
    }
    broker.appendAll([{ topic: 'numbers', partition: 0, ...record }])
    await environment.advance(1_000)
  }
  expect(sums).toEqual([1, 3, 6])
  expect(positions).toEqual(['0', '1', '2'])
  expect(broker.group('app.add').committed({ topic: 'numbers', partition: 0 })).toBe('2')
  stop.abort()
  await environment.run(running)
})

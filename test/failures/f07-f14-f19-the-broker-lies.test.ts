/**
 * F7: a broker loses what it has acknowledged. F14: it drops a record as a repeat that it has never stored. F19: it stores a record twice.
 * Readers of stamped records see all three.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished } from 'vitest'
import { memory, type MemoryAdapter } from '../../src/adapters/memory/index.ts'
import { keyed, number, pipeline, processor, text, topic } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { connect } from '../../src/connect.ts'
import { World } from '../pipeline/world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })
const sums = topic('sums', { key: text, value: number, partitions: 1 })

/** Acknowledges records and keeps only those that it wants to. */
function losing(inner: MemoryAdapter, keeps: (index: number) => boolean): AnyAdapter {
  let index = 0
  return {
    ...inner,
    open: environment => inner.open(environment),
    producer: async () => {
      const producer = await inner.producer()
      return {
        ...producer,
        close: () => producer.close(),
        async send(records, options) {
          const kept = records.filter(record => record.topic !== 'numbers' || keeps(index++))
          const results = await producer.send(kept, options)
          return records.map(record => results[kept.indexOf(record)] ?? { ok: true, position: '0' })
        }
      }
    }
  }
}

async function summed(
  world: World,
  write: (adapter: MemoryAdapter) => AnyAdapter,
  numbersAs: typeof numbers = numbers
): Promise<{ sums: unknown[]; lost: unknown[]; counts: unknown }> {
  const lost: unknown[] = []
  const hear = (message: unknown): void => void lost.push(message)
  subscribe('tidemark:records-lost', hear)
  onTestFinished(() => void unsubscribe('tidemark:records-lost', hear))
  const { broker, environment } = world
  broker.createTopic({ topic: 'numbers', partitions: 1 })
  const adapter = write(memory({ broker, client: 'writer' }))
  const client = await connect({ brokers: { default: adapter }, environment, variables: {} })
  const producer = await environment.run(client.producer(numbers))
  for (let value = 1; value <= 10; value++) await environment.run(producer.send({ key: 'a', value }))
  const add = processor({
    name: 'add',
    from: numbersAs,
    to: sums,
    state: { sum: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.sum.set(state.sum.get() + value)
      return { key, value: state.sum.get() }
    }
  })
  await environment.run(client.close())
  const stop = new AbortController()
  const running = world.worker().run(pipeline('app', [add]), { handleSignals: false, signal: stop.signal })
  running.catch(() => {}) // told below
  await environment.advance(5_000)
  stop.abort()
  await environment.run(running)
  return {
    sums: (await world.records(sums)).map(({ value }) => value),
    lost,
    counts: await world.counts('add')
  }
}

describe('a broker that does not do what it has acknowledged', () => {
  it.each([
    ['F7: loses the end of what it has acknowledged, and goes on', (index: number) => index < 4 || index > 6],
    ['F14: drops as a repeat what it has never stored', (index: number) => index !== 4]
  ])('%s: the hole is counted and told of', async (_, keeps) => {
    const { lost, counts } = await summed(new World(), adapter => losing(adapter, keeps))
    const missing = Array.from({ length: 10 }, (__, index) => index).filter(index => !keeps(index)).length
    expect(counts).toMatchObject({ processed: 10 - missing, lost: missing, duplicates: 0 })
    expect(lost.length).toBeGreaterThan(0)
  })

  it('F7: ends the run with the names of what is missing, where the topic says to stall', async () => {
    const stalling = topic('numbers', { key: text, value: number, partitions: 1, gaps: 'stall' })
    const world = new World()
    const failed = summed(world, adapter => losing(adapter, index => index < 4 || index > 6), stalling)
    await expect(failed).rejects.toMatchObject({
      code: 'records-lost',
      retryable: false,
      message: expect.stringMatching(
        /records 5 to 7 of producer [0-9a-f]{32} are missing from 'numbers', partition 0.*gaps: \{ skipAfter: 0 \}/
      )
    })
    // What came before the gap is committed, nothing behind it.
    const sumsSoFar = (await world.records(sums)).map(({ value }) => value)
    expect(sumsSoFar).toEqual([1, 3, 6, 10].slice(0, sumsSoFar.length))
  })

  it('F19: stores records twice: each has its effect once, and the repeats are counted', async () => {
    const world = new World()
    world.broker.faults.duplicate({ topic: 'numbers', times: 4 })
    const found = await summed(world, adapter => adapter)
    expect(found.counts).toMatchObject({ processed: 10, lost: 0, duplicates: 4 })
    expect(found.sums.at(-1)).toBe(55)
    expect(found.lost).toEqual([])
  })
})

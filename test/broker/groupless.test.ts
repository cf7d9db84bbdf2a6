/** Consumers on brokers without consumer groups: leases and positions in the client's store, or acknowledgements. */
import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { connect, json, text, topic, type Client } from '../../src/index.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import type { AnyAdapter, QueueSubscription } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { failure } from '../support/failure.ts'

const lines = topic('lines', { key: text, value: json<{ n: number }>(), partitions: 2 })

/** The memory broker as one that keeps no groups. */
function groupless(broker: MemoryBroker, changed: Partial<AnyAdapter['capabilities']> = {}): AnyAdapter {
  const { logReader: _, transactions: __, ...rest } = memory({ broker })
  return { ...rest, capabilities: { ...rest.capabilities, groups: false, transactions: false, ...changed } }
}

async function fill(environment: SimulatedEnvironment, client: Client, from: number, to: number): Promise<void> {
  const producer = await environment.run(client.producer(lines))
  const entries = Array.from({ length: to - from }, (_, index) => ({
    key: `k${index % 7}`,
    value: { n: from + index }
  }))
  await environment.run(producer.sendAll(entries))
  await environment.run(producer.close())
}

describe('a consumer on a broker without groups', () => {
  it('starts where it is told, once', async () => {
    const environment = new SimulatedEnvironment({ seed: 3 })
    const store = new MemoryStore()
    const broker = new MemoryBroker()
    const client = await connect({ brokers: { default: groupless(broker) }, store, environment, variables: {} })
    await fill(environment, client, 0, 10)
    const read = async (count: number, written: () => Promise<void>): Promise<number[]> => {
      const stop = new AbortController()
      const seen: number[] = []
      const reading = (async () => {
        const consumer = client.consumer(lines, { group: 'late', startAt: 'latest', signal: stop.signal })
        for await (const { value } of consumer) if (seen.push(value.n) === count) stop.abort()
      })()
      await environment.advance(2_000)
      await written()
      await environment.run(reading)
      return seen.sort((left, right) => left - right)
    }
    expect(await read(5, () => fill(environment, client, 100, 105))).toEqual([100, 101, 102, 103, 104])
    // The group has committed: `startAt` is not for it any more.
    await fill(environment, client, 200, 203)
    expect(await read(3, async () => {})).toEqual([200, 201, 202])
    await environment.run(client.close())
  })

  it('is refused another start on a queue, with the way out', async () => {
    const environment = new SimulatedEnvironment({ seed: 4 })
    const { partitionReader: _, ...rest } = groupless(new MemoryBroker(), { positions: 'none', order: 'none' })
    const queue: QueueSubscription = {
      receive: async () => [],
      acknowledge: async () => [],
      release: async () => {},
      extend: async () => {},
      close: async () => {}
    }
    const adapter: AnyAdapter = { ...rest, queueSubscription: async () => queue }
    const client = await connect({ brokers: { default: adapter }, store: 'memory:', environment, variables: {} })
    const read = async (): Promise<void> => {
      for await (const record of client.consumer(lines, { group: 'g', startAt: 'latest' }))
        expect(record).toBe(undefined)
    }
    const refused = await environment.run(failure(read))
    expect(refused.code).toBe('unsupported')
    expect(refused.message).toMatch(/ensureGroup.*leave out `startAt`.*seekGroup/)
    await environment.run(client.close())
  })
})

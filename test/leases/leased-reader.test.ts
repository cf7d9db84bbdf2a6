import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import { LeasedReader } from '../../src/pipeline/leased-reader.ts'
import type { LogEvent, PartitionsRevoked } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { ungrouped } from './ungrouped.ts'

const session = 2_000

async function world(partitions = 2): Promise<{
  environment: SimulatedEnvironment
  store: MemoryStore
  join(topic?: string): LeasedReader
  step(reader: LeasedReader, wait?: number): Promise<readonly LogEvent[]>
}> {
  const broker = new MemoryBroker()
  for (const topic of ['t', 'u']) broker.createTopic({ topic, partitions })
  const environment = new SimulatedEnvironment()
  const store = new MemoryStore()
  const adapter = ungrouped(memory({ broker }))
  await adapter.open(environment)
  return {
    environment,
    store,
    join(topic = 't') {
      const options = { group: 'g', topics: [topic], sessionTimeout: session, maxBytes: 1 << 20 }
      return new LeasedReader(adapter, environment, store, options, partitions)
    },
    step: (reader, wait = 0) => environment.run(reader.receive({ wait }))
  }
}

const told = (events: readonly LogEvent[]): string[] =>
  events.map(event =>
    event.kind === 'records' ? 'records' : `${event.kind} ${event.partitions.map(({ partition }) => partition).join()}`
  )

/** Somebody else takes a lease, as if the owner had been silent for long. */
async function steal(store: MemoryStore, name: string, owner = 'thief'): Promise<void> {
  const rows = await store.leases(JSON.stringify(['g', 't']))
  expect(
    await store.take(
      JSON.stringify(['g', 't']),
      name,
      owner,
      rows.find(row => row.name === name)
    )
  ).toBe(true)
}

const at = (partition: number, position: string): { topic: string; partition: number; position: string } => ({
  topic: 't',
  partition,
  position
})

describe('a reader by leases', () => {
  it('stores nothing of a member that was robbed and does not know it yet', async () => {
    const { environment, store, join, step } = await world()
    const reader = join()
    await environment.advance(100)
    expect(told(await step(reader))).toEqual(['partitions-assigned 0', 'partitions-assigned 1'])
    await reader.commit([at(0, '3'), at(1, '3')])
    await steal(store, '1')
    await store.storePositions('g', [at(1, '7')])
    await expect(reader.commit([at(0, '4'), at(1, '4')])).rejects.toMatchObject({ code: 'not-owner' })
    expect([...(await store.positions('g', 't'))]).toEqual([
      [0, '3'],
      [1, '7']
    ])
    await environment.run(reader.close())
  })

  it('lets go at the deadline, whatever the front does', async () => {
    const { environment, join, step } = await world()
    const slow = join()
    await environment.advance(500)
    await step(slow)
    const second = join()
    await environment.advance(500)
    const [event] = (await step(slow)) as PartitionsRevoked[]
    await environment.advance(event!.deadline - environment.monotonic() - 1)
    expect(await step(second)).toEqual([])
    await environment.advance(300)
    expect(told(await step(second))).toEqual([`partitions-assigned ${event!.partitions[0]!.partition}`])
    await expect(slow.commit([{ ...event!.partitions[0]!, position: '1' }])).rejects.toMatchObject({
      code: 'not-owner'
    })
    await environment.run(Promise.all([slow.close(), second.close()]))
  })

  it('takes the time of the front until then', async () => {
    const { environment, join, step } = await world()
    const first = join()
    await environment.advance(500)
    await step(first)
    const second = join()
    await environment.advance(500)
    const [event] = (await step(first)) as PartitionsRevoked[]
    expect(event!.deadline).toBeGreaterThan(environment.monotonic() + session / 2)
    await first.commit([{ ...event!.partitions[0]!, position: '1' }])
    await environment.advance(session / 2)
    expect(await step(second)).toEqual([])
    event!.release()
    event!.release()
    await environment.advance(300)
    expect(told(await step(second))).toEqual([`partitions-assigned ${event!.partitions[0]!.partition}`])
    await expect(first.commit([{ ...event!.partitions[0]!, position: '2' }])).rejects.toMatchObject({
      code: 'not-owner'
    })
    await environment.run(Promise.all([first.close(), second.close()]))
  })

  it('needs nobody’s release for what the front has not heard of', async () => {
    const { environment, join, step } = await world()
    const silent = join()
    await environment.advance(500)
    const second = join()
    await environment.advance(500)
    expect((await step(second)).length).toBe(1)
    expect((await step(silent)).length).toBe(1)
    await environment.run(Promise.all([silent.close(), second.close()]))
  })

  it('begins a new life of a partition only when the old one is over, and no late word of that one reaches it', async () => {
    const { environment, store, join, step } = await world(1)
    const reader = join()
    await environment.advance(100)
    await step(reader)
    const joiner = join()
    // With one partition there is nothing to ask for: the lease is stolen, given back, and taken again.
    await environment.run(joiner.close())
    await steal(store, '0')
    await environment.advance(300)
    await store.release(JSON.stringify(['g', 't']), '0', 'thief')
    await environment.advance(500)
    // It is ours again in the store, but the front works on what it had before.
    await expect(reader.commit([at(0, '1')])).rejects.toMatchObject({ code: 'not-owner' })
    const events = await step(reader)
    expect(told(events)).toEqual(['partitions-revoked 0', 'partitions-assigned 0'])
    await reader.commit([at(0, '1')])
    ;(events[0] as PartitionsRevoked).release()
    await environment.advance(1_000)
    expect(await step(reader)).toEqual([])
    await reader.commit([at(0, '2')])
    await environment.run(reader.close())
  })

  it('that is robbed while the front drains lets go, and the late release is for nothing', async () => {
    const { environment, store, join, step } = await world()
    const first = join()
    await environment.advance(500)
    await step(first)
    const second = join()
    await environment.advance(500)
    const [event] = (await step(first)) as PartitionsRevoked[]
    const { partition } = event!.partitions[0]!
    await environment.run(second.close())
    await steal(store, `${partition}`)
    await environment.advance(500)
    await store.release(JSON.stringify(['g', 't']), `${partition}`, 'thief')
    await environment.advance(500)
    expect(told(await step(first))).toEqual([`partitions-assigned ${partition}`])
    event!.release()
    await environment.advance(500)
    await first.commit([at(partition, '5')])
    await environment.run(first.close())
  })

  it('shares out each topic of a group by itself', async () => {
    const { environment, join, step } = await world()
    const readers = [join('t'), join('u')]
    await environment.advance(1_000)
    for (const reader of readers) expect((await step(reader)).length).toBe(2)
    await environment.run(Promise.all(readers.map(reader => reader.close())))
  })
})

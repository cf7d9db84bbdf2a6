/** Outputs of a store, sent to a broker in transactions: once for whoever reads them, with or without this library. */
import { beforeEach, describe, expect, it } from 'vitest'
import { memory, MemoryBroker, type MemoryAdapter } from '../../src/adapters/memory/index.ts'
import { Sender } from '../../src/broker/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders, type OutgoingRecord } from '../../src/core/record.ts'
import { StageRelay, type TaskRelay } from '../../src/pipeline/relay.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

const task = { id: 'app/stage/1', pipeline: 'app', stage: 'stage', ordinal: 1 }
const markers = 'app.stage.relayed'

let environment: SimulatedEnvironment
let broker: MemoryBroker

beforeEach(() => {
  environment = new SimulatedEnvironment({ seed: 5 })
  broker = new MemoryBroker()
})

async function adapterOf(of: MemoryBroker, client: string): Promise<AnyAdapter> {
  const inner: MemoryAdapter = memory({ broker: of, client })
  await inner.open(environment)
  for (const topic of ['out', 'other'])
    await inner
      .admin()
      .createTopic({ topic, partitions: 1 })
      .catch(() => {})
  return { ...inner, capabilities: { ...inner.capabilities, scope: 'network' } }
}

/** A life of the task at some worker. */
async function life(client: string, more: Record<string, MemoryBroker> = {}): Promise<TaskRelay> {
  const senders = new Map<string, Sender>()
  const main = new Sender(await adapterOf(broker, client), environment, true)
  for (const [topic, other] of Object.entries(more))
    senders.set(topic, new Sender(await adapterOf(other, client), environment, true))
  const stage = new StageRelay({ environment, sender: topic => senders.get(topic) ?? main, partitions: 2 })
  return Object.assign(
    stage.open(task, true, () => {}),
    { stage }
  )
}

function output(commit: number, topic = 'out'): OutgoingRecord {
  const value = Buffer.from(String(commit))
  return { topic, partition: 0, key: null, value, headers: noHeaders, stamp: undefined, timestamp: 0 }
}

const unsent = (...commits: number[]) => commits.map(commit => ({ commit, outputs: [output(commit)] }))

/** What a reader without this library finds. */
function read(topic = 'out', partition = 0, of = broker): string[] {
  const log = of.findTopic(topic)!.partitions[partition]!
  return log.slice(log.start, Infinity, true).records.map(({ value }) => Buffer.from(value!).toString())
}

const run = <Value>(promise: Promise<Value>): Promise<Value> => environment.run(promise)

describe('a relay in transactions', () => {
  it('sends each commit once, with a marker that has its number', async () => {
    const relay = await run(life('a'))
    relay.recover(0, [])
    relay.add(1, [output(1), output(1)])
    relay.add(2, [])
    relay.add(3, [output(3)])
    await run(relay.all)
    expect(read()).toEqual(['1', '1', '3'])
    expect(read(markers, 1).at(-1)).toBe('{"version":1,"commit":3}')
    expect([relay.relayedTo, relay.unsentBytes]).toEqual([3, 0])
  })

  it('gathers what is committed while a transaction is under way', async () => {
    const relay = await run(life('a'))
    relay.recover(0, [])
    const held = broker.faults.hold({ operation: 'transaction' })
    relay.add(1, [output(1)])
    await run(held.reached)
    for (const commit of [2, 3, 4, 5]) relay.add(commit, [output(commit)])
    held.release()
    await run(relay.all)
    expect(read()).toEqual(['1', '2', '3', '4', '5'])
    expect(read(markers, 1), 'one for each transaction').toHaveLength(2)
  })

  it.each(['none', 'committed', 'open-committed', 'open-aborted'] as const)(
    'an unclear end is settled by a new producer: %s',
    async effect => {
      const relay = await run(life('a'))
      relay.recover(0, [])
      broker.faults.failTransaction({ effect, outcome: 'unknown', times: 2 })
      for (const commit of [1, 2, 3]) relay.add(commit, [output(commit)])
      await run(relay.all)
      relay.add(4, [output(4)])
      await run(relay.all)
      expect(read()).toEqual(['1', '2', '3', '4'])
      expect(relay.relayedTo).toBe(4)
    }
  )

  it.each(['open-committed', 'open-aborted'] as const)(
    'a worker that dies inside of a transaction leaves nothing twice: %s',
    async effect => {
      const zombie = await run(life('zombie'))
      zombie.recover(0, [])
      broker.faults.failTransaction({ effect, outcome: 'unknown' })
      const held = broker.faults.hold({ operation: 'transaction-init', client: 'zombie' })
      zombie.add(1, [output(1)])
      // It has opened its first producer; the one after the unclear end waits at the door.
      held.release()
      const second = broker.faults.hold({ operation: 'transaction-init', client: 'zombie' })
      zombie.add(2, [output(2)])
      await run(second.reached)
      const heir = await run(life('heir'))
      heir.recover(2, unsent(1, 2))
      await run(heir.all)
      expect(read()).toEqual(['1', '2'])
      // It wakes up, and takes the task from its heir: which has sent all, so there is nothing left for it.
      second.release()
      await run(zombie.all)
      expect(read()).toEqual(['1', '2'])
      expect(zombie.relayedTo).toBe(2)
      // The heir is fenced now: its life ends, and does not fence in turn.
      heir.add(3, [output(3)])
      await run(heir.all)
      expect(heir.failure).toMatchObject({ code: 'fenced', retryable: true })
      const next = await run(life('heir again'))
      next.recover(3, unsent(3))
      await run(next.all)
      expect(read()).toEqual(['1', '2', '3'])
    }
  )

  it('what is refused for good ends the relay, and nothing behind it is sent', async () => {
    const relay = await run(life('a'))
    relay.recover(0, [])
    const error = new StreamError('too-large', 'no')
    broker.faults.failTransaction({ effect: 'none', outcome: 'aborted', error })
    relay.add(1, [output(1)])
    await run(relay.all)
    relay.add(2, [output(2)])
    await run(relay.all)
    expect(relay.failure).toBe(error)
    expect([read(), relay.relayedTo]).toEqual([[], 0])
  })

  it('an abort that may pass is tried again; until it does, the stage is told to be failing', async () => {
    const relay = (await run(life('a'))) as TaskRelay & { stage: StageRelay }
    relay.recover(0, [])
    broker.faults.failTransaction({ effect: 'none', outcome: 'aborted', times: 6 })
    relay.add(1, [output(1)])
    const since = environment.monotonic()
    await run(sleep(environment, 300))
    expect(relay.stage.failingSince('out')).toBeLessThanOrEqual(since + 1)
    await run(relay.all)
    expect([read(), relay.stage.failingSince('out')]).toEqual([['1'], undefined])
  })

  it('a marker that is ahead of the store: nothing is taken for sent that is not', async () => {
    const before = await run(life('before'))
    before.recover(0, [])
    for (const commit of [1, 2, 3]) before.add(commit, [output(commit)])
    await run(before.all)
    const relay = await run(life('with another store'))
    relay.recover(0, [])
    relay.add(1, [output(1)])
    await run(relay.all)
    expect(relay.failure).toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('its store knows 1 commits')
    })
    expect(relay.relayedTo).toBe(0)
  })

  it('a marker of a newer release is refused', async () => {
    const [adapter] = [await run(adapterOf(broker, 'newer'))]
    await run(adapter.admin().createTopic({ topic: markers, partitions: 2 }))
    const newer = {
      ...output(0, markers),
      partition: 1,
      key: Buffer.from(task.id),
      value: Buffer.from('{"version":2}')
    }
    await run((await adapter.producer()).send([newer], new AbortController().signal))
    const relay = await run(life('a'))
    relay.recover(0, [])
    relay.add(1, [output(1)])
    await run(relay.all)
    expect(relay.failure).toMatchObject({ code: 'corrupt', message: expect.stringContaining('cannot read') })
  })

  it('to two brokers: a commit is relayed when both have it, and each goes on behind its own marker', async () => {
    const other = new MemoryBroker()
    const first = await run(life('first', { other }))
    first.recover(0, [])
    const held = other.faults.hold({ operation: 'transaction' })
    first.add(1, [output(1), output(1, 'other')])
    await run(held.reached)
    await run(sleep(environment, 100))
    expect([read(), read('other', 0, other), first.relayedTo]).toEqual([['1'], [], 0])
    const heir = await run(life('heir', { other }))
    heir.recover(1, [{ commit: 1, outputs: [output(1), output(1, 'other')] }])
    await run(heir.all)
    held.release()
    await run(first.all)
    expect([read(), read('other', 0, other), heir.relayedTo]).toEqual([['1'], ['1'], 1])
  })

  it('stopped, it fails what waits, also while the broker is away', async () => {
    const relay = await run(life('a'))
    relay.recover(0, [])
    broker.faults.disconnect('a')
    relay.add(1, [output(1)])
    await run(sleep(environment, 1_000))
    relay.stop()
    await run(relay.all)
    expect(relay.failure).toMatchObject({ code: 'aborted' })
    relay.close()
  })
})

/** The standby of the broker's store: what a worker has read of a task that another holds, and when it may count. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Diagnostics } from '../../src/core/diagnostics.ts'
import { sleep } from '../../src/core/environment.ts'
import { BrokerStore, changelogTopic, type TaskLog, type TaskName } from '../../src/exactly-once/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { storedRows } from '../support/stored-rows.ts'
import { commitOf, row } from './stores.ts'

const partitions = 4
const taskOf = (ordinal: number): TaskName => ({ id: `p/s/${ordinal}`, pipeline: 'p', stage: 's', ordinal })
const task = taskOf(1)
const changelog = changelogTopic('p', 's')

let broker: MemoryBroker
let environment: SimulatedEnvironment
/** What the acquisitions have read of changelogs. */
let read: Diagnostics['changelog-read'][]
const onRead = (message: unknown): void => void read.push(message as Diagnostics['changelog-read'])

beforeEach(() => {
  broker = new MemoryBroker()
  broker.createTopic({ topic: changelog, partitions })
  environment = new SimulatedEnvironment({ seed: 1 })
  read = []
  subscribe('tidemark:changelog-read', onRead)
})
afterEach(() => void unsubscribe('tidemark:changelog-read', onRead))

async function openStore(client: string, standby?: { maxBytes: number }): Promise<BrokerStore> {
  const adapter = memory({ broker, client })
  await adapter.open(environment)
  return new BrokerStore(adapter, partitions, standby && { environment, ...standby })
}

const run = <Result>(body: () => Promise<Result>): Promise<Result> => environment.run(body())

/** An owner with `count` rows, one commit each. */
async function fill(store: BrokerStore, count: number, of: TaskName = task, name: string = 'key'): Promise<TaskLog> {
  const log = await store.acquire(of)
  for (let number = 1; number <= count; number++)
    expect(await log.append(commitOf(number, { state: [row(`${name} ${number}`, `${number}`)] }))).toBe('ok')
  return log
}

async function rowsOf(log: TaskLog): Promise<readonly string[]> {
  return (await storedRows(log.state)).map(({ slot, key, value }) => `${slot} ${key} ${Buffer.from(value!).toString()}`)
}

async function followed(store: BrokerStore, ids: readonly string[] = [task.id]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (ids.every(id => store.standby!.following.includes(id))) return
    await sleep(environment, 500)
  }
  throw new Error(`it follows ${store.standby!.following}`)
}

interface TakenOver {
  readonly log: TaskLog
  readonly rows: readonly string[]
  readonly records: number
  readonly standby: boolean
}

/** Takes over with the standby and, right after it, without: both must have the same. Gives what the first has read. */
async function takeOver(store: BrokerStore): Promise<TakenOver> {
  read.length = 0
  const log = await store.acquire(task)
  const all = {
    records: read.reduce((sum, { records }) => sum + records, 0),
    standby: read.every(each => each.standby)
  }
  const whole = await (await openStore(`plain ${read.length} ${environment.monotonic()}`)).acquire(task)
  expect(log.last).toEqual(whole.last)
  const rows = (await rowsOf(log)).toSorted()
  expect(rows).toEqual((await rowsOf(whole)).toSorted())
  return { log, rows, ...all }
}

const plenty = { maxBytes: 1_000_000 }

describe('a standby', () => {
  it('leaves the rest to be read in take-over', () =>
    run(async () => {
      const owner = await fill(await openStore('a'), 100)
      const store = await openStore('b', plenty)
      store.standby!.open([task])
      await followed(store)
      await owner.append(commitOf(101, { state: [row('key 1', null), row('key 2', 'new'), row('late', '1')] }))
      const { records, standby, rows } = await takeOver(store)
      expect(standby).toBe(true)
      // The head that it has, once more, and what came behind it.
      expect(records).toBeLessThanOrEqual(5)
      expect(rows.length).toBe(100)
      expect(rows).toContain('total late 1')
      expect(rows).toContain('total key 2 new')
      expect(rows).not.toContain('total key 1 1')
      await store.close()
    }))

  it('reads everything without one', () =>
    run(async () => {
      await fill(await openStore('a'), 100)
      expect(await takeOver(await openStore('b'))).toMatchObject({ records: 200, standby: false })
    }))

  it('sees the commits of a chain of owners, and reads the rest behind the fence only', () =>
    run(async () => {
      const zombie = await fill(await openStore('a'), 10)
      const store = await openStore('b', plenty)
      store.standby!.open([task])
      await followed(store)
      // A transaction of the owner that is left open is ended by the fence: the rest begins behind it.
      broker.faults.failTransaction({ effect: 'open-committed' })
      expect(await zombie.append(commitOf(11, { state: [row('key 1', 'by the zombie')] }))).toBe('unknown')
      const { log, standby } = await takeOver(store)
      expect(standby).toBe(true)
      expect(log.last!.number).toBe(11)
      expect(await zombie.append(commitOf(12))).toBe('fenced')
      await store.close()
    }))

  it('is taken over while it reads for the first time', () =>
    run(async () => {
      await fill(await openStore('a'), 300)
      const store = await openStore('b', plenty)
      store.standby!.open([task])
      await takeOver(store)
      await store.close()
    }))

  it('reads anew when the task is lost, and takes it over again', () =>
    run(async () => {
      await fill(await openStore('a'), 20)
      const store = await openStore('b', plenty)
      store.standby!.open([task])
      await followed(store)
      const { log } = await takeOver(store)
      expect(store.standby!.following).toEqual([])
      await log.close()
      const next = await (await openStore('c')).acquire(task)
      expect(await next.append(commitOf(21, { state: [row('key 3', 'of c')] }))).toBe('ok')
      await followed(store)
      expect(await takeOver(store)).toMatchObject({ standby: true })
      await store.close()
    }))

  it('does not follow what is held here, though one life ends after the next has begun', () =>
    run(async () => {
      const store = await openStore('a', plenty)
      store.standby!.open([task])
      const first = await store.acquire(task)
      const second = await store.acquire(task)
      await first.close()
      await sleep(environment, 5_000)
      expect(store.standby!.following).toEqual([])
      await second.close()
      await followed(store)
      await store.close()
    }))

  it('is kept where a take-over fails for a while', () =>
    run(async () => {
      await fill(await openStore('a'), 100)
      const store = await openStore('b', plenty)
      store.standby!.open([task])
      await followed(store)
      broker.faults.fail({ operation: 'read-partition', client: 'b', topic: changelog })
      // What is followed again meanwhile does not get on.
      const held = broker.faults.hold({ operation: 'read-partition', client: 'b', topic: changelog })
      await expect(store.acquire(task)).rejects.toMatchObject({ code: 'connection' })
      await held.reached
      const { records, standby } = await takeOver(store)
      expect({ standby, few: records < 5 }).toEqual({ standby: true, few: true })
      await store.close()
    }))
})

describe('what a standby has does not count', () => {
  /** The changelog as `change` leaves it behind a standby that was at its end. */
  async function spoiled(change: (owner: TaskLog) => Promise<unknown>): Promise<{ records: number; standby: boolean }> {
    const owner = await fill(await openStore('a'), 10)
    const store = await openStore('b', plenty)
    store.standby!.open([task])
    await followed(store)
    await change(owner)
    const found = await takeOver(store)
    await store.close()
    return found
  }
  const anew = async (commits: number): Promise<TaskLog> => {
    broker.deleteTopic(changelog)
    broker.createTopic({ topic: changelog, partitions })
    return fill(await openStore('c'), commits, task, 'other')
  }

  it('when the topic was made anew, and is shorter', () =>
    run(async () => expect((await spoiled(() => anew(2))).standby).toBe(false)))

  it('when the topic was made anew, and has grown past where it was', () =>
    run(async () => expect((await spoiled(() => anew(30))).standby).toBe(false)))

  it('when the topic was made anew, and is as long', () =>
    run(async () => expect((await spoiled(() => anew(10))).standby).toBe(false)))

  it('when the topic was made anew, and ends where its last commit begins', () =>
    run(async () => {
      const found = await spoiled(async () => {
        const owner = await anew(8)
        await owner.append(commitOf(9, { state: [row('a', '1'), row('b', '1')] }))
        expect(broker.log({ topic: changelog, partition: 1 }).end).toBe(19)
      })
      expect(found.standby).toBe(false)
    }))

  it('when the topic was made anew, and it goes on following that one: it begins at its start', () =>
    run(async () => {
      await spoiled(async () => {
        broker.faults.fail({ operation: 'read-partition', client: 'b', topic: changelog })
        await anew(30)
        await sleep(environment, 30_000)
      })
    }))

  it('when the log was cut behind its place', () =>
    run(async () => {
      const found = await spoiled(async owner => {
        for (let number = 11; number <= 15; number++) await owner.append(commitOf(number, { state: [row('a', '1')] }))
        broker.log({ topic: changelog, partition: 1 }).truncate(28)
      })
      expect(found.standby).toBe(false)
    }))

  it('when it has not been at the end for more than a minute: deletions may be gone', () =>
    run(async () => {
      const found = await spoiled(async () => {
        const held = broker.faults.hold({ operation: 'read-partition', client: 'b', topic: changelog })
        await held.reached
        await sleep(environment, 70_000)
      })
      expect(found.standby).toBe(false)
    }))
})

describe('memory', () => {
  it('takes what has room, and the rest is read in take-over; room that is free again is used', () =>
    run(async () => {
      const tasks = [0, 1, 2, 3].map(taskOf)
      const owners = await openStore('a')
      for (const each of tasks) await fill(owners, 50, each)
      const store = await openStore('b', { maxBytes: 2.5 * 50 * 130 })
      store.standby!.open(tasks)
      await sleep(environment, 20_000)
      const { following } = store.standby!
      expect(following.length).toBe(2)
      const without = tasks.find(({ id }) => !following.includes(id))!
      await store.acquire(without)
      expect(read.at(-1)).toEqual({ task: without.id, records: 100, standby: false })
      // Each of these leaves its room to one of the others.
      for (const id of following) await store.acquire(tasks.find(each => each.id === id)!)
      await followed(store, [tasks.find(({ id }) => id !== without.id && !following.includes(id))!.id])
      await store.close()
      expect(store.standby!.following).toEqual([])
    }))

  it('does not count what was deleted', () =>
    run(async () => {
      const owner = await fill(await openStore('a'), 50)
      const deletions = Array.from({ length: 50 }, (_, index) => row(`key ${index + 1}`, null))
      const store = await openStore('b', { maxBytes: 51 * 130 })
      store.standby!.open([task])
      await followed(store)
      await owner.append(commitOf(51, { state: deletions }))
      await sleep(environment, 3_000)
      await owner.append(commitOf(52, { state: Array.from({ length: 50 }, (_, index) => row(`next ${index}`, '1')) }))
      await sleep(environment, 3_000)
      expect(store.standby!.following).toEqual([task.id])
      await store.close()
    }))
})

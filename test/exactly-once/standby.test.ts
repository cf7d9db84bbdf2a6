/** The standby of the broker's store: what a worker has read of a task that another holds. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import {
  broker,
  changelog,
  environment,
  fill,
  followed,
  openStore,
  plenty,
  read,
  run,
  setUp,
  takeOver,
  task,
  taskOf,
  tearDown
} from './standby-kit.ts'
import { commitOf, row } from './stores.ts'

beforeEach(setUp)
afterEach(tearDown)

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

  it('is no base before it was at the end once', () =>
    run(async () => {
      await fill(await openStore('a'), 2_500)
      const store = await openStore('b', plenty)
      const [first, second] = [1, 2].map(() =>
        broker.faults.hold({ operation: 'read-partition', client: 'b', topic: changelog })
      )
      store.standby!.open([task])
      await first!.reached
      first!.release()
      await second!.reached
      expect((await takeOver(store)).standby).toBe(false)
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

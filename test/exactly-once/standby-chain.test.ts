/** What a standby has counts only if it lies on the chain of commits, and has missed no deletion. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import type { TaskLog } from '../../src/exactly-once/index.ts'
import {
  broker,
  changelog,
  environment,
  fill,
  followed,
  openStore,
  partitions,
  plenty,
  run,
  setUp,
  takeOver,
  task,
  tearDown
} from './standby-kit.ts'
import { commitOf, row } from './stores.ts'

beforeEach(setUp)
afterEach(tearDown)

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

  it('when its first reading was interrupted: it begins anew', () =>
    run(async () => {
      const many = 2_500
      await fill(await openStore('a'), many)
      const store = await openStore('b', plenty)
      const held = broker.faults.hold({ operation: 'read-partition', client: 'b', topic: changelog })
      broker.faults.fail({ operation: 'read-partition', client: 'b', topic: changelog })
      store.standby!.open([task])
      await held.reached
      held.release()
      await sleep(environment, 1_000)
      expect(store.standby!.following).toEqual([])
      await anew(many)
      await followed(store)
      expect(await takeOver(store)).toMatchObject({ standby: true })
      await store.close()
    }))

  it('when it is the half of a commit that was lost: the last head is read again', () =>
    run(async () => {
      /** A chain whose third commit does not fit into one piece. */
      const chain = async (client: string, last: string): Promise<void> => {
        const owner = await (await openStore(client)).acquire(task)
        for (const number of [1, 2])
          await owner.append(commitOf(number, { token: `t${number}`, state: [row('a', '1')] }))
        if (last === '') return owner.close()
        const state = [row(last, last.repeat(700_000)), row('large', last.repeat(700_000))]
        await owner.append(commitOf(3, { token: last, state }))
      }
      await chain('a', '')
      const store = await openStore('b', { maxBytes: 10_000_000 })
      store.standby!.open([task])
      await followed(store)
      const held = broker.faults.hold({ operation: 'read-partition', client: 'b', topic: changelog })
      broker.faults.fail({ operation: 'read-partition', client: 'b', topic: changelog })
      await held.reached
      const owner = await (await openStore('c')).acquire(task)
      const state = [row('x', 'x'.repeat(700_000)), row('large', 'x'.repeat(700_000))]
      await owner.append(commitOf(3, { token: 'x', state }))
      held.release()
      // It has the first half by now.
      await sleep(environment, 1_000)
      broker.deleteTopic(changelog)
      broker.createTopic({ topic: changelog, partitions })
      await chain('d', 'y')
      await sleep(environment, 20_000)
      const { rows, standby } = await takeOver(store)
      expect(standby).toBe(true)
      expect(rows.map(each => each.slice(0, 9))).toEqual(['total a 1', 'total lar', 'total y y'])
      await store.close()
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

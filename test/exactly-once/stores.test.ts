import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BrokerStore, MemoryStore, OutputsFirst } from '../../src/exactly-once/index.ts'
import { behind, behindSlot, isReader, type StateRow } from '../../src/state/index.ts'
import { storedRows } from '../support/stored-rows.ts'
import { dynamodbKits } from './dynamodb-kit.ts'
import { postgresKits } from './postgres-kit.ts'
import {
  brokerKit,
  commitOf,
  memoryKit,
  other,
  output,
  row,
  rowsOf,
  sqliteKit,
  task,
  unsentOf,
  type StoreKit
} from './stores.ts'

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-store-'))
  cleanUps.push(() => rm(path, { recursive: true, force: true }))
  return path
}

const kits: [string, () => Promise<StoreKit>][] = [
  ['MemoryStore', memoryKit],
  ['SqliteStore', async () => sqliteKit(join(await directory(), 'deep', 'commits.db'))],
  ['BrokerStore', brokerKit],
  ...postgresKits,
  ...dynamodbKits
]

describe.each(kits)('%s', (_, open) => {
  const opened = async (): Promise<StoreKit> => {
    const kit = await open()
    cleanUps.push(() => kit.close())
    return kit
  }

  it('gives an empty log of a task that never committed', async () => {
    const { store } = await opened()
    const log = await store.acquire(task)
    expect(log.last).toBeUndefined()
    expect(await rowsOf(log)).toEqual([])
    expect(log.unsent).toEqual([])
    expect(log.epoch).toBeGreaterThan(0)
    await log.close()
  })

  it('gives rows by key where it keeps them so, to the owner alone', async () => {
    const { store, again } = await opened()
    const log = await store.acquire(task)
    const { state } = log
    if (!isReader(state)) return
    const keys = ['', 'a', 'a\0', 'b', '\u00ff']
    const rows = keys.flatMap(key => [row(key, `1 ${key}`, 'one'), row(key, `2 ${key}`, 'two')])
    expect(await log.append(commitOf(1, { state: rows }))).toBe('ok')
    const strange = await (await again()).acquire(other)
    expect(await strange.append(commitOf(1, { state: [row('a', 'strange', 'one')] }))).toBe('ok')
    const shown = (found: readonly StateRow[]): string[] =>
      found.map(({ slot, value }) => `${slot} ${Buffer.from(value!).toString()}`)
    const found = await state.find([
      { slot: 'one', key: 'a' },
      { slot: 'two', key: '' },
      { slot: 'one', key: 'none' },
      { slot: 'three', key: 'a' }
    ])
    expect(shown(found).sort()).toEqual(['one 1 a', 'two 2 '])
    expect(await state.find([])).toEqual([])
    // In order, from a place on, as many as asked for.
    expect(shown(await state.page({ slot: 'one', key: 'a' }, 3))).toEqual(['one 1 a', 'one 1 a\0', 'one 1 b'])
    expect(shown(await state.page(behind({ slot: 'one', key: 'a' }), 1))).toEqual(['one 1 a\0'])
    expect(shown(await state.page({ slot: 'one', key: '\u00ff' }, 2))).toEqual(['one 1 \u00ff', 'two 2 '])
    expect(shown(await state.page(behindSlot('one'), 1))).toEqual(['two 2 '])
    expect(await state.page(behindSlot('two'), 10)).toEqual([])
    const successor = await (await again()).acquire(task)
    await expect(state.find([{ slot: 'one', key: 'a' }])).rejects.toMatchObject({ code: 'fenced', retryable: false })
    await expect(state.page({ slot: '', key: '' }, 1)).rejects.toMatchObject({ code: 'fenced' })
    expect((await storedRows(successor.state)).length).toBe(10)
  })

  it('keeps the last commit, the rows of state, and nothing of other tasks', async () => {
    const { store, again } = await opened()
    const log = await store.acquire(task)
    const second = commitOf(2, {
      state: [row('a', null), row('b', '3'), row('\u00ff\u0000|', 'x'), row('t', '', '~timers')]
    })
    expect(await log.append(commitOf(1, { state: [row('a', '1'), row('b', '2'), row('a', 'note', 'note')] }))).toBe(
      'ok'
    )
    expect(await log.append(second)).toBe('ok')
    // The same partition of a changelog, another task.
    const strange = await store.acquire(other)
    expect(strange.last).toBeUndefined()
    expect(await rowsOf(strange)).toEqual([])
    expect(await strange.append(commitOf(1, { state: [row('b', 'strange')] }))).toBe('ok')
    const successor = await (await again()).acquire(task)
    expect(successor.last).toMatchObject({ number: 2, token: second.token })
    expect(Buffer.from(successor.last!.head).toString()).toBe('head 2')
    expect(await rowsOf(successor)).toEqual(['note a note', 'total b 3', 'total \u00ff\u0000| x', '~timers t '].sort())
    for (const each of [log, strange, successor]) await each.close()
  })

  it('fences the old owner when a new one has acquired, whatever it has committed', async () => {
    const { store, again } = await opened()
    const old = await store.acquire(task)
    await old.append(commitOf(1))
    const next = await (await again()).acquire(task)
    expect(await old.append(commitOf(2, { state: [row('a', 'zombie')] }))).toBe('fenced')
    expect(await next.append(commitOf(2, { state: [row('a', 'new')] }))).toBe('ok')
    expect(await old.append(commitOf(2))).toBe('fenced')
    expect(await old.append(commitOf(3))).toBe('fenced')
    const last = await (await again()).acquire(task)
    expect(last.last).toMatchObject({ number: 2 })
    expect(await rowsOf(last)).toEqual(['total a new'])
  })

  it('settles an append that was lost: it is absent, and the same again takes effect once', async () => {
    const kit = await opened()
    const log = await kit.store.acquire(task)
    await log.append(commitOf(1, { state: [row('a', '1')] }))
    const commit = commitOf(2, { state: [row('a', '2')], outputs: [output('x')] })
    kit.lose()
    expect(await log.append(commit)).toBe('unknown')
    const found = await log.readBack()
    expect(found).not.toBe('fenced')
    expect(found !== 'fenced' && found.last?.number).toBe(1)
    expect(await log.append(commit)).toBe('ok')
    const next = await (await kit.again()).acquire(task)
    expect(next.last).toMatchObject({ number: 2, token: commit.token })
    expect(await rowsOf(next)).toEqual(['total a 2'])
  })

  it('settles an append whose answer was lost: it is there, by its token', async () => {
    const kit = await opened()
    const log = await kit.store.acquire(task)
    const commit = commitOf(1, { state: [row('a', '1')] })
    kit.hide()
    expect(await log.append(commit)).toBe('unknown')
    const found = await log.readBack()
    expect(found !== 'fenced' && found.last).toMatchObject({ number: 1, token: commit.token })
    expect(await log.append(commitOf(2))).toBe('ok')
  })

  it('after an unclear append tells whose commit it finds, or that another is in charge', async () => {
    const kit = await opened()
    const log = await kit.store.acquire(task)
    const mine = commitOf(1)
    kit.lose()
    expect(await log.append(mine)).toBe('unknown')
    const successor = await (await kit.again()).acquire(task)
    const theirs = commitOf(1)
    expect(await successor.append(theirs)).toBe('ok')
    const found = await log.readBack()
    if (found !== 'fenced') expect(found.last).toMatchObject({ number: 1, token: theirs.token })
  })
})

describe.each(kits.filter(([name]) => name !== 'BrokerStore'))('%s with a relay', (_, open) => {
  const opened = async (): Promise<StoreKit> => {
    const kit = await open()
    cleanUps.push(() => kit.close())
    return kit
  }

  it('raises the epoch with each owner', async () => {
    const { store, again } = await opened()
    const epochs: number[] = []
    for (let round = 0; round < 3; round++)
      epochs.push((await store.acquire(task)).epoch, (await (await again()).acquire(task)).epoch)
    expect(epochs).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('reads back as fenced when another has acquired, whatever it has committed', async () => {
    const kit = await opened()
    const log = await kit.store.acquire(task)
    await log.append(commitOf(1))
    await (await kit.again()).acquire(task)
    expect(await log.readBack()).toBe('fenced')
  })

  it('appends under the next number only', async () => {
    const { store } = await opened()
    const log = await store.acquire(task)
    expect(await log.append(commitOf(2))).toBe('fenced')
    expect(await log.append(commitOf(1))).toBe('ok')
    expect(await log.append(commitOf(1))).toBe('fenced')
    expect(await log.append(commitOf(3))).toBe('fenced')
    expect(await log.append(commitOf(2))).toBe('ok')
  })

  it('keeps outputs until they are told to be sent, in order', async () => {
    const { store, again } = await opened()
    const log = await store.acquire(task)
    await log.append(commitOf(1, { outputs: [output('a'), output('b')] }))
    await log.append(commitOf(2))
    await log.append(commitOf(3, { outputs: [output('c')] }))
    expect(unsentOf(await (await again()).acquire(task))).toEqual(['1 a', '1 b', '3 c'])
    const next = await store.acquire(task)
    expect(next.unsent[0]!.outputs[0]).toEqual(output('a'))
    await next.append(commitOf(4, { outputs: [output('d')], relayedTo: 1 }))
    expect(unsentOf(await store.acquire(task))).toEqual(['3 c', '4 d'])
    await (await store.acquire(task)).append(commitOf(5, { relayedTo: 4 }))
    expect(unsentOf(await store.acquire(task))).toEqual([])
  })

  it('writes nothing of an append that is refused', async () => {
    const { store } = await opened()
    const old = await store.acquire(task)
    await old.append(commitOf(1, { outputs: [output('a')], state: [row('a', '1')] }))
    const next = await store.acquire(task)
    await old.append(
      commitOf(2, { outputs: [output('zombie')], state: [row('a', 'zombie'), row('z', 'zombie')], relayedTo: 1 })
    )
    expect(await rowsOf(next)).toEqual(['total a 1'])
    const last = await store.acquire(task)
    expect(unsentOf(last)).toEqual(['1 a'])
    expect(await rowsOf(last)).toEqual(['total a 1'])
  })
})

describe('BrokerStore', () => {
  it('makes outputs, positions and changelog visible together, or none of them', async () => {
    const { store, broker } = await brokerKit()
    const log = await store.acquire(task)
    const positions = [{ topic: 'in', partition: 1, position: '7' }]
    broker.createTopic({ topic: 'in', partitions: 2 })
    broker.faults.failTransaction({ effect: 'none' })
    await log.append(commitOf(1, { outputs: [output('a')], positions }))
    expect(broker.log({ topic: 'out', partition: 1 }).end).toBe(0)
    expect(broker.group('p.s').committed({ topic: 'in', partition: 1 })).toBeUndefined()
    await log.readBack()
    expect(await log.append(commitOf(1, { outputs: [output('a')], positions }))).toBe('ok')
    expect(broker.log({ topic: 'out', partition: 1 }).end).toBe(1)
    expect(broker.group('p.s').committed({ topic: 'in', partition: 1 })).toBe('7')
  })

  it.each(['open-committed', 'open-aborted'] as const)(
    'waits out a transaction that its predecessor left %s',
    async effect => {
      const { store, again, broker } = await brokerKit()
      const log = await store.acquire(task)
      await log.append(commitOf(1, { state: [row('a', '1')] }))
      broker.faults.failTransaction({ effect })
      expect(await log.append(commitOf(2, { state: [row('a', '2')], outputs: [output('x')] }))).toBe('unknown')
      const next = await (await again()).acquire(task)
      expect(next.last!.number).toBe(effect === 'open-committed' ? 2 : 1)
      expect(await rowsOf(next)).toEqual([effect === 'open-committed' ? 'total a 2' : 'total a 1'])
      expect(broker.log({ topic: 'out', partition: 1 }).end).toBe(effect === 'open-committed' ? 1 : 0)
    }
  )

  it('says why when the broker refuses for good, instead of trying for ever', async () => {
    const { store } = await brokerKit()
    const log = await store.acquire(task)
    const nowhere = { ...output('a'), topic: 'nowhere' }
    await expect(log.append(commitOf(1, { outputs: [nowhere] }))).rejects.toMatchObject({ code: 'unknown-topic' })
  })

  it('is refused on a broker without transactions, with the way out', () => {
    expect(() => new BrokerStore({ name: 'plain' } as never, 1)).toThrow(
      "'plain' has no transactions: commit to a database instead"
    )
  })
})

describe('OutputsFirst', () => {
  it('keeps state and positions, and no outputs: they are sent already', async () => {
    const inner = new MemoryStore()
    const log = await new OutputsFirst(inner).acquire(task)
    await log.append(commitOf(1, { outputs: [output('a')], state: [row('a', '1')] }))
    const next = await inner.acquire(task)
    expect(unsentOf(next)).toEqual([])
    expect(await rowsOf(next)).toEqual(['total a 1'])
    expect(await log.append(commitOf(2))).toBe('fenced')
  })
})

import { describe, expect, it } from 'vitest'
import { MemoryStore, SqliteStore, type ClientStore } from '../../src/exactly-once/index.ts'
import { dynamodbStores } from './dynamodb-kit.ts'
import { postgresStores } from './postgres-kit.ts'

const clientStores: [string, () => Promise<ClientStore>][] = [
  ['MemoryStore', async () => new MemoryStore()],
  ['SqliteStore', async () => SqliteStore.open(':memory:')],
  ...postgresStores,
  ...dynamodbStores
]

describe.each(clientStores)('leases of %s', (_, open) => {
  it('are taken by a conditional write', async () => {
    const store = await open()
    expect(await store.leases('g')).toEqual([])
    expect(await store.take('g', '0', 'one', undefined)).toBe(true)
    expect(await store.take('g', '0', 'two', undefined)).toBe(false)
    const [seen] = await store.leases('g')
    expect(seen).toEqual({ name: '0', owner: 'one', beat: 1, wish: undefined })
    await store.beat('g', 'one')
    // The owner has moved: what was seen is not true any more.
    expect(await store.take('g', '0', 'two', seen)).toBe(false)
    const [now] = await store.leases('g')
    expect(await store.take('g', '0', 'two', now)).toBe(true)
    await store.beat('g', 'one')
    expect(await store.leases('g')).toEqual([{ name: '0', owner: 'two', beat: 3, wish: undefined }])
    expect(await store.leases('other')).toEqual([])
    await store.close()
  })

  it('beat together, and only those of their owner in this scope', async () => {
    const store = await open()
    for (const [scope, name, owner] of [
      ['g', '0', 'one'],
      ['g', '1', 'one'],
      ['g', '2', 'two'],
      ['h', '0', 'one']
    ] as const)
      await store.take(scope, name, owner, undefined)
    await store.beat('g', 'one')
    const beats = async (scope: string): Promise<string[]> =>
      (await store.leases(scope)).map(({ name, beat }) => `${name} ${beat}`).toSorted()
    expect(await beats('g')).toEqual(['0 2', '1 2', '2 1'])
    expect(await beats('h')).toEqual(['0 1'])
    await store.close()
  })

  it('are asked for, and given back by their owner only', async () => {
    const store = await open()
    await store.take('g', '0', 'one', undefined)
    await store.ask('g', '0', 'two')
    expect(await store.leases('g')).toEqual([{ name: '0', owner: 'one', beat: 1, wish: 'two' }])
    await store.release('g', '0', 'two')
    expect((await store.leases('g'))[0]).toMatchObject({ owner: 'one' })
    await store.release('g', '0', 'one')
    const [free] = await store.leases('g')
    // The beat counts on: whoever saw it before must not take it for the same.
    expect(free).toEqual({ name: '0', owner: undefined, beat: 2, wish: undefined })
    await store.ask('g', '0', 'two')
    expect((await store.leases('g'))[0]).toMatchObject({ wish: undefined })
    expect(await store.take('g', '0', 'two', free)).toBe(true)
    await store.close()
  })

  it('lose a wish when they change hands', async () => {
    const store = await open()
    await store.take('g', '0', 'one', undefined)
    await store.ask('g', '0', 'two')
    const [seen] = await store.leases('g')
    expect(await store.take('g', '0', 'three', seen)).toBe(true)
    expect((await store.leases('g'))[0]).toMatchObject({ owner: 'three', wish: undefined })
    await store.close()
  })

  it('are removed as they were seen, or not at all', async () => {
    const store = await open()
    await store.take('g', '~one', 'one', undefined)
    const [seen] = await store.leases('g')
    await store.beat('g', 'one')
    await store.remove('g', '~one', seen!)
    expect((await store.leases('g')).length).toBe(1)
    const [now] = await store.leases('g')
    await store.remove('g', '~one', { ...now!, owner: 'two' })
    expect((await store.leases('g')).length).toBe(1)
    await store.remove('g', '~one', now!)
    expect(await store.leases('g')).toEqual([])
    await store.close()
  })
})

describe.each(clientStores)('positions of %s', (_, open) => {
  it('are the last of each partition', async () => {
    const store = await open()
    const place = { topic: 't', partition: 0 }
    expect(await store.positions('g', 't')).toEqual(new Map())
    const both = [
      { ...place, position: '5' },
      { topic: 't', partition: 1, position: '1' }
    ]
    expect(await store.storePositions('g', both)).toBe(true)
    expect(await store.storePositions('g', [{ ...place, position: '6' }])).toBe(true)
    expect(await store.positions('g', 't')).toEqual(
      new Map([
        [0, '6'],
        [1, '1']
      ])
    )
    expect(await store.positions('h', 't')).toEqual(new Map())
    await store.close()
  })

  it('are stored only while the leases are held, and then all of them or none', async () => {
    const store = await open()
    const at = (position: string): { topic: string; partition: number; position: string }[] =>
      [0, 1].map(partition => ({ topic: 't', partition, position }))
    const holding = { scope: 's', owner: 'one', names: ['0', '1'] }
    expect(await store.storePositions('g', at('1'), holding)).toBe(false)
    for (const name of holding.names) await store.take('s', name, 'one', undefined)
    expect(await store.storePositions('g', at('2'), holding)).toBe(true)
    const seen = (await store.leases('s')).find(({ name }) => name === '1')
    await store.take('s', '1', 'two', seen)
    expect(await store.storePositions('g', at('3'), holding)).toBe(false)
    expect(await store.storePositions('g', at('3'), { ...holding, scope: 'other' })).toBe(false)
    expect(await store.positions('g', 't')).toEqual(
      new Map([
        [0, '2'],
        [1, '2']
      ])
    )
    await store.close()
  })
})

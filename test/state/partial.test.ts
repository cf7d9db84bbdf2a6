import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { number } from '../../src/core/codec.ts'
import { keyed, TaskState } from '../../src/state/index.ts'
import { MemoryRows } from '../../src/exactly-once/stores/memory-rows.ts'

const definitions = { total: keyed(number, 0), seen: keyed(number, 0, { ttl: 50 }) }
const names = ['a', 'b', 'c', 'd', 'e']

/** What a loader does before a record of that key. */
function fetch(state: TaskState, store: MemoryRows, key: string): number {
  const places = state.missing([key])
  state.fetched(
    places,
    places.flatMap(place => store.get(place) ?? [])
  )
  return places.length
}

describe('state of which not all is in memory', () => {
  const action = fc.record({
    key: fc.constantFrom(...names),
    slot: fc.constantFrom('total', 'seen'),
    value: fc.option(fc.integer({ min: 1, max: 9 })),
    end: fc.constantFrom('keep', 'rollback', 'commit', 'crash')
  })

  it('is what it would be if all of it were', () => {
    let fetched = 0
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), actions => {
        const store = new MemoryRows()
        const whole = new MemoryRows()
        let small = new TaskState(definitions)
        small.limit = 400
        let large = new TaskState(definitions)
        let time = 0
        for (const { key, slot, value, end } of actions) {
          time += 10
          fetched += fetch(small, store, key)
          for (const state of [small, large]) {
            state.begin(Buffer.from(key), time)
            if (value === null) state.handles[slot]!.delete()
            else state.handles[slot]!.set(Number(state.handles[slot]!.get()) + value)
            if (end === 'rollback') state.rollback()
          }
          if (end === 'commit') {
            const few = small.changes()
            expect(few).toEqual(large.changes())
            store.apply(few)
            whole.apply(few)
            small.committed()
            small.evict()
            large.committed()
          } else if (end === 'crash') {
            small = new TaskState(definitions)
            small.limit = 400
            for (const each of ['total', '~ttl/seen']) small.cutShort(each)
            large = new TaskState(definitions)
            for (const row of whole.page({ slot: '', key: '' }, 1_000)) large.load(row)
          }
          for (const name of names) {
            fetched += fetch(small, store, name)
            for (const state of [small, large]) state.begin(Buffer.from(name), time)
            expect(small.handles['total']!.get()).toBe(large.handles['total']!.get())
            expect(small.handles['seen']!.get()).toBe(large.handles['seen']!.get())
          }
        }
      }),
      { numRuns: 300 }
    )
    // Else everything was in memory, and nothing was tested.
    expect(fetched).toBeGreaterThan(1_000)
  })

  it('lets go of what was not asked for lately, down to its limit, and of nothing that is not committed', () => {
    const state = new TaskState({ total: keyed(number, 0) })
    state.limit = 20_000
    const set = (from: number, to: number): void => {
      for (let index = from; index < to; index++) {
        state.begin(Buffer.from(`key ${index}`))
        state.handles['total']!.set(index)
      }
    }
    set(0, 1_000)
    expect(state.bytes).toBeGreaterThan(100_000)
    state.evict()
    expect(state.missing(['key 0', 'key 999'])).toEqual([])
    state.changes()
    state.committed()
    state.evict()
    expect(state.bytes).toBeLessThanOrEqual(20_000)
    expect(state.missing(Array.from({ length: 1_000 }, (_, index) => `key ${index}`)).length).toBeGreaterThan(850)
  })

  it('says so when it is asked for what was not fetched', () => {
    const state = new TaskState({ total: keyed(number, 0) })
    state.cutShort('total')
    state.begin(Buffer.from('a'))
    expect(() => state.handles['total']!.get()).toThrow('before it was fetched')
  })

  it('deletes what is gone among the rows that are not in memory', () => {
    const before = new TaskState(definitions)
    for (const [index, name] of names.entries()) {
      before.begin(Buffer.from(name), index * 10)
      before.handles['seen']!.set(index + 1)
    }
    const store = new MemoryRows()
    store.apply(before.changes())
    const state = new TaskState(definitions)
    state.cutShort('~ttl/seen')
    expect(state.unswept).toEqual(['seen'])
    state.sweepRows(store.page({ slot: '~ttl/seen', key: '' }, 100), 60)
    const rows = state.changes()
    expect(rows).toEqual(['a', 'b'].map(key => ({ slot: '~ttl/seen', key, value: null })))
  })
})

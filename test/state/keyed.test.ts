import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytes, json, number, text } from '../../src/core/codec.ts'
import { StreamError } from '../../src/core/errors.ts'
import { keyed, stateKey, TaskState, type StateRow } from '../../src/state/index.ts'

const definitions = { total: keyed(number, 0), note: keyed(text) }
const key = (name: string): Uint8Array => Buffer.from(name)

/** A store: rows applied over each other. */
class Rows {
  readonly rows = new Map<string, StateRow>()

  apply(changes: readonly StateRow[]): void {
    for (const row of changes) {
      if (row.value === null) this.rows.delete(`${row.slot} ${row.key}`)
      else this.rows.set(`${row.slot} ${row.key}`, row)
    }
  }

  restored(): TaskState {
    const state = new TaskState(definitions)
    for (const row of this.rows.values()) state.load(row)
    return state
  }
}

describe('keyed state', () => {
  it('has one value per key, and the initial one before', () => {
    const state = new TaskState(definitions)
    const { total, note } = state.handles
    state.begin(key('a'))
    expect([total!.get(), note!.get()]).toEqual([0, undefined])
    total!.set(5)
    state.begin(key('b'))
    expect(total!.get()).toBe(0)
    state.begin(key('a'))
    expect(total!.get()).toBe(5)
    total!.delete()
    expect(total!.get()).toBe(0)
  })

  it('is refused for a record without a key, with the way out', () => {
    const state = new TaskState(definitions)
    state.begin(null)
    expect(() => state.handles['total']!.get()).toThrow(
      "state 'total' was used for a record without a key: give the topic a key codec"
    )
    expect(() => state.handles['total']!.set(1)).toThrow(StreamError)
  })

  it('keeps of bytes no more than they are, not the batch that was fetched with them', () => {
    const kept = { value: keyed(bytes) }
    const fetched = (): Buffer => Buffer.alloc(1_000_000, 7).subarray(500, 600)
    const state = new TaskState(kept)
    const { value } = state.handles
    state.begin(key('set'))
    value!.set(fetched())
    state.changes()
    state.committed()
    state.load({ slot: 'value', key: 'loaded', value: fetched() })
    const whole = Buffer.alloc(1_000_000, 7)
    state.begin(key('whole'))
    value!.set(whole)
    state.changes()
    expect(value!.get(), 'nothing is gained by a copy').toBe(whole)
    for (const name of ['set', 'loaded']) {
      state.begin(key(name))
      const found = value!.get() as Uint8Array
      expect(found).toEqual(Buffer.alloc(100, 7))
      expect(found.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize)
    }
  })

  it('tells apart keys of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), (left, right) => {
        expect(stateKey(left) === stateKey(right)).toBe(Buffer.compare(left, right) === 0)
        expect([...Buffer.from(stateKey(left)!, 'latin1')]).toEqual([...left])
      })
    )
  })

  it('names what cannot be encoded, instead of dying in a commit without a word', () => {
    const state = new TaskState({ total: keyed(number, 0) })
    state.begin(key('a'))
    state.handles['total']!.set('five')
    expect(() => state.changes()).toThrow(/state 'total'/)
  })

  it('forgets slots that the handler no longer declares', () => {
    const state = new TaskState({ other: keyed(json<number>()) })
    state.load({ slot: 'total', key: 'a', value: number.encode(1) })
    expect(state.changes()).toEqual([])
  })

  const action = fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    writes: fc.array(fc.tuple(fc.constantFrom('total', 'note'), fc.option(fc.integer({ min: 0, max: 9 }))), {
      maxLength: 4
    }),
    end: fc.constantFrom('keep', 'rollback', 'commit', 'crash')
  })

  it('is what a plain map would be, over failures, commits and crashes', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), actions => {
        const store = new Rows()
        let state = new TaskState(definitions)
        let naive = new Map<string, unknown>()
        let committed = new Map<string, unknown>()
        for (const { key: name, writes, end } of actions) {
          const before = new Map(naive)
          state.begin(key(name))
          for (const [slot, value] of writes) {
            if (value === null) {
              state.handles[slot]!.delete()
              naive.delete(`${slot} ${name}`)
            } else {
              state.handles[slot]!.set(slot === 'note' ? `${value}` : value)
              naive.set(`${slot} ${name}`, slot === 'note' ? `${value}` : value)
            }
          }
          if (end === 'rollback') {
            state.rollback()
            naive = before
          } else if (end === 'commit') {
            const changes = state.changes()
            expect(new Set(changes.map(row => `${row.slot} ${row.key}`)).size).toBe(changes.length)
            store.apply(changes)
            state.committed()
            expect(state.changes()).toEqual([])
            committed = new Map(naive)
          } else if (end === 'crash') {
            state = store.restored()
            naive = new Map(committed)
          }
          for (const probe of ['a', 'b', 'c']) {
            state.begin(key(probe))
            expect(state.handles['total']!.get()).toBe(naive.get(`total ${probe}`) ?? 0)
            expect(state.handles['note']!.get()).toBe(naive.get(`note ${probe}`))
          }
        }
      }),
      { numRuns: 500 }
    )
  })

  it('does not count an undone change as one', () => {
    const state = new TaskState(definitions)
    state.begin(key('a'))
    state.handles['total']!.set(1)
    state.rollback()
    expect(state.changes()).toEqual([])
  })
})

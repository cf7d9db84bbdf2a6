import { describe, expect, it } from 'vitest'
import { number } from '../../src/core/codec.ts'
import { keyed, TaskState, type StateDefinitions, type StateRow } from '../../src/state/index.ts'

const key = (name: string): Uint8Array => Buffer.from(name)
const byEvents = { count: keyed(number, 0, { ttl: 100 }) }

function at(state: TaskState, time: number, name = 'a'): { get(): unknown; set(value: unknown): void; delete(): void } {
  state.begin(key(name), time)
  return state.handles['count']!
}

/** What the next commit writes: `slot key`, with `-` before a deletion. */
function committed(state: TaskState): string[] {
  const rows = state.changes().map(row => `${row.value === null ? '-' : ''}${row.slot} ${row.key}`)
  state.committed()
  return rows
}

function restored(definitions: StateDefinitions, rows: readonly StateRow[]): TaskState {
  const state = new TaskState(definitions)
  for (const row of rows) state.load(row)
  return state
}

describe('a keyed state with a lifetime', () => {
  it('is there until so long after it was last set, in event time', () => {
    const state = new TaskState(byEvents)
    at(state, 1_000).set(1)
    expect(at(state, 1_099).get()).toBe(1)
    expect(at(state, 1_100).get()).toBe(0)
  })

  it('lives anew with each value, and no shorter for a record that comes out of order', () => {
    const state = new TaskState(byEvents)
    at(state, 1_000).set(1)
    at(state, 1_050).set(2)
    at(state, 1_020).set(3)
    expect(at(state, 1_149).get()).toBe(3)
    expect(at(state, 1_150).get()).toBe(0)
    // What is gone gives nothing of its life to what comes after it.
    at(state, 1_160).set(4)
    expect(at(state, 1_259).get()).toBe(4)
    expect(at(state, 1_260).get()).toBe(0)
  })

  it('is seen by each record at its own time: one that comes out of order, or is tried again, sees what it would have seen', () => {
    const state = new TaskState(byEvents)
    at(state, 1_000).set(1)
    expect(committed(state)).toEqual(['~ttl/count a'])
    expect(at(state, 1_200).get()).toBe(0)
    expect(at(state, 1_050).get()).toBe(1)
    expect(committed(state)).toEqual([])
  })

  it('is swept when the watermark has passed it, a part of it before each commit', () => {
    const state = new TaskState(byEvents)
    for (let index = 0; index < 2_500; index++) at(state, index < 2_400 ? 1_000 : 5_000, `k${index}`).set(index)
    expect(committed(state)).toHaveLength(2_500)
    const swept: number[] = []
    for (let commit = 0; commit < 4; commit++) {
      state.sweep(1_100)
      swept.push(committed(state).length)
    }
    expect(swept).toEqual([1_000, 1_000, 400, 0])
    expect(at(state, 5_000, 'k2450').get()).toBe(2_450)
  })

  it('keeps the time of its end in its row: whoever restores it sees the same', () => {
    const state = new TaskState(byEvents)
    at(state, 1_000).set(1)
    const next = restored(byEvents, state.changes())
    expect(at(next, 1_099).get()).toBe(1)
    expect(at(next, 1_100).get()).toBe(0)
  })

  it('goes by the clock of the worker where that is asked for, which stands still for a record', () => {
    let now = 10_000
    const state = new TaskState({ count: keyed(number, 0, { ttl: '1s', time: 'processing' }) }, () => now)
    at(state, 1).set(1)
    now = 10_999
    const handle = at(state, 2)
    expect(handle.get()).toBe(1)
    now = 11_000
    expect(handle.get()).toBe(1)
    expect(at(state, 2).get()).toBe(0)
  })

  it('may be given to a state that had none, and taken away again', () => {
    const plain = { count: keyed(number, 0) }
    const before = new TaskState(plain)
    for (const name of ['a', 'b']) at(before, 1_000, name).set(7)
    const timed = restored(byEvents, before.changes())
    // What was set before lives on, and is written anew with its next value, in its new place.
    expect(at(timed, 9_000).get()).toBe(7)
    at(timed, 9_000).set(8)
    const rows = timed.changes()
    expect(rows.map(row => `${row.value === null ? '-' : ''}${row.slot} ${row.key}`)).toEqual([
      '-count a',
      '~ttl/count a'
    ])
    const again = restored(plain, rows.slice(1))
    expect(at(again, 9_050).get()).toBe(8)
    at(again, 9_050).set(9)
    expect(committed(again)).toEqual(['-~ttl/count a', 'count a'])
    expect(at(again, 99_000).get()).toBe(9)
  })

  it('refuses what is no time to live', () => {
    expect(() => keyed(number, 0, { ttl: 0 })).toThrow('ttl must be above 0')
    expect(() => keyed(number, 0, { ttl: '5 parsecs' as never })).toThrow('ttl')
    expect(() => keyed(number, 0, { ttl: 5, time: 'local' as never })).toThrow("'event' or 'processing'")
  })
})

import { describe, expect, it } from 'vitest'
import { markSlot, RecordMarks } from '../../src/state/index.ts'

const minute = 60_000
const row = (key: string): { slot: string; key: string; value: Uint8Array } => ({
  slot: markSlot,
  key,
  value: new Uint8Array(0)
})

describe('marks of records', () => {
  it('are written once, with the commit, and known again in the next life', () => {
    const marks = new RecordMarks()
    marks.add('a', 0)
    marks.add('b', 1)
    expect(marks.changes(2)).toEqual([row('a'), row('b')])
    expect(marks.changes(3), 'the same again until the commit took effect').toEqual([row('a'), row('b')])
    marks.committed()
    expect(marks.changes(4)).toEqual([])
    const next = new RecordMarks()
    next.load(row('a'), 0)
    expect([next.has('a'), next.has('b')]).toEqual([true, false])
    expect(next.changes(5)).toEqual([])
  })

  it('are forgotten after a quarter of an hour of reading, in the store, too; not while nobody reads', () => {
    const marks = new RecordMarks()
    marks.add('early', 0)
    marks.add('late', 10 * minute)
    marks.changes(10 * minute)
    marks.committed()
    expect(marks.changes(15 * minute - 1)).toEqual([])
    expect(marks.changes(15 * minute)).toEqual([{ slot: markSlot, key: 'early', value: null }])
    expect([marks.has('early'), marks.has('late')]).toEqual([false, true])
    // The clock of another life says nothing of when the record was processed.
    const next = new RecordMarks()
    next.load(row('late'), 1_000 * minute)
    expect(next.changes(1_014 * minute)).toEqual([])
    expect(next.has('late')).toBe(true)
  })

  it('are bounded: the oldest go first', () => {
    const marks = new RecordMarks()
    for (let index = 0; index < 500_010; index++) marks.add(String(index), 0)
    marks.changes(1)
    expect([marks.has('9'), marks.has('10'), marks.has('500009')]).toEqual([false, true, true])
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimerQueue, timerSlot, type StateRow, type TimerEntry } from '../../src/state/index.ts'

const entry = fc.record({
  time: fc.integer({ min: 0, max: 12 }),
  key: fc.constantFrom('', 'k', '|', 'k|%', '\u00ff\u0000'),
  name: fc.constantFrom('', 'end', 'a|b', '50 %', 'grüße')
})
const action = fc.record({
  sets: fc.array(entry, { maxLength: 4 }),
  cancels: fc.array(entry, { maxLength: 3 }),
  end: fc.constantFrom('keep', 'rollback', 'commit', 'crash', 'fire'),
  watermark: fc.integer({ min: 0, max: 14 })
})

const idOf = ({ time, key, name }: TimerEntry): string => JSON.stringify([time, key, name])
const ordered = (entries: Iterable<TimerEntry>): TimerEntry[] =>
  [...entries].sort(
    (left, right) => left.time - right.time || order(left.key, right.key) || order(left.name, right.name)
  )
const order = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

function drain(queue: TimerQueue, watermark: number): TimerEntry[] {
  const fired: TimerEntry[] = []
  for (let timer; (timer = queue.due(watermark));) {
    fired.push(timer)
    queue.cancel(timer)
  }
  return fired
}

describe('timers', () => {
  it('are a set that fires in one order, over failures, commits and crashes', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), actions => {
        const rows = new Map<string, StateRow>()
        let queue = new TimerQueue()
        let naive = new Map<string, TimerEntry>()
        let committed = new Map<string, TimerEntry>()
        for (const { sets, cancels, end, watermark } of actions) {
          const before = new Map(naive)
          queue.begin()
          for (const timer of sets) {
            queue.set({ ...timer })
            naive.set(idOf(timer), timer)
          }
          for (const timer of cancels) {
            queue.cancel(timer)
            naive.delete(idOf(timer))
          }
          if (end === 'rollback') {
            queue.rollback()
            naive = before
          } else if (end === 'commit') {
            for (const row of queue.changes()) {
              expect(row.slot).toBe(timerSlot)
              if (row.value === null) rows.delete(row.key)
              else rows.set(row.key, row)
            }
            queue.committed()
            expect(queue.changes()).toEqual([])
            committed = new Map(naive)
          } else if (end === 'crash') {
            queue = new TimerQueue()
            for (const row of rows.values()) queue.load(row)
            naive = new Map(committed)
          } else if (end === 'fire') {
            const due = ordered(naive.values()).filter(timer => timer.time <= watermark)
            expect(drain(queue, watermark)).toEqual(due)
            for (const timer of due) naive.delete(idOf(timer))
          }
          expect(queue.size).toBe(naive.size)
          const [first] = ordered(naive.values())
          expect(queue.due(Infinity)).toEqual(first)
        }
        expect(drain(queue, Infinity)).toEqual(ordered(naive.values()))
      }),
      { numRuns: 1_000 }
    )
  })

  it('of one time fire by key, then by name, whatever order they were set in', () => {
    const timers: TimerEntry[] = [
      { time: 5, key: 'b', name: '' },
      { time: 5, key: 'a', name: 'z' },
      { time: 5, key: 'a', name: 'y' },
      { time: 4, key: 'z', name: '' }
    ]
    const queue = new TimerQueue()
    for (const timer of timers) queue.set(timer)
    expect(drain(queue, 5).map(({ key, name }) => key + name)).toEqual(['z', 'ay', 'az', 'b'])
  })

  it('that were fired and undone fire again', () => {
    const queue = new TimerQueue()
    const timer = { time: 1, key: 'k', name: '' }
    queue.set(timer)
    queue.begin()
    queue.cancel(queue.due(1)!)
    expect(queue.due(1)).toBeUndefined()
    queue.rollback()
    expect(drain(queue, 1)).toEqual([timer])
    expect(queue.size).toBe(0)
  })
})

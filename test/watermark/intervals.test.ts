import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IntervalSet } from '../../src/watermark/intervals.ts'

describe('the interval set', () => {
  it('is a set of whole numbers, as few sorted intervals as can be', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 80 }), values => {
        const set = new IntervalSet()
        const naive = new Set<number>()
        for (const value of values) {
          set.add(value)
          naive.add(value)
        }
        for (let value = -1; value <= 61; value++) expect(set.has(value)).toBe(naive.has(value))
        expect(set.empty).toBe(naive.size === 0)
        expect(set.toJSON()).toEqual(intervalsOf(naive))
        expect(new IntervalSet(JSON.parse(JSON.stringify(set))).toJSON()).toEqual(set.toJSON())
      }),
      { numRuns: 500 }
    )
  })

  it('gives up the interval at a place, and what has fallen behind it', () => {
    const set = new IntervalSet([2, 3, 6, 8, 12, 12])
    expect(set.takeFrom(1)).toBeUndefined()
    expect(set.takeFrom(6)).toBe(8)
    expect(set.toJSON()).toEqual([12, 12])
    expect(set.takeFrom(12)).toBe(12)
    expect(set.empty).toBe(true)
  })

  it('does not share its bounds with what it was made of', () => {
    const bounds = [1, 2]
    new IntervalSet(bounds).add(3)
    expect(bounds).toEqual([1, 2])
  })
})

function intervalsOf(values: ReadonlySet<number>): number[] {
  const bounds: number[] = []
  for (const value of [...values].sort((left, right) => left - right)) {
    if (bounds.at(-1) === value - 1) bounds[bounds.length - 1] = value
    else bounds.push(value, value)
  }
  return bounds
}

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assign } from '../../../src/core/assignment.ts'

const members = fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 8 })

test('everything is assigned, each member has as much as the others or one more', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      members,
      fc.array(fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined })),
      (units, joined, current) => {
        const target = assign(units, joined, current.slice(0, units))
        const shares = joined.map(member => target.filter(owner => owner === member).length)
        expect(target).toHaveLength(units)
        expect(shares.reduce((sum, share) => sum + share)).toBe(units)
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
      }
    )
  )
})

test('a join moves no more than the share of the newcomer, a leave no more than what the leaver had', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), members, (units, joined) => {
      const [newcomer, ...before] = joined
      if (before.length === 0) return
      const first = assign(units, before, [])
      const second = assign(units, [...before, newcomer!], first)
      second.forEach((owner, unit) => owner === newcomer || expect(owner).toBe(first[unit]))
      const third = assign(units, before, second)
      third.forEach((owner, unit) => second[unit] === newcomer || expect(owner).toBe(second[unit]))
    })
  )
})

test('nobody gets anything of a group without members', () => {
  expect(assign(2, [], ['gone', 'gone'])).toEqual([undefined, undefined])
})

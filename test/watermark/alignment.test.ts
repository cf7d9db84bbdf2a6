import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Alignment, alignmentPatience } from '../../src/watermark/index.ts'

it('who is farther ahead than allowed waits, and nobody else', () => {
  const alignment = new Alignment(100)
  alignment.see(1_000, 0)
  expect([1_000, 1_100, 1_101, Infinity].map(watermark => alignment.waits(watermark, 1))).toEqual([
    false,
    false,
    true,
    true
  ])
  expect(alignment.waits(-Infinity, 1)).toBe(false)
})

it('nobody waits for those who have nothing to do, or have not said how far they are', () => {
  for (const slowest of [undefined, -Infinity]) {
    const alignment = new Alignment(100)
    alignment.see(slowest, 0)
    expect(alignment.waits(1e12, 1)).toBe(false)
  }
})

it('nobody waits longer than 30 seconds for one that does not get on, and as long as it takes for one that does', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ on: fc.boolean(), after: fc.integer({ min: 1, max: 20_000 }) })), steps => {
      const alignment = new Alignment(100)
      let [slowest, now, since] = [0, 0, 0]
      alignment.see(slowest, now)
      for (const { on, after } of steps) {
        now += after
        if (on) [slowest, since] = [slowest + 1, now]
        alignment.see(slowest, now)
        expect(alignment.waits(slowest + 101, now)).toBe(now - since < alignmentPatience)
        expect(alignment.waits(slowest + 100, now)).toBe(false)
      }
    })
  )
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeTally, mostSpans, Tally } from '../../src/watermark/index.ts'

const every = 1_000

describe('records by spans of event time', () => {
  it('are counted as a plain recount says, over crashes and whatever order, while the spans are few', () => {
    const step = fc.record({
      at: fc.integer({ min: -5 * every, max: (mostSpans - 6) * every }),
      column: fc.nat(2),
      crash: fc.boolean()
    })
    fc.assert(
      fc.property(fc.array(step), steps => {
        let tally = new Tally(every, 3)
        const counted: Record<string, number[]> = {}
        for (const { at, column, crash } of steps) {
          tally.add(at, column)
          const start = Math.floor(at / every) * every
          ;(counted[start] ??= [0, 0, 0])[column]!++
          if (crash) tally = new Tally(every, 3, JSON.parse(JSON.stringify(tally.snapshot())) as never)
        }
        expect(tally.snapshot()).toEqual({ every, spans: counted })
      })
    )
  })

  it('are bounded, and what is still counted is right', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 * every }), { minLength: 100 }), times => {
        const tally = new Tally(every, 1)
        for (const at of times) tally.add(at, 0)
        const { from = -Infinity, spans } = tally.snapshot()
        expect(Object.keys(spans).length).toBeLessThanOrEqual(mostSpans)
        for (const [start, [count]] of Object.entries(spans)) {
          expect(Number(start)).toBeGreaterThanOrEqual(from)
          expect(count).toBe(times.filter(at => Math.floor(at / every) * every === Number(start)).length)
        }
      })
    )
  })

  it('can be taken back', () => {
    const tally = new Tally(every, 1)
    tally.add(10, 0)
    tally.add(2_010, 0)
    tally.add(10, 0, -1)
    expect(tally.snapshot()).toEqual({ every, spans: { 2000: [1] } })
  })

  it('are counted anew where the length of a span was changed, from the first span that nothing was counted in', () => {
    const tally = new Tally(400, 1, { every, spans: { 0: [5], 1000: [7] } })
    tally.add(1_900, 0)
    tally.add(2_100, 0)
    expect(tally.snapshot()).toEqual({ every: 400, from: 2_000, spans: { 2000: [1] } })
  })

  it.each([
    { every: 0, spans: {} },
    { every, spans: { noon: [1] } },
    { every, spans: { 0: [-1] } },
    { every, spans: { 0: [] } },
    { every, spans: { 0: 1 } },
    { every, from: 'then', spans: {} }
  ])('are not taken from %j', raw => {
    expect(() => decodeTally(raw, 1)).toThrow()
  })
})

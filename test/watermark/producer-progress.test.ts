import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromSnapshot, ProducerProgress, toSnapshot } from '../../src/watermark/producer-progress.ts'

/** The definition, by the book: all promises are kept, and each counts once everything up to it is processed. */
class Oracle {
  readonly processed = new Set<number>()
  readonly promises: [number, number][] = []

  get high(): number {
    let high = 0
    while (this.processed.has(high + 1)) high++
    return high
  }

  get watermark(): number {
    return this.promises.reduce(
      (most, [sequence, time]) => (sequence <= this.high ? Math.max(most, time) : most),
      -Infinity
    )
  }
}

type Move =
  | { readonly kind: 'processed'; readonly sequence: number; readonly watermark: number | undefined }
  | { readonly kind: 'promise'; readonly sequence: number; readonly watermark: number }

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({
    kind: fc.constant('processed' as const),
    sequence: fc.integer({ min: 1, max: 8 }),
    watermark: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined })
  }),
  fc.record({
    kind: fc.constant('promise' as const),
    sequence: fc.integer({ min: 0, max: 9 }),
    watermark: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Infinity))
  })
)

describe('what is known of one producer', () => {
  it('agrees with the definition, for any order, repeats and gaps, and over a restart at any point', () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), fc.nat({ max: 60 }), (moves, restartAt) => {
        let progress = new ProducerProgress()
        const oracle = new Oracle()
        for (const [index, { kind, sequence, watermark }] of moves.entries()) {
          if (index === restartAt) progress = new ProducerProgress(JSON.parse(JSON.stringify(progress.snapshot())))
          const before = progress.watermark
          let rose: boolean
          if (kind === 'processed') {
            expect(progress.has(sequence)).toBe(oracle.processed.has(sequence))
            rose = progress.processed(sequence, watermark)
            oracle.processed.add(sequence)
            if (watermark !== undefined) oracle.promises.push([sequence, watermark])
          } else {
            rose = progress.promise(sequence, watermark)
            oracle.promises.push([sequence, watermark])
          }
          expect(progress.high).toBe(oracle.high)
          expect(progress.watermark).toBe(oracle.watermark)
          expect(progress.watermark).toBeGreaterThanOrEqual(before)
          expect(rose).toBe(progress.watermark > before)
        }
      }),
      { numRuns: 2_000 }
    )
  })

  it('goes on behind a gap that is given up', () => {
    const progress = new ProducerProgress()
    for (const sequence of [1, 5, 6, 9]) progress.processed(sequence, sequence * 10)
    progress.skipTo(7)
    expect(progress.high).toBe(7)
    expect(progress.processed(8, undefined)).toBe(true)
    expect(progress.high).toBe(9)
    expect(progress.watermark).toBe(90)
    progress.skipTo(3)
    expect(progress.high).toBe(9)
  })

  it('stays small however far it lags behind a producer that reports every second (P7)', () => {
    const progress = new ProducerProgress()
    for (let report = 1; report <= 100_000; report++) progress.promise(report * 10, report)
    expect(JSON.stringify(progress.snapshot()).length).toBeLessThan(4_000)
    for (let sequence = 1; sequence <= 1_000_000; sequence++) progress.processed(sequence, undefined)
    expect(progress.watermark).toBe(100_000)
    expect(progress.snapshot()).toEqual({ high: 1_000_000, watermark: 100_000 })
  })

  it('writes the ends of time as JSON can carry them', () => {
    for (const time of [-Infinity, Infinity, 0, -5, 1.5])
      expect(fromSnapshot(JSON.parse(JSON.stringify(toSnapshot(time))))).toBe(time)
  })
})

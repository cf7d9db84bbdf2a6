import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { json, number, pipeline, processor, text, topic } from '../../src/index.ts'
import { Completion } from '../../src/pipeline/completion.ts'
import { crash, drive, type DriveItem } from '../../src/testing/index.ts'

interface Line {
  readonly start: number
  readonly records: number
  readonly sum: number
  readonly parked: number
}

const raw = topic('raw', { key: text, value: number, lateness: 300 })
const clean = topic('clean', { key: text, value: number })
const lines = topic('lines', { key: text, value: json<Line>() })

/** Two hops: what the second calls complete is complete for both. */
function app(failing: { left: number } = { left: 0 }) {
  let sum = 0
  const first = processor({
    name: 'first',
    from: raw,
    to: clean,
    failure: { retries: 0 },
    process({ key, value }) {
      if (value < 0) throw new Error('refused')
      return { key, value }
    }
  })
  const second = processor({
    name: 'second',
    from: clean,
    to: lines,
    interval: '1s',
    failure: { retries: 2, backoff: { first: 1, most: 1 } },
    process: ({ value }) => void (sum += value),
    onComplete({ start, records, parked }, { idempotencyKey }) {
      if (failing.left-- > 0) throw new Error('not yet')
      return { key: idempotencyKey, value: { start, records, sum, parked } }
    }
  })
  return pipeline('counting', [first, second])
}

const entry = (eventTime: number, value = 1): DriveItem => ({ key: 'k', value, eventTime })
const told = async (inputs: readonly DriveItem[], failing?: { left: number }) => {
  const { outputs, counts } = await drive(app(failing), { inputs: { raw: inputs } })
  return {
    lines: outputs['lines']!.map(({ key, value, eventTime }) => ({ key, eventTime, ...(value as Line) })),
    counts
  }
}

describe('onComplete', () => {
  it('is told once for each interval with records, in order of time, with all of its records on both hops', async () => {
    const { lines } = await told([entry(100), entry(900), entry(1_100), entry(850), entry(4_000), entry(5_500)])
    expect(lines.map(({ start, records, eventTime }) => [start, records, eventTime])).toEqual([
      [0, 3, 999],
      [1_000, 1, 1_999],
      [4_000, 1, 4_999],
      [5_000, 1, 5_999]
    ])
    expect(lines[0]!.key).toBe('counting/second/0/interval/0')
  })

  it('is told for intervals whose records never came through, with nothing in them, by nobody', async () => {
    const { lines, counts } = await told([entry(100), entry(1_100, -1), entry(2_500)])
    expect(lines.map(({ start, records }) => [start, records])).toEqual([
      [0, 1],
      [2_000, 1]
    ])
    expect(counts['first']!.parked).toBe(1)
  })

  it('is tried again when it throws, and leaves one result', async () => {
    const { lines } = await told([entry(100), entry(1_100), entry(2_500)], { left: 2 })
    expect(lines.map(({ start, records }) => [start, records])).toEqual([
      [0, 1],
      [1_000, 1],
      [2_000, 1]
    ])
  })

  it('goes with `interval`, and not without it', () => {
    const common = { name: 'odd', from: clean, process: () => undefined } as const
    expect(() => processor({ ...common, interval: 5 })).toThrow('go together')
    expect(() => processor({ ...common, onComplete: () => undefined })).toThrow('go together')
    expect(() => processor({ ...common, interval: 0.5, onComplete: () => undefined })).toThrow('whole milliseconds')
    expect(() => processor({ ...common, interval: '5 s' as '5s', onComplete: () => undefined })).toThrow('such as')
  })

  it('counts as a plain recount does, once, whatever crashes on the way', { timeout: 60_000 }, async () => {
    const item = fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 6_000 }) },
      { weight: 1, arbitrary: fc.constant('crash' as const) }
    )
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 40 }), async items => {
        const times = items.filter(each => each !== 'crash').sort((left, right) => left - right)
        let at = 0
        const inputs = items.map(each => (each === 'crash' ? crash() : entry(times[at++]!)))
        const expected = Map.groupBy(times, time => Math.floor(time / 1_000) * 1_000)
        const { lines } = await told(inputs)
        expect(lines.map(({ start, records }) => [start, records])).toEqual(
          [...expected].map(([start, all]) => [start, all.length])
        )
      }),
      { numRuns: 30 }
    )
  })
})

describe('the intervals that are not over', () => {
  it('are those of the records in them, over snapshots; late records open none', () => {
    const completion = new Completion(10)
    completion.add(5, false, -Infinity)
    completion.add(25, true, -Infinity)
    const again = new Completion(10, completion.snapshot())
    expect(again.due(9)).toBeUndefined()
    const first = again.due(30)!
    expect(first).toEqual({ start: 0, end: 10, records: 1, parked: 0 })
    again.close(first)
    again.add(3, false, 10)
    expect(again.due(Infinity)).toEqual({ start: 20, end: 30, records: 0, parked: 1 })
  })
})

import { describe, expect, test } from 'vitest'
import { charts, draw } from '../../bench/charts/draw.ts'
import { markdown, rounded } from '../../bench/charts/tables.ts'
import { spread } from '../../bench/measure.ts'
import type { Amount, Figure } from '../../bench/measure.ts'

const figure = (name: string, rate: number, more: Partial<Figure> = {}): Figure => ({
  ...{ name, rate: spread([rate, rate * 2]), cpu: spread([1]), busy: spread([100]), records: 1, runs: 2 },
  ...more
})
const amount = (name: string, value: number): Amount => ({ name, amount: spread([value]), unit: 'ms', records: 1 })

describe('charts of the bench', () => {
  test('a figure and what is beside it are one chart, and so are a series and the percentiles of a run', () => {
    const drawn = charts([
      figure('kafka produce', 200, { raw: { rate: spread([100]), cpu: spread([1]) } }),
      figure('peers map, beside Kafka Streams', 300, { raw: { rate: spread([100]), cpu: spread([1]) } }),
      figure('growth file 1 partition', 10, { at: { axis: 'partitions', value: 1 } }),
      figure('growth file 256 partitions', 5, { at: { axis: 'partitions', value: 256 } }),
      amount('latency file exactly-once, p50', 60),
      amount('latency file exactly-once, p99.9', 120)
    ])
    expect(drawn.map(({ file, points }) => [file, points.map(({ label }) => label)])).toEqual([
      ['kafka-produce', ['ours', 'raw']],
      ['peers-map-beside-kafka-streams', ['ours', 'Kafka Streams']],
      ['growth-file-by-partitions', ['1', '256']],
      ['latency-file-exactly-once', ['p50', 'p99.9']]
    ])
  })

  test('a chart is an SVG with its title, its labels and its values', () => {
    const [chart] = charts([figure('kafka produce', 200, { raw: { rate: spread([100]), cpu: spread([1]) } })])
    const text = draw(chart!)
    expect(text.startsWith('<svg')).toBe(true)
    for (const word of ['kafka produce', 'ours', 'raw', 'records/s']) expect(text).toContain(word)
  })

  test('the same figures give the same text', () => {
    const [chart] = charts([figure('growth file 4 stages', 7, { at: { axis: 'stages', value: 4 } })])
    expect(draw(chart!)).toBe(draw(chart!))
  })
})

describe('tables of the bench', () => {
  test('what missed its bar is bold, what did not run says why', () => {
    const text = markdown({
      machine: { node: 'v24.0.0', cores: 2, memory: 2 ** 34 },
      figures: [
        { ...figure('kafka produce', 200, { ratio: spread([0.5]) }), verdict: 'missed' },
        { ...amount('latency kafka sustained 23,148 records/s, p99', 120), verdict: 'met' }
      ],
      notRun: [{ name: 'peers map, beside Quix Streams', reason: 'Python 3.9 or later is needed' }]
    })
    expect(text).toContain('| **0.5** | >= 0.95 of raw |')
    expect(text).toContain('| 120 ms | <= 250 |')
    expect(text).toContain('- peers map, beside Quix Streams: not run, Python 3.9 or later is needed')
  })

  test('three figures count', () => {
    expect([1_234_567, 12.345, 0.98765].map(rounded)).toEqual(['1,230,000', '12.3', '0.988'])
  })
})

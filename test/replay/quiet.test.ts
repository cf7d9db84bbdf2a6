/** The span that a replay reads again without a word: what it is made of, and when it is over. */
import { describe, expect, it } from 'vitest'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { topic } from '../../src/index.ts'
import { text } from '../../src/core/codec.ts'
import type { Head, QuietSpan } from '../../src/exactly-once/index.ts'
import type { PartitionInput } from '../../src/pipeline/input.ts'
import type { OutputBuffer } from '../../src/pipeline/outputs.ts'
import { Quiet } from '../../src/pipeline/quiet.ts'
import { quietSpanOf } from '../../src/pipeline/replay/quiet-span.ts'
import type { InputChange } from '../../src/pipeline/replay/replay-task.ts'
import { timerSlot, type StateRow } from '../../src/state/index.ts'

const bound = {
  topic: topic('words', { value: text }),
  adapter: { comparePositions: (left: string, right: string) => Number(left) - Number(right) } as AnyAdapter
}
const changes = [{ bound, start: { at: 'earliest' }, skips: [] }] as unknown as InputChange[]
const head = (position: string | undefined, watermark: number | null, quiet?: QuietSpan): Head => ({
  positions: position === undefined ? {} : { words: position },
  trackers: {},
  sequences: {},
  counts: {},
  watermark,
  ...(quiet && { quiet })
})
const timer = (time: number): StateRow => ({ slot: timerSlot, key: `${time}||k`, value: null })

describe('the span', () => {
  it('goes up to where the task stood, in positions and in event time', () => {
    expect(quietSpanOf(head('7', 500), changes, [])).toEqual({
      until: { words: '7' },
      but: { words: [] },
      watermark: 500
    })
  })

  it('ends before the first timer that was due and had not fired', () => {
    expect(quietSpanOf(head('7', 500), changes, [timer(600), timer(400), timer(450)]).watermark).toBe(399)
    expect(quietSpanOf(head('7', 500), changes, [timer(600)]).watermark).toBe(500)
  })

  it('is that of the earlier replay where this one has not come to its end, less what it has done', () => {
    const before = { until: { words: '90' }, but: { words: ['10', '80'] }, watermark: 900 }
    const half = { until: { words: '90' }, but: { words: ['80'] }, watermark: 900 }
    expect(quietSpanOf(head('40', 300, before), changes, [])).toEqual(half)
    expect(quietSpanOf(head(undefined, null, before), changes, [])).toEqual(before)
    // It is past it in position, and not in time.
    expect(quietSpanOf(head('95', 300, before), changes, [])).toEqual({
      until: { words: '95' },
      but: { words: [] },
      watermark: 900
    })
    expect(quietSpanOf(head('95', 1_000, before), changes, []).watermark).toBe(1_000)
  })

  it('is nothing of a partition that had never been read', () => {
    expect(quietSpanOf(head(undefined, null), changes, []).until).toEqual({})
  })
})

describe('it is over', () => {
  const begun = (position: string | undefined, size = 0): { quiet: Quiet; outputs: OutputBuffer } => {
    const outputs = { muted: true } as OutputBuffer
    const input = { bound, position } as unknown as PartitionInput
    const span = { until: { words: '7' }, but: { words: ['3'] }, watermark: 500 }
    return { quiet: new Quiet(span, [input], outputs, { size }), outputs }
  }

  it('when the task is past it in position and in time, and nothing waits for another attempt', () => {
    for (const [position, settled, size, isOver] of [
      ['7', 500, 0, true],
      ['6', 500, 0, false],
      [undefined, 500, 0, false],
      ['7', 499, 0, false],
      ['7', 500, 1, false]
    ] as const) {
      const { quiet, outputs } = begun(position, size)
      expect(quiet.left(settled) === undefined).toBe(isOver)
      expect(outputs.muted).toBe(!isOver)
    }
  })

  it('and until then it says of each piece of work whether it was done before', () => {
    const { quiet, outputs } = begun('1')
    const covers = (origin: Parameters<Quiet['begin']>[0], watermark = 0): boolean => {
      quiet.begin(origin, watermark)
      return outputs.muted
    }
    const record = (position: string, name = 'words') => ({ topic: name, position })
    expect(['2', '3', '7', '8'].map(position => covers(record(position)))).toEqual([true, false, true, false])
    expect(covers(record('2', 'others'))).toBe(false)
    expect([500, 501].map(time => covers({ time, name: '', key: 'k' }))).toEqual([true, false])
    expect([500, 501].map(end => covers({ start: 0, end, records: 1, parked: 0 }))).toEqual([true, false])
    expect([500, 501].map(watermark => covers(undefined, watermark))).toEqual([true, false])
  })
})

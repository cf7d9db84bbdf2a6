/** Interval joins against all pairs of all records. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { intervalJoin, json, text, topic, type JoinType } from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { anySteps, replay, runs } from './steps.ts'
import { Task, type Step } from './task.ts'

const lefts = topic('lefts', { key: text, value: json<number>() })
const rights = topic('rights', { key: text, value: json<number>() })
const pairs = topic('pairs', { key: text, value: json<readonly (number | undefined)[]>() })
const lateLefts = topic('late-lefts', { key: text, value: json<number>() })
const lateRights = topic('late-rights', { key: text, value: json<number>() })

interface Options {
  readonly before: number
  readonly after: number
  readonly allowedLateness: number
  readonly type: JoinType
}

const joining = ({ before, after, allowedLateness, type }: Options): ProcessorStage =>
  intervalJoin({
    name: 'joining',
    left: lefts,
    right: rights,
    to: pairs,
    before,
    after,
    allowedLateness,
    type,
    late: { left: lateLefts, right: lateRights },
    join: (left, right) => ({
      key: left.key,
      value: right ? [left.value, right.value, left.eventTime, right.eventTime] : [left.value]
    })
  })

const anyOptions = fc.record({
  before: fc.integer({ min: 0, max: 60 }),
  after: fc.integer({ min: 0, max: 60 }),
  allowedLateness: fc.constantFrom(0, 0, 5, 40),
  type: fc.constantFrom<JoinType>('inner', 'left')
})

const topics = ['lefts', 'rights']
const end: Step = { do: 'advance', to: 10_000 }
const sorted = (rows: Iterable<readonly unknown[]>): string[] => Array.from(rows, row => row.join()).sort()

describe('an interval join', () => {
  it('gives all pairs, and only these, whatever the order and whatever dies', () => {
    fc.assert(
      fc.property(fc.oneof(anySteps({ topics }), anySteps({ topics, behind: 0 })), anyOptions, (steps, options) => {
        const { before, after, allowedLateness, type } = options
        const task = new Task(joining(options))
        const outputs = task.run([...steps, end])

        const sends = [...replay(steps)].filter(step => step.do === 'send')
        const inTime = sends.filter(({ time, watermark }) => time >= watermark - allowedLateness)
        const side = (name: string): typeof inTime => inTime.filter(({ topic }) => topic === name)
        const expected: (readonly unknown[])[] = []
        for (const left of side('lefts')) {
          const partners = side('rights').filter(
            right => right.key === left.key && left.time >= right.time - before && left.time <= right.time + after
          )
          for (const right of partners)
            expected.push([left.key, Math.max(left.time, right.time), left.value, right.value, left.time, right.time])
          if (partners.length === 0 && type === 'left')
            expected.push([left.key, left.time + before + allowedLateness, left.value])
        }
        const found = outputs.filter(({ topic }) => topic === 'pairs')
        expect(sorted(found.map(({ key, value, eventTime }) => [key, eventTime, ...value]))).toEqual(sorted(expected))

        const expired = sends.filter(step => !inTime.includes(step))
        for (const [from, to] of [
          ['lefts', 'late-lefts'],
          ['rights', 'late-rights']
        ])
          expect(outputs.filter(({ topic }) => topic === to).map(({ value }) => value)).toEqual(
            expired.filter(({ topic }) => topic === from).map(({ value }) => value)
          )
        // Nobody downstream meets late records, unless there were some here.
        if (sends.every(({ time, watermark }) => time >= watermark))
          expect(found.filter(({ late }) => late)).toEqual([])
        expect(task.rows).toBe(0)
      }),
      { numRuns: runs }
    )
  })

  it('has one timer per key, however many records wait', () => {
    const task = new Task(joining({ before: 1_000, after: 1_000, allowedLateness: 0, type: 'inner' }))
    const steps = Array.from({ length: 500 }, (_, index): Step => {
      const time = 5_000 + ((index * 7919) % 500)
      return { do: 'send', topic: index % 2 ? 'lefts' : 'rights', key: 'a', time, value: index }
    })
    task.run(steps)
    // Out of order it may be one more now and then: whoever comes first by time sets an earlier one.
    expect(task.mostRows).toBeLessThanOrEqual(1 + 3)
  })

  it('forgets in pieces, not record by record', () => {
    const steps = Array.from({ length: 2_000 }, (_, index): Step[] => [
      { do: 'send', topic: 'lefts', key: 'a', time: index, value: index },
      { do: 'advance', to: index },
      { do: 'commit' }
    ]).flat()
    const task = new Task(joining({ before: 100, after: 0, allowedLateness: 0, type: 'inner' }))
    task.run(steps)
    expect(task.rowsOf.map(({ value }) => value!.byteLength).reduce((sum, size) => sum + size, 0)).toBeLessThan(
      200 * 20
    )
  })
})

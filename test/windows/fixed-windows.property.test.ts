/** Tumbling and hopping windows against the batch answer: which records lie in which window, by comparing times. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aggregate, hopping, json, text, topic, tumbling, type Early, type FixedWindowing } from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { anySteps, replay, runs } from './steps.ts'
import { Task, type Output, type Step } from './task.ts'

interface Result {
  readonly timing: 'early' | 'on-time' | 'late'
  readonly start: number
  readonly end: number
  readonly records: readonly number[]
}

const events = topic('events', { key: text, value: json<number>() })
const results = topic('results', { key: text, value: json<Result>() })
const lates = topic('lates', { key: text, value: json<number>() })

interface Options {
  readonly window: FixedWindowing
  readonly allowedLateness: number
  readonly early: Early | undefined
}

const collect = ({ window, allowedLateness, early }: Options): ProcessorStage =>
  aggregate({
    name: 'collect',
    from: events,
    to: results,
    late: lates,
    window,
    allowedLateness,
    ...(early && { early }),
    accumulator: json<readonly number[]>(),
    init: () => [],
    add: (records, { value }) => [...records, value],
    result: ({ key, value, window, timing }) => ({ key, value: { timing, ...window, records: value } })
  })

const anyOptions = fc.record({
  window: fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: -70, max: 70 }))
      .map(([size, offset]) => tumbling(size, { offset })),
    fc
      .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 50 }), fc.integer({ min: -70, max: 70 }))
      .map(([every, more, offset]) => hopping(every + more, { every, offset }))
  ),
  allowedLateness: fc.constantFrom(0, 0, 5, 40),
  early: fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: 1, max: 30 }).map((every): Early => ({ every })),
    fc.integer({ min: 1, max: 4 }).map((count): Early => ({ count }))
  )
})

interface Expected {
  readonly start: number
  readonly end: number
  readonly key: string
  readonly onTime: number[]
  readonly late: number[]
}

/** The batch answer: all windows there could be, and for each the records that were there in time. */
function oracle(
  steps: readonly Step[],
  { window, allowedLateness }: Options
): { windows: Expected[]; expired: number[] } {
  const windows = new Map<string, Expected>()
  const expired: number[] = []
  for (const step of replay(steps)) {
    if (step.do !== 'send') continue
    const { key, time, watermark } = step
    const value = step.value as number
    let used = false
    const first = Math.floor((time - window.size - window.offset) / window.every) - 1
    for (let number = first; window.offset + number * window.every <= time; number++) {
      const start = window.offset + number * window.every
      const end = start + window.size
      if (time < start || time >= end || watermark >= end + allowedLateness) continue
      used = true
      const id = `${key} ${start}`
      if (!windows.has(id)) windows.set(id, { start, end, key, onTime: [], late: [] })
      windows.get(id)![watermark < end ? 'onTime' : 'late'].push(value)
    }
    if (!used) expired.push(value)
  }
  return { windows: [...windows.values()], expired }
}

const end: Step = { do: 'advance', to: 10_000 }
const of = (outputs: readonly Output[], topic: string): readonly Output[] =>
  outputs.filter(output => output.topic === topic)

describe('fixed windows', () => {
  it('give what the batch gives, whatever the order and whatever dies', () => {
    fc.assert(
      fc.property(anySteps(), anyOptions, (steps, options) => {
        const task = new Task(collect(options))
        const outputs = task.run([...steps, end])
        const { windows, expired } = oracle(steps, options)

        const found = of(outputs, 'results')
        for (const { key, start, end, onTime, late } of windows) {
          const panes = found.filter(output => output.key === key && output.value.start === start)
          const timed = (timing: string): Output[] => panes.filter(({ value }) => value.timing === timing)
          expect(timed('on-time').map(({ value }) => value.records)).toEqual(onTime.length > 0 ? [onTime] : [])
          // A late result for each late record, corrected by it alone.
          expect(timed('late').map(({ value }) => value.records)).toEqual(
            late.map((_, index) => [...onTime, ...late.slice(0, index + 1)])
          )
          // Early ones tell of the first so many records, each of more than the one before; all come before the end.
          const early = timed('early').map(({ value }) => value.records as number[])
          for (const records of early) expect(records).toEqual(onTime.slice(0, records.length))
          expect(early.map(records => records.length)).toEqual(
            [...new Set(early.map(records => records.length))].sort((left, right) => left - right)
          )
          const count = options.early?.count
          if (count) expect(early.length).toBe(Math.floor(onTime.length / count))
          expect(panes.map(({ value }) => value.timing)).toEqual(
            panes.map(({ value }) => value.timing).sort((left, right) => order(left) - order(right))
          )
          // They converge.
          expect(panes.at(-1)!.value.records).toEqual([...onTime, ...late])
          for (const { value, eventTime, late } of panes) {
            expect([value.end, eventTime]).toEqual([end, end - 1])
            expect(late).toBe(value.timing === 'late')
          }
        }
        const known = new Set(windows.map(({ key, start }) => `${key} ${start}`))
        for (const { key, value } of found) expect(known).toContain(`${key} ${value.start}`)
        // On time means in order of time.
        const ends = found.filter(({ value }) => value.timing === 'on-time').map(({ value }) => value.end)
        expect(ends).toEqual(ends.toSorted((left, right) => left - right))

        expect(of(outputs, 'lates').map(({ value }) => value)).toEqual(expired)
        expect(task.rows).toBe(0)
      }),
      { numRuns: runs }
    )
  })

  it('give early results by time when the watermark passes a multiple, and there is news', () => {
    fc.assert(
      fc.property(
        anySteps({ behind: 0 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 10, max: 60 }),
        (steps, every, size) => {
          const window = tumbling(size)
          const outputs = new Task(collect({ window, allowedLateness: 0, early: { every } })).run([...steps, end])
          const early = outputs.filter(({ value }) => value.timing === 'early')
          const expected: string[] = []
          const news = new Map<string, { records: number[]; fresh: boolean; end: number; since: number }>()
          for (const step of replay(steps)) {
            if (step.do === 'send') {
              const start = Math.floor(step.time / size) * size
              const id = `${step.key} ${start}`
              if (!news.has(id)) news.set(id, { records: [], fresh: false, end: start + size, since: 0 })
              const open = news.get(id)!
              open.records.push(step.value as number)
              // Multiples count from the watermark at which the news came, and from the start of the window.
              if (!open.fresh) open.since = Math.max(step.watermark, start)
              open.fresh = true
            } else
              for (const [id, open] of news) {
                const passed = Math.floor(step.to / every) * every
                if (!open.fresh || passed <= open.since || open.end <= step.to) continue
                open.fresh = false
                expected.push(`${id} ${open.records.join()}`)
              }
          }
          const found = early.map(({ key, value }) => `${key} ${value.start} ${value.records.join()}`)
          expect(found.sort()).toEqual(expected.sort())
        }
      ),
      { numRuns: runs }
    )
  })

  it('count each record once, however far timers are behind', () => {
    fc.assert(
      fc.property(anySteps({ busy: true }), anyOptions, (steps, options) => {
        fc.pre(options.window.every === options.window.size)
        const task = new Task(collect(options))
        const outputs = task.run([...steps, end])
        const last = new Map<string, readonly number[]>()
        for (const { key, value } of of(outputs, 'results')) last.set(`${key} ${value.start}`, value.records)
        const sent = [...replay(steps)].flatMap(step => (step.do === 'send' ? [step.value as number] : []))
        const lost = of(outputs, 'lates').map(({ value }) => value as number)
        for (const { value, late } of outputs) if (value.timing === 'on-time') expect(late).toBe(false)
        expect([...last.values(), lost].flat().sort((left, right) => left - right)).toEqual(sent)
        expect(task.rows).toBe(0)
      }),
      { numRuns: runs }
    )
  })

  it('may be defined anew: windows that are open end as they began, and nothing stays behind', () => {
    const old = { window: tumbling(100), allowedLateness: 10, early: { every: 30 } }
    const task = new Task(collect(old))
    const send = (time: number, value: number): Step => ({ do: 'send', key: 'a', time, value })
    task.run([send(10, 1), { do: 'advance', to: 40 }, send(130, 2), { do: 'advance', to: 105 }])
    // Of the window that has ended, late records are taken for longer now; early results are no more.
    task.become(collect({ window: tumbling(50), allowedLateness: 200, early: undefined }))
    const outputs = task.run([{ do: 'advance', to: 121 }, send(130, 3), send(40, 4), end])
    expect(outputs.map(({ value: { timing, start, end, records } }) => [timing, start, end, records])).toEqual([
      ['early', 0, 100, [1]],
      ['on-time', 0, 100, [1]],
      ['late', 0, 50, [4]],
      ['on-time', 100, 150, [3]],
      ['on-time', 100, 200, [2]]
    ])
    expect(task.rows).toBe(0)
  })

  it('keep one row of state and one timer per key and window, not per record', () => {
    const task = new Task(collect({ window: tumbling(100), allowedLateness: 50, early: undefined }))
    const steps = Array.from({ length: 500 }, (_, index): Step => ({
      do: 'send',
      key: 'a',
      time: index % 300,
      value: index
    }))
    task.run(steps)
    expect(task.mostRows).toBe(1 + 3)
  })
})

const order = (timing: Result['timing']): number => ['early', 'on-time', 'late'].indexOf(timing)

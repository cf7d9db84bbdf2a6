/** Session windows against sessions that are computed anew from all records that count, each time one comes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aggregate, json, session, text, topic, type Early, type Window } from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { anySteps, replay, runs } from './steps.ts'
import { Task, type Output, type Step } from './task.ts'

interface Result extends Window {
  readonly timing: 'early' | 'on-time' | 'late'
  readonly replaces: readonly Window[]
  readonly records: readonly number[]
}

const events = topic('events', { key: text, value: json<number>() })
const results = topic('results', { key: text, value: json<Result>() })
const lates = topic('lates', { key: text, value: json<number>() })

interface Options {
  readonly gap: number
  readonly allowedLateness: number
  readonly early: Early | undefined
}

const ascending = (left: number, right: number): number => left - right

const collect = ({ gap, allowedLateness, early }: Options): ProcessorStage =>
  aggregate({
    name: 'collect',
    from: events,
    to: results,
    late: lates,
    window: session(gap),
    allowedLateness,
    ...(early && { early }),
    accumulator: json<readonly number[]>(),
    init: () => [],
    add: (records, { value }) => [...records, value],
    merge: (earlier, later) => [...earlier, ...later],
    result: ({ key, value, window, timing, replaces }) => ({
      key,
      value: { timing, ...window, replaces, records: value.toSorted(ascending) }
    })
  })

const anyOptions = fc.record({
  gap: fc.integer({ min: 1, max: 40 }),
  allowedLateness: fc.constantFrom(0, 0, 5, 60),
  early: fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: 1, max: 30 }).map((every): Early => ({ every })),
    fc.integer({ min: 1, max: 4 }).map((count): Early => ({ count }))
  )
})

interface Event {
  readonly time: number
  readonly value: number
}
interface Session extends Window {
  readonly key: string
  readonly records: number[]
}

/** Records of one key to sessions: sorted by time, cut where nothing came for the gap. */
function cut(key: string, events: readonly Event[], gap: number): Session[] {
  const sessions: { key: string; start: number; end: number; records: number[] }[] = []
  for (const { time, value } of events.toSorted((left, right) => left.time - right.time)) {
    const last = sessions.at(-1)
    if (last && time < last.end) {
      last.end = time + gap
      last.records.push(value)
    } else sessions.push({ key, start: time, end: time + gap, records: [value] })
  }
  for (const { records } of sessions) records.sort(ascending)
  return sessions
}

interface Answer {
  readonly onTime: Session[]
  readonly late: Session[]
  /** As they were when they went. */
  readonly last: Session[]
  readonly expired: number[]
}

function oracle(steps: readonly Step[], { gap, allowedLateness }: Options): Answer {
  const answer: Answer = { onTime: [], late: [], last: [], expired: [] }
  const events = new Map<string, Event[]>([
    ['a', []],
    ['b', []]
  ])
  for (const step of replay(steps)) {
    if (step.do === 'send') {
      const event = { time: step.time, value: step.value as number }
      const with_ = [...events.get(step.key)!, event]
      const mine = cut(step.key, with_, gap).find(({ records }) => records.includes(event.value))!
      if (mine.end + allowedLateness <= step.watermark) answer.expired.push(event.value)
      else {
        events.set(step.key, with_)
        if (mine.end <= step.watermark) answer.late.push(mine)
      }
      continue
    }
    for (const [key, all] of events)
      for (const found of cut(key, all, gap)) {
        if (found.end > step.from && found.end <= step.to) answer.onTime.push(found)
        if (found.end + allowedLateness > step.to) continue
        answer.last.push(found)
        events.set(
          key,
          events.get(key)!.filter(({ value }) => !found.records.includes(value))
        )
      }
  }
  return answer
}

const end: Step = { do: 'advance', to: 10_000 }
const named = ({ key, start, end, records }: Session): string => `${key} [${start}, ${end}) ${records.join()}`
const shown = ({ key, value }: Output): string => named({ key, ...value })

describe('session windows', () => {
  it('give what sessions computed anew give, whatever the order and whatever dies', () => {
    fc.assert(
      fc.property(anySteps(), anyOptions, (steps, options) => {
        const task = new Task(collect(options))
        const outputs = task.run([...steps, end])
        const found = outputs.filter(output => output.topic === 'results')
        const timed = (timing: string): Output[] => found.filter(({ value }) => value.timing === timing)
        const answer = oracle([...steps, end], options)

        expect(timed('on-time').map(shown).sort()).toEqual(answer.onTime.map(named).sort())
        expect(timed('late').map(shown)).toEqual(answer.late.map(named))
        expect(outputs.filter(({ topic }) => topic === 'lates').map(({ value }) => value)).toEqual(answer.expired)
        for (const { value, eventTime, late } of found) {
          expect(eventTime).toBe(value.end - 1)
          expect(late).toBe(value.timing === 'late')
        }
        // Who keeps the last result of each window, and takes back what a result replaces, has the answer.
        const kept = new Map<string, string>()
        for (const output of found) {
          const id = ({ start, end }: Window): string => `${output.key} ${start} ${end}`
          for (const window of output.value.replaces) expect(kept.delete(id(window)), 'was told of').toBe(true)
          kept.set(id(output.value), shown(output))
        }
        expect([...kept.values()].sort()).toEqual(answer.last.map(named).sort())
        expect(task.rows).toBe(0)
      }),
      { numRuns: runs }
    )
  })

  it('give exactly the sessions of the batch, if nothing is late', () => {
    fc.assert(
      fc.property(anySteps({ behind: 0 }), anyOptions, (steps, options) => {
        const outputs = new Task(collect(options)).run([...steps, end])
        const batch = ['a', 'b'].flatMap(key => {
          const events = [...replay(steps)].flatMap(step =>
            step.do === 'send' && step.key === key ? [{ time: step.time, value: step.value as number }] : []
          )
          return cut(key, events, options.gap)
        })
        const found = outputs.filter(({ value }) => value.timing !== 'early')
        expect(found.map(shown).sort()).toEqual(batch.map(named).sort())
      }),
      { numRuns: runs }
    )
  })

  it('give early results for as long as they grow', () => {
    const steps = Array.from({ length: 30 }, (_, index): Step[] => [
      { do: 'send', key: 'a', time: index * 10, value: index },
      { do: 'advance', to: index * 10 }
    ])
    const outputs = new Task(collect({ gap: 15, allowedLateness: 0, early: { every: 50 } })).run([...steps.flat(), end])
    expect(outputs.map(({ value }) => [value.timing, value.end, value.records.length])).toEqual([
      ['early', 65, 6],
      ['early', 115, 11],
      ['early', 165, 16],
      ['early', 215, 21],
      ['early', 265, 26],
      ['on-time', 305, 30]
    ])
  })

  it('count each record once, however far timers are behind', () => {
    fc.assert(
      fc.property(anySteps({ busy: true }), anyOptions, (steps, options) => {
        const task = new Task(collect(options))
        const outputs = task.run([...steps, end])
        const kept = new Map<string, readonly number[]>()
        const lost: number[] = []
        for (const { topic, key, value } of outputs) {
          if (topic === 'lates') lost.push(value)
          else {
            for (const { start, end } of value.replaces) kept.delete(`${key} ${start} ${end}`)
            kept.set(`${key} ${value.start} ${value.end}`, value.records)
          }
        }
        const sent = [...replay(steps)].flatMap(step => (step.do === 'send' ? [step.value] : []))
        for (const { value, late } of outputs) if (value.timing === 'on-time') expect(late).toBe(false)
        expect([...kept.values(), lost].flat().sort(ascending)).toEqual(sent)
        expect(task.rows).toBe(0)
      }),
      { numRuns: runs }
    )
  })

  it('are on time when the timer is behind the watermark, and a late record comes before it', () => {
    const outputs = new Task(collect({ gap: 10, allowedLateness: 50, early: undefined })).run([
      { do: 'send', key: 'a', time: 0, value: 0 },
      { do: 'advance', to: 20, fires: 0 },
      { do: 'send', key: 'a', time: 5, value: 1 },
      end
    ])
    expect(outputs.map(({ value }) => [value.timing, value.records])).toEqual([['on-time', [0, 1]]])
  })

  it('have one timer per session, however often it grows', () => {
    const task = new Task(collect({ gap: 100, allowedLateness: 0, early: undefined }))
    const steps = Array.from({ length: 500 }, (_, index): Step => ({
      do: 'send',
      key: 'a',
      time: index * 10,
      value: index
    }))
    task.run(steps.flatMap((step, index) => (index % 10 === 0 ? [step, { do: 'commit' }] : [step])))
    expect(task.mostRows).toBe(2)
  })
})

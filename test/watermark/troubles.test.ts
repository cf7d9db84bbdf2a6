import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ailments,
  Clocks,
  diagnoseInputs,
  noCounts,
  PartitionTracker,
  skewed,
  TopicMembership,
  TroubleBook,
  type Health,
  type Signs,
  type StageHealth,
  type Trouble,
  type Vitals
} from '../../src/watermark/index.ts'

const noHealth: Health = { at: 0, every: 1_000, pending: 0, failureRate: 0, upstream: {}, troubles: [] }
const idOf = (task: string): string => task.padEnd(16, '.').slice(0, 16)

function report(task: string, health: Partial<Health> = {}): Vitals {
  return {
    producer: idOf(task),
    task,
    durable: true,
    state: 'active',
    watermark: 5,
    outputs: new Map([['t', { watermark: 5, last: new Map() }]]),
    counts: noCounts,
    commit: 1,
    beat: 1,
    health: { ...noHealth, ...health }
  }
}

/** What the task `me/here/0`, which reads all of these, finds at such a time after it has heard them. */
function find(reports: readonly Vitals[], signs: Signs & { waitingFor?: number } = {}, monotonic = 1_000) {
  const membership = new TopicMembership()
  for (const each of reports) membership.report(each, 't', 0)
  membership.markComplete()
  const tracker = new PartitionTracker(0, 0)
  tracker.learn(membership)
  const waitingSince = signs.waitingFor === undefined ? undefined : monotonic - signs.waitingFor
  const input = { topic: 't', partition: 0, tracker, membership, waitingSince }
  const byTask = new Map(reports.map(each => [each.task, each]))
  const moment = { now: 1_000_000 + monotonic, monotonic }
  return diagnoseInputs('me/here/0', [input], byTask, signs.failingSince, moment, signs)
}

const told = ({ troubles }: ReturnType<typeof find>): string[] =>
  troubles.map(({ stage, cause }) => `${stage}: ${cause}`)

describe('what a task finds wrong with itself', () => {
  it.each<[string, Signs & { waitingFor?: number }, string[]]>([
    ['nothing', {}, []],
    ['one attempt that has just failed', { failingSince: 1_000_900 }, []],
    ['a record that goes on failing', { failingSince: 1_000_000 - 100 }, ['me/here: failing']],
    ['one failure in a hundred', { failureRate: 0.01 }, ['me/here: failing']],
    ['one failure in a thousand', { failureRate: 0.001 }, []],
    ['records on their way', { waitingFor: 1_900 }, []],
    ['records that wait', { waitingFor: 2_000 }, ['me/here: slow']],
    ['records that still wait', { waitingFor: 1_100, wasSlow: true }, ['me/here: slow']],
    ['late records of its own making', { lateOut: 0.02 }, ['me/here: late']],
    ['late records that it has read', { lateOut: 0.02, lateIn: 0.02 }, []],
    ['a broker that does not answer', { deafSince: 5 }, ['me/here: cut-off']],
    ['a broker that takes nothing', { unsentSince: 5 }, ['me/here: cut-off']]
  ])('%s', (_, signs, expected) => {
    expect(told(find([report('a/b/0', { upstream: { 'x/y': {} as StageHealth } })], signs))).toEqual(expected)
  })
})

describe('what it finds wrong with others', () => {
  const slow: Trouble = { stage: 'x/y', cause: 'slow', since: 7, hops: 3 }

  it('is what they say, one hop farther', () => {
    expect(find([report('a/b/0', { troubles: [slow] })]).troubles).toEqual([{ ...slow, hops: 4 }])
  })

  it('comes over several ways, and counts once, by the shortest', () => {
    const { troubles } = find([
      report('a/b/0', { troubles: [slow] }),
      report('a/b/1', { troubles: [{ ...slow, hops: 1 }] }),
      report('a/c/0', { troubles: [slow] })
    ])
    expect(troubles).toEqual([{ ...slow, hops: 2 }])
  })

  it('is nothing that a silent one has said before: it is silent', () => {
    expect(told(find([report('a/b/0', { troubles: [slow] })], {}, 3_500))).toEqual(['a/b: silent'])
  })

  it('is not their silence while nobody can be heard', () => {
    expect(told(find([report('a/b/0')], { deafSince: 5 }, 3_500))).toEqual(['me/here: cut-off'])
  })

  it('does not come back over a loop of topics, and does not go round for ever', () => {
    const mine: Trouble = { stage: 'me/here', cause: 'slow', since: 7, hops: 1 }
    expect(told(find([report('a/b/0', { troubles: [mine, { ...slow, hops: 64 }] })]))).toEqual([])
  })

  it('is bounded', () => {
    const many = (from: number): Trouble[] =>
      Array.from({ length: 60 }, (_, index) => ({ stage: `x/s${from + index}`, cause: 'slow', since: 1, hops: 0 }))
    const reports = [report('a/b/0', { troubles: many(0) }), report('a/b/1', { troubles: many(100) })]
    expect(find(reports).troubles.length).toBeLessThanOrEqual(65)
  })
})

describe('whose clock is wrong', () => {
  const clocks = (ahead: Record<string, number>) =>
    new Map(Object.entries(ahead).map(([stage, each]) => [stage, { ahead: each } as StageHealth]))

  it.each<[Record<string, number>, string[]]>([
    [{ 'a/b': 300_000 }, []], // one of two: nobody can know
    [{ 'a/b': 300_000, 'a/c': 0 }, ['a/b']],
    [{ 'a/b': -300_000, 'a/c': 100, 'a/d': -200 }, ['a/b']],
    [{ 'a/b': 300_000, 'a/c': 300_100 }, ['me']],
    [{ 'a/b': 4_000, 'a/c': -900, 'a/d': 0 }, []],
    [{ 'a/b': 90_000, 'a/c': 90_000, 'a/d': 0 }, ['a/b', 'a/c']] // two against two: those who differ from us
  ])('%j: %j', (ahead, expected) => {
    expect(skewed('me', clocks(ahead)).map(({ stage }) => stage)).toEqual(expected)
  })

  it('is found whatever it is wrong by, as long as most are right, and nobody else is accused', () => {
    const wrong = fc.oneof(fc.integer({ min: 10_000, max: 1e7 }), fc.integer({ min: -1e7, max: -10_000 }))
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -2_000, max: 2_000 }), { minLength: 2, maxLength: 8 }),
        wrong,
        (well, off) => {
          const ahead = Object.fromEntries(well.map((each, index) => [`a/w${index}`, each]))
          expect(skewed('me', clocks({ ...ahead, 'a/off': off })).map(({ stage }) => stage)).toEqual(['a/off'])
        }
      )
    )
  })
})

describe('clocks', () => {
  const at = (ahead: number): Vitals => report('a/b/0', { at: 1_000_000 + ahead })

  it('are those of the last report; a clock of ours that is set moves none of them', () => {
    const known = new Clocks()
    expect(known.aheadOf('a/b/0', { now: 1_000_000, monotonic: 0 })).toBeUndefined()
    known.heard(at(60_000), { now: 1_000_000, monotonic: 0 })
    expect(known.aheadOf('a/b/0', { now: 1_001_000, monotonic: 1_000 })).toBe(60_000)
    // An hour back, a second later.
    expect(known.aheadOf('a/b/0', { now: 1_002_000 - 3_600_000, monotonic: 2_000 })).toBe(3_660_000)
    known.heard(report('a/b/0', { at: 1_003_000 }), { now: 1_003_000 - 3_600_000, monotonic: 3_000 })
    expect(known.aheadOf('a/b/0', { now: 1_003_000 - 3_600_000, monotonic: 3_000 })).toBe(3_600_000)
    known.forget()
    expect(known.aheadOf('a/b/0', { now: 0, monotonic: 3_000 })).toBeUndefined()
  })

  it('are not kept of who has left', () => {
    const known = new Clocks()
    known.heard(at(0), { now: 1_000_000, monotonic: 0 })
    known.heard({ ...at(0), state: 'left' }, { now: 1_000_000, monotonic: 0 })
    expect(known.aheadOf('a/b/0', { now: 1_000_000, monotonic: 0 })).toBeUndefined()
  })
})

describe('the book of troubles', () => {
  it('knows since when each is there, for as long as it is, and has the worst first', () => {
    const book = new TroubleBook()
    const late = { stage: 'a/b', cause: 'late', hops: 0 } as const
    const silent = { stage: 'a/c', cause: 'silent', since: 3, hops: 1 } as const
    expect(book.note([late], 10)).toEqual([{ ...late, since: 10 }])
    expect(book.note([late, silent], 20)).toEqual([silent, { ...late, since: 10 }])
    expect(book.note([], 30)).toEqual([])
    expect(book.note([late], 40)).toEqual([{ ...late, since: 40 }])
  })

  it('orders by how bad it is', () => {
    const found = ailments.map(cause => ({ stage: 'a/b', cause, hops: 0 }))
    expect(new TroubleBook().note(found.toReversed(), 1).map(({ cause }) => cause)).toEqual(ailments)
  })
})

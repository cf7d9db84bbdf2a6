import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import { judge, mayRestartMend, type Signs, type Verdict, type Watched } from '../../src/health/judge.ts'

const limits = { stalledAfter: 60, unreachableAfter: 10 }
const nothing: Signs = { progress: 0, waiting: false, owing: false, oldest: undefined, failure: undefined }

/** One task, second by second: what it shows in each of them. */
type Script = readonly Signs[]

function play(script: Script): (Verdict | undefined)[] {
  let watched: Watched | undefined
  return script.map((signs, now) => {
    const [next, verdict] = judge(watched, signs, now, limits)
    watched = next
    return verdict
  })
}

const seconds = (count: number, signs: Partial<Signs>): Signs[] =>
  Array.from({ length: count }, () => ({ ...nothing, ...signs }))
const handler = { doing: 'handling a record', by: 'handler' } as const
const store = { doing: 'committing', by: 'outside' } as const

describe('a look at a task', () => {
  it('finds nothing wrong with one that has nothing to do, for as long as it likes', () => {
    expect(play(seconds(1_000, {})).every(verdict => verdict === undefined)).toBe(true)
  })

  it('finds the stall of one that has records and gets nothing done, from then on and not before', () => {
    const verdicts = play([...seconds(500, {}), ...seconds(100, { waiting: true })])
    expect(verdicts.findIndex(verdict => verdict !== undefined)).toBe(560)
    expect(verdicts.at(-1)).toEqual({ cause: 'stalled', since: 500 })
  })

  it('finds none in one that gets something done now and then', () => {
    const script = Array.from({ length: 1_000 }, (_, second) => ({
      ...nothing,
      waiting: true,
      progress: Math.floor(second / 59)
    }))
    expect(play(script).some(Boolean)).toBe(false)
  })

  it('names a handler that does not come back, also beside others that do', () => {
    const script = Array.from({ length: 100 }, (_, second) => ({
      ...nothing,
      progress: second,
      oldest: { work: handler, since: 20 }
    }))
    const verdicts = play(script)
    expect(verdicts.findIndex(Boolean)).toBe(80)
    expect(verdicts[80]).toEqual({ cause: 'hung', since: 20, work: handler })
  })

  it('does not take a store that does not answer for a handler', () => {
    const verdicts = play(seconds(100, { owing: true, oldest: { work: store, since: 0 } }))
    expect(verdicts.at(-1)).toEqual({ cause: 'unreachable', since: 0, work: store })
  })

  it('tells of a broker that is away sooner, and as what it is', () => {
    const error = new StreamError('connection', 'gone')
    const verdicts = play(seconds(100, { owing: true, failure: { since: 0, error, unreachable: true } }))
    expect(verdicts.findIndex(Boolean)).toBe(10)
    expect(verdicts.every(verdict => !verdict || verdict.cause === 'unreachable')).toBe(true)
  })

  it('tells of attempts that fail only while nothing gets done', () => {
    const failure = { since: 0, error: new Error('no'), unreachable: false }
    expect(play(seconds(100, { waiting: true, failure })).at(-1)).toMatchObject({ cause: 'failing', since: 0 })
    const others = Array.from({ length: 100 }, (_, progress) => ({ ...nothing, progress, waiting: true, failure }))
    expect(play(others).some(Boolean)).toBe(false)
  })

  const any: fc.Arbitrary<Signs> = fc.record({
    progress: fc.nat(3),
    waiting: fc.boolean(),
    owing: fc.boolean(),
    oldest: fc.option(fc.record({ work: fc.constantFrom(handler, store), since: fc.nat(200) }), { nil: undefined }),
    failure: fc.option(
      fc.record({ since: fc.nat(200), error: fc.constant(new Error('x')), unreachable: fc.boolean() }),
      { nil: undefined }
    )
  })
  const anyScript = fc
    .array(fc.tuple(any, fc.integer({ min: 1, max: 70 })), { minLength: 1, maxLength: 12 })
    .map(parts => parts.flatMap(([signs, count]) => seconds(count, signs)))
    // Nothing is under way or failing since a time that is to come.
    .map(script =>
      script.map((signs, now) => ({
        ...signs,
        oldest: signs.oldest && { ...signs.oldest, since: Math.min(signs.oldest.since, now) },
        failure: signs.failure && { ...signs.failure, since: Math.min(signs.failure.since, now) }
      }))
    )

  it('never finds anything where there is nothing to do and nothing fails', () => {
    fc.assert(
      fc.property(anyScript, fc.integer({ min: 1, max: 500 }), (script, idle) => {
        const verdicts = play([...script, ...seconds(idle, { progress: script.at(-1)!.progress })])
        expect(verdicts.slice(script.length).every(verdict => verdict === undefined)).toBe(true)
      }),
      { numRuns: 300 }
    )
  })

  it('is sure within the limit: work, no progress, nothing under way', () => {
    fc.assert(
      fc.property(anyScript, script => {
        const verdicts = play([
          ...script,
          ...seconds(limits.stalledAfter + 1, { ...script.at(-1)!, waiting: true, oldest: undefined })
        ])
        expect(verdicts.at(-1)).toBeDefined()
      }),
      { numRuns: 300 }
    )
  })

  it('clears with the next thing that is done, and asks for a new process only where that may mend it', () => {
    fc.assert(
      fc.property(anyScript, script => {
        const last = script.at(-1)!
        const better = { ...last, progress: last.progress + 1, oldest: undefined, failure: undefined }
        expect(play([...script, better]).at(-1)).toBeUndefined()
        for (const verdict of play(script)) {
          if (verdict?.cause !== 'unreachable' && verdict?.cause !== 'failing') continue
          expect(mayRestartMend(verdict.cause)).toBe(false)
        }
      }),
      { numRuns: 300 }
    )
  })

  it('dates nothing before it was seen, and nothing shorter than its limit', () => {
    fc.assert(
      fc.property(anyScript, script => {
        for (const [now, verdict] of play(script).entries()) {
          if (!verdict) continue
          expect(verdict.since).toBeGreaterThanOrEqual(0)
          if (verdict.cause !== 'failing')
            expect(now - verdict.since).toBeGreaterThanOrEqual(
              verdict.cause === 'unreachable' ? limits.unreachableAfter : limits.stalledAfter
            )
        }
      }),
      { numRuns: 300 }
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noCounts, type Health, type Trouble, type Vitals } from '../../src/watermark/index.ts'
import { WatchState } from '../../src/watch/watch-state.ts'
import type { Snapshot } from '../../src/watch/index.ts'

const second = 1_000
const minute = 60 * second
const start = 1_700_000_040_000 // a whole minute
const noHealth: Health = { at: 0, every: second, pending: 0, failureRate: 0, upstream: {}, troubles: [] }

interface Said extends Omit<Partial<Vitals>, 'health'> {
  readonly health?: Partial<Health>
  readonly sent?: Record<string, Record<number, number>>
  readonly read?: Record<string, Record<number, readonly number[]>>
}

const span = ([at, counts]: [string, number | readonly number[]]): [number, readonly number[]] => [
  start + Number(at) * minute,
  typeof counts === 'number' ? [counts] : counts
]

function report(task: string, { sent = {}, read, health, ...more }: Said = {}): Vitals {
  const tally = (spans: Record<number, number | readonly number[]>) => ({
    every: minute,
    spans: Object.fromEntries(Object.entries(spans).map(span))
  })
  return {
    producer: task.padEnd(16, '.').slice(-16),
    task,
    durable: true,
    state: 'active',
    watermark: start,
    outputs: new Map(
      Object.entries(sent).map(([topic, spans]) => [
        topic,
        { watermark: start, last: new Map([[0, 1]]), sent: tally(spans) }
      ])
    ),
    ...(read && {
      inputs: new Map(
        Object.entries(read).map(([topic, spans]) => [topic, { partition: 0, read: tally(spans) } as const])
      )
    }),
    counts: noCounts,
    commit: 1,
    beat: 1,
    health: { ...noHealth, ...health },
    ...more
  }
}

/** A watcher on a clock of its own: 0 is when it comes. */
class Watching {
  readonly state: WatchState
  at = 0

  constructor(most = 1_000, expect: readonly string[] = []) {
    this.state = new WatchState({ most, expect }, this.moment)
  }

  get moment(): { now: number; monotonic: number } {
    return { now: start + this.at, monotonic: 50_000 + this.at }
  }

  hear(vitals: Vitals, broker = 'default', live = true): this {
    const health = { ...vitals.health!, at: vitals.health!.at || start + this.at }
    this.state.heard({ vitals: { ...vitals, health }, broker, age: 0, live }, this.moment)
    return this
  }

  after(ms: number): this {
    this.at += ms
    return this
  }

  look(): Snapshot {
    return this.state.snapshot(this.moment)
  }
}

it('a stage that writes to two brokers writes all of its topics, whichever has spoken last', () => {
  const watching = new Watching()
    .hear(report('a/one/0', { sent: { evens: { 0: 1 } } }), 'east')
    .hear(report('a/one/0', { sent: { odds: { 0: 1 } } }), 'west')
  expect(watching.look().stages[0]!.writes).toEqual(['evens', 'odds'])
  watching.hear(report('a/one/0', { sent: { evens: { 0: 2 } } }), 'east')
  expect(watching.look().stages[0]!.writes).toEqual(['evens', 'odds'])
})

describe('a stage that falls silent', () => {
  it('is told, with all of its tasks, when its reports are overdue, and not before', () => {
    const watching = new Watching().hear(report('a/one/0')).hear(report('a/one/1')).hear(report('a/two/0'))
    expect(watching.after(2_900).look().alerts).toEqual([])
    watching.hear(report('a/two/0'))
    const { alerts, stages, troubles } = watching.after(200).look()
    expect(alerts).toEqual([{ kind: 'silent', stage: 'a/one', tasks: ['a/one/0', 'a/one/1'], since: start }])
    expect(stages.map(({ stage, state }) => [stage, state])).toEqual([
      ['a/one', 'silent'],
      ['a/two', 'active']
    ])
    expect(troubles).toMatchObject([{ stage: 'a/one', cause: 'silent', since: start }])
  })

  it('is named as the holder by whoever blamed it for something else', () => {
    const heldBy = { task: 'a/one/0', cause: 'slow', since: 5 } as const
    const watching = new Watching()
      .hear(report('a/one/0'))
      .after(3_500)
      .hear(report('a/two/0', { health: { heldBy } }))
    expect(watching.look().stages[1]!.heldBy).toEqual({ task: 'a/one/0', cause: 'silent', since: start })
  })

  it('is told when everybody is dead, also of those who died before anybody watched', () => {
    const watching = new Watching()
    for (const task of ['a/one/0', 'b/two/0'])
      watching.hear(report(task, { health: { at: start - 90_000 } }), 'default', false)
    expect(watching.after(2_000).look().alerts).toEqual([])
    const { alerts } = watching.after(2_000).look()
    expect(alerts.map(alert => alert.kind === 'silent' && [alert.stage, alert.since])).toEqual([
      ['a/one', start - 90_000],
      ['b/two', start - 90_000]
    ])
  })

  it('is not one that has ended, one that has left, or one whose broker does not answer', () => {
    const watching = new Watching()
      .hear(report('a/ended/0', { state: 'closing' }))
      .hear(report('producer/1', { state: 'left', durable: false }))
      .hear(report('a/far/0'), 'far')
    watching.state.reachable('far', 'the connection was refused', watching.moment)
    expect(watching.after(10_000).look().alerts).toEqual([
      { kind: 'unreachable', broker: 'far', since: start, error: 'the connection was refused' }
    ])
    watching.state.reachable('far', undefined, watching.moment)
    expect(watching.look().alerts).toMatchObject([{ kind: 'silent', stage: 'a/far' }])
  })

  it('is one that was to be there, and never came', () => {
    const watching = new Watching(10, ['a/one', 'a/two']).hear(report('a/two/0'))
    expect(watching.look().alerts).toEqual([{ kind: 'absent', stage: 'a/one', since: start }])
  })

  it('is no longer silent once it says something, but old words are no sign of life', () => {
    const old = report('a/one/0', { health: { at: start } })
    const watching = new Watching().hear(old).after(5_000)
    expect(watching.hear(old, 'default', false).look().alerts).toHaveLength(1)
    expect(watching.hear(report('a/one/0')).look().alerts).toEqual([])
  })
})

describe('who is to blame', () => {
  const trouble = (stage: string, cause: Trouble['cause'], hops = 0): Trouble => ({ stage, cause, since: 7, hops })

  it('is who says so himself, not who is said to be by others', () => {
    const watching = new Watching()
      .hear(report('a/one/0', { health: { troubles: [trouble('a/one', 'slow')] } }))
      .hear(report('a/two/0', { health: { troubles: [trouble('a/one', 'slow', 1), trouble('a/zero', 'silent', 1)] } }))
      .hear(report('a/zero/0'))
    expect(watching.look().troubles).toEqual([trouble('a/one', 'slow')])
  })

  it('is whose clock differs from those of most', () => {
    const watching = new Watching()
    for (let beat = 0; beat < 3; beat++) {
      watching.after(second).hear(report('a/one/0')).hear(report('a/two/0'))
      watching.hear(report('a/off/0', { health: { at: start + watching.at + 300_000 } }))
    }
    expect(watching.look().troubles).toEqual([
      { stage: 'a/off', cause: 'skewed', ahead: 300_000, since: start + watching.at, hops: 0 }
    ])
  })

  it('is nobody when it is our own clock', () => {
    const watching = new Watching()
    for (let beat = 0; beat < 3; beat++)
      for (const task of ['a/one/0', 'a/two/0', 'a/three/0'])
        watching.hear(report(task, { health: { at: start + watching.at - 90_000 } }))
    expect(watching.look().troubles).toEqual([])
  })
})

describe('receipts', () => {
  const sender = (count: number) => report('a/one/0', { sent: { words: { 0: count } } })
  const reader = (counts: readonly number[], watermark: number) =>
    report('a/two/0', { read: { words: { 0: counts } }, watermark })

  it('are complete when the watermark is past the span and every record is accounted for', () => {
    const watching = new Watching().hear(sender(10)).hear(reader([6, 0, 0, 0], start + second))
    expect(watching.look().receipts).toEqual([
      {
        topic: 'words',
        stage: 'a/two',
        start,
        end: start + minute,
        sent: 10,
        processed: 6,
        late: 0,
        expired: 0,
        parked: 0,
        open: 4,
        state: 'open'
      }
    ])
    watching.hear(reader([6, 2, 1, 1], start + minute))
    expect(watching.look().receipts[0]).toMatchObject({ open: 0, state: 'complete' })
  })

  it('are short, and an alert, when records are still missing some seconds after', () => {
    const watching = new Watching().hear(sender(10)).hear(reader([9, 0, 0, 0], start + minute))
    expect(watching.look()).toMatchObject({ alerts: [], receipts: [{ state: 'open', open: 1 }] })
    watching
      .after(5_000)
      .hear(sender(10))
      .hear(reader([9, 0, 0, 0], start + minute))
    const [alert] = watching.look().alerts
    expect(alert).toMatchObject({ kind: 'short', since: start, receipt: { open: 1, state: 'short' } })
  })

  it('know nothing of what foreign producers send', () => {
    const watching = new Watching().hear(reader([9, 0, 0, 0], start + minute))
    expect(watching.look().receipts[0]).toMatchObject({ sent: 0, processed: 9, state: 'unknown' })
  })

  it('are those of a plain recount, whatever is said twice, late, or in another order', () => {
    const said = fc.array(
      fc.record({
        who: fc.nat(2),
        span: fc.nat(3),
        sent: fc.nat(5),
        read: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3))
      }),
      { maxLength: 40 }
    )
    fc.assert(
      fc.property(said, fc.infiniteStream(fc.nat()), (steps, dice) => {
        const reports: Vitals[] = []
        const sent = [0, 1, 2].map((): Record<number, number> => ({}))
        const read = [0, 1, 2].map((): Record<number, number[]> => ({}))
        for (const { who, span, sent: more, read: done } of steps) {
          sent[who]![span] = (sent[who]![span] ?? 0) + more
          read[who]![span] = (read[who]![span] ?? [0, 0, 0, 0]).map((count, column) => count + done[column]!)
          reports.push(report(`a/one/${who}`, { sent: { words: { ...sent[who]! } } }))
          reports.push(report(`b/two/${who}`, { read: { words: { ...read[who]! } } }))
        }
        const shuffled = [...reports, ...reports].sort(() => (dice.next().value! % 3) - 1)
        const watching = new Watching()
        for (const each of shuffled) watching.hear(each)
        const receipts = new Map(watching.look().receipts.map(each => [each.start, each]))
        for (let index = 0; index < 4; index++) {
          const sum = read.reduce(
            (sums, spans) => sums.map((each, column) => each + (spans[index]?.[column] ?? 0)),
            [0, 0, 0, 0]
          )
          const sentSum = sent.reduce((total, spans) => total + (spans[index] ?? 0), 0)
          const receipt = receipts.get(start + index * minute)
          if (!receipt) {
            expect(steps.some(({ span }) => span === index)).toBe(false)
            continue
          }
          const { processed, late, expired, parked, open } = receipt
          expect([receipt.sent, processed, late, expired, parked]).toEqual([sentSum, ...sum])
          expect(receipt.sent).toBe(processed + late + expired + parked + open)
        }
      })
    )
  })
})

describe('memory', () => {
  it('is bounded: of tasks, of producers, of topics and of spans', () => {
    const watching = new Watching(50)
    for (let index = 0; index < 2_000; index++) {
      const spans = { [index]: 1, [index + 7]: 2 }
      watching.hear(
        report(`a/s${index % 200}/0`, { sent: { words: spans }, read: { words: { [index]: [1, 0, 0, 0] } } })
      )
    }
    const { stages, receipts, forgotten } = watching.look()
    expect(stages).toHaveLength(50)
    expect(forgotten).toBeGreaterThanOrEqual(150)
    expect(new Set(receipts.map(each => each.start)).size).toBeLessThanOrEqual(64)
  })

  it('is bounded for names that nobody has used before', () => {
    const watching = new Watching(50)
    for (let index = 0; index < 20_000; index++)
      watching.hear(
        report(`p${index}/s/0`, { sent: { [`t${index}`]: { 0: 1 } }, read: { [`t${index}`]: { 0: [1, 0, 0, 0] } } })
      )
    expect(watching.look().receipts.length).toBeLessThanOrEqual(1_024)
  })
})

describe('any order of reports', () => {
  it('leaves what the newest ones say, and accuses nobody who is heard', () => {
    const step = fc.record({
      task: fc.constantFrom('a/one/0', 'a/two/0', 'b/three/0'),
      wait: fc.nat(4_000),
      commit: fc.nat(5),
      state: fc.constantFrom('joining', 'active', 'closing', 'left')
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const watching = new Watching()
        const heard = new Map<string, number>()
        for (const { task, wait, commit, state } of steps) {
          watching.after(wait).hear(report(task, { commit, state } as Said))
          heard.set(task, watching.at)
          const { alerts, stages } = watching.look()
          const silent = alerts.flatMap(alert => (alert.kind === 'silent' ? alert.tasks : []))
          for (const each of silent) expect(watching.at - heard.get(each)!).toBeGreaterThan(3_000)
          expect(stages.flatMap(({ tasks }) => tasks.map(each => each.task)).sort()).toEqual([...heard.keys()].sort())
        }
      })
    )
  })
})

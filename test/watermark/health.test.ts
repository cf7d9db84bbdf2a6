import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Backlog,
  decodeVitals,
  diagnoseInputs,
  encodeVitals,
  FailureRate,
  noCounts,
  PartitionTracker,
  TopicMembership,
  type Health,
  type Vitals
} from '../../src/watermark/index.ts'

const idOf = (task: string): string => task.padEnd(16, '.').slice(0, 16)
const noHealth: Health = { at: 0, every: 1_000, pending: 0, failureRate: 0, upstream: {} }

function report(task: string, watermark: number, last: number, more: Partial<Vitals> = {}): Vitals {
  return {
    producer: idOf(task),
    task,
    durable: true,
    state: 'active',
    watermark,
    outputs: new Map([['t', { watermark, last: new Map([[0, last]]) }]]),
    counts: noCounts,
    commit: 1,
    beat: 1,
    health: noHealth,
    ...more
  }
}

/** A reader of partition 0 of topic `t` that has processed so much of each producer. */
function reader(reports: readonly Vitals[], processed: Record<string, number>, heardAt = 0) {
  const membership = new TopicMembership()
  for (const each of reports) membership.report(each, 't', heardAt)
  membership.markComplete()
  const tracker = new PartitionTracker(0, 0)
  tracker.learn(membership)
  for (const [task, count] of Object.entries(processed))
    for (let sequence = 1; sequence <= count; sequence++)
      tracker.processed({ producer: idOf(task), sequence, eventTime: 0, watermark: undefined, late: false })
  const byTask = new Map(reports.map(each => [each.task, each]))
  return (monotonic: number, waitingSince?: number, failingSince?: number) =>
    diagnoseInputs(
      'me/here/0',
      [{ topic: 't', partition: 0, tracker, membership, waitingSince }],
      byTask,
      failingSince,
      {
        now: 1_000_000 + monotonic,
        monotonic
      }
    )
}

describe('who holds the watermark', () => {
  const above = {
    ...noHealth,
    upstream: { 'far/away': { at: 1, tasks: 1, silent: 0, pending: 0, failureRate: 0, late: 0, parked: 0 } }
  }

  it('is nobody while reports come and everything is processed', () => {
    expect(reader([report('a/b/0', 100, 3)], { 'a/b/0': 3 })(2_000).heldBy).toBeUndefined()
  })

  it('is this task, when records of the last producer have been waiting for it', () => {
    const ask = reader([report('a/b/0', 100, 3)], { 'a/b/0': 1 })
    expect(ask(2_500, 1_000).heldBy).toBeUndefined()
    expect(ask(3_500, 1_000).heldBy).toEqual({ task: 'me/here/0', cause: 'slow', since: 1_001_000 })
  })

  it('is this task, before all others, while it tries a record again', () => {
    const ask = reader([report('a/b/0', 100, 3)], { 'a/b/0': 1 })
    expect(ask(90_000, 1_000, 5).heldBy).toEqual({ task: 'me/here/0', cause: 'failing', since: 5 })
  })

  it('is the producer that has fallen silent, however far its own reports blamed others', () => {
    const blaming = { ...noHealth, heldBy: { task: 'x/y/0', cause: 'slow' as const, since: 1 } }
    const ask = reader([report('a/b/0', 100, 3, { health: blaming })], { 'a/b/0': 3 })
    expect(ask(2_900).heldBy).toEqual(blaming.heldBy)
    expect(ask(3_100).heldBy).toEqual({ task: 'a/b/0', cause: 'silent', since: 1_000_000 })
  })

  it('is whom the slowest producer names, not the others', () => {
    const named = { task: 'x/y/0', cause: 'slow' as const, since: 1 }
    const ask = reader(
      [report('a/b/0', 100, 3, { health: { ...above, heldBy: named } }), report('a/b/1', 200, 5, { health: above })],
      { 'a/b/0': 3, 'a/b/1': 5 }
    )
    expect(ask(1_000).heldBy).toEqual(named)
  })

  it('is a source with nothing newer, after a while, and never a stage in the middle for that', () => {
    const every = 10_000 // its reports are not overdue for long
    const quiet = { ...noHealth, every }
    const source = reader([report('a/b/0', 100, 3, { health: quiet })], { 'a/b/0': 3 })
    expect(source(29_000).heldBy).toBeUndefined()
    expect(source(30_000).heldBy).toEqual({ task: 'a/b/0', cause: 'quiet', since: 1_000_000 })
    const middle = reader([report('a/b/0', 100, 3, { health: { ...above, every } })], { 'a/b/0': 3 })
    expect(middle(30_000).heldBy).toBeUndefined()
  })

  it('is nobody at the end', () => {
    const ended = report('a/b/0', Infinity, 3, { state: 'closing' })
    expect(reader([ended], { 'a/b/0': 3 })(90_000).heldBy).toBeUndefined()
  })
})

describe('the stages above', () => {
  it('are the sum of their tasks, the newest word for those further up', () => {
    const far = (at: number, pending: number) => ({
      at,
      tasks: 1,
      silent: 0,
      pending,
      failureRate: 0,
      late: 0,
      parked: 0
    })
    const health = (pending: number, failureRate: number, at: number): Health => ({
      ...noHealth,
      at,
      pending,
      failureRate,
      upstream: { 'far/away': far(at, at) }
    })
    const ask = reader(
      [
        report('a/b/0', 1, 0, { health: health(2, 0.1, 10), counts: { ...noCounts, late: 1, parked: 2 } }),
        report('a/b/1', 1, 0, { health: health(3, 0.4, 20), counts: { ...noCounts, late: 4 } })
      ],
      {}
    )
    expect(ask(1_000).upstream).toEqual({
      'a/b': { at: 10, tasks: 2, silent: 0, lateRate: 0, pending: 5, failureRate: 0.4, late: 5, parked: 2 },
      'far/away': far(20, 20)
    })
    expect(ask(10_000).upstream['a/b']!.silent).toBe(2)
  })

  it('are no more than a bound', () => {
    const many = Array.from({ length: 400 }, (_, stage) => report(`p/s${stage}/0`, 1, 0))
    expect(Object.keys(reader(many, {})(0).upstream)).toHaveLength(256)
  })
})

describe('the backlog of a partition', () => {
  it('counts what is reported and not processed, and knows since when', () => {
    const membership = new TopicMembership()
    const tracker = new PartitionTracker(0, 0)
    const backlog = new Backlog()
    const learn = (last: number, now: number): void => {
      membership.report(report('a/b/0', 1, last), 't', now)
      tracker.learn(membership)
      backlog.update(tracker, membership, 0, now)
    }
    const process = (from: number, to: number): void => {
      for (let sequence = from; sequence <= to; sequence++)
        tracker.processed({ producer: idOf('a/b/0'), sequence, eventTime: 0, watermark: undefined, late: false })
    }
    learn(0, 0)
    expect(backlog).toMatchObject({ records: 0, since: undefined })
    learn(10, 100)
    learn(20, 200)
    expect(backlog).toMatchObject({ records: 20, since: 100 })
    process(1, 12)
    learn(30, 300)
    expect(backlog, 'the first ten are done; what came then has been waiting since').toMatchObject({
      records: 18,
      since: 200
    })
    process(13, 30)
    learn(30, 400)
    expect(backlog).toMatchObject({ records: 0, since: undefined })
  })

  it('does not count what came out of order', () => {
    const tracker = new PartitionTracker(0, 0)
    const membership = new TopicMembership()
    membership.report(report('a/b/0', 1, 10), 't', 0)
    tracker.learn(membership)
    for (const sequence of [2, 3, 7])
      tracker.processed({ producer: idOf('a/b/0'), sequence, eventTime: 0, watermark: undefined, late: false })
    expect(tracker.waiting(idOf('a/b/0'), 10)).toBe(7)
  })
})

describe('the failure rate', () => {
  it('is the share of the last minute, and forgets what is older', () => {
    const rate = new FailureRate()
    expect(rate.share(0)).toBe(0)
    rate.add(90, 0, 0)
    rate.add(10, 10, 1_000)
    expect(rate.share(2_000)).toBe(0.1)
    rate.add(100, 0, 31_000)
    expect(rate.share(31_000)).toBe(0.05)
    expect(rate.share(62_000)).toBe(0)
    expect(rate.share(500_000)).toBe(0)
  })
})

describe('health in a report', () => {
  it('is left out when it is none of ours, and the watermark is read all the same', () => {
    const good = JSON.parse(encodeVitals(report('a/b/0', 5, 1)).toString())
    const bad = fc.oneof(
      fc.anything(),
      fc.record({
        at: fc.anything(),
        every: fc.anything(),
        pending: fc.anything(),
        failureRate: fc.anything(),
        upstream: fc.anything()
      })
    )
    fc.assert(
      fc.property(bad, health => {
        const decoded = decodeVitals(
          Buffer.from(JSON.stringify({ ...good, health }, (_, value) => (typeof value === 'bigint' ? 0 : value)))
        )
        expect(decoded.watermark).toBe(5)
        if (decoded.health) expect(Object.values(decoded.health.upstream).every(stage => stage.tasks >= 0)).toBe(true)
      }),
      { numRuns: 500 }
    )
  })

  it('does not reach the prototypes of objects', () => {
    const good = encodeVitals(report('a/b/0', 5, 1)).toString()
    const evil = good.replace(
      '"upstream":{}',
      '"upstream":{"__proto__":{"at":1,"tasks":1,"silent":0,"pending":1,"failureRate":0,"late":0,"parked":0}}'
    )
    expect(evil).not.toBe(good)
    expect(decodeVitals(Buffer.from(evil)).health).toBeUndefined()
  })
})

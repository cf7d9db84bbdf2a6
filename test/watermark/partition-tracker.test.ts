import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Stamp } from '../../src/core/stamp.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker } from '../../src/watermark/partition-tracker.ts'
import { noCounts, type Vitals } from '../../src/watermark/vitals.ts'

const id = (name: string): string => name.padEnd(16, '.')
const stamp = (producer: string, sequence: number, eventTime: number, watermark?: number): Stamp => ({
  producer: id(producer),
  sequence,
  eventTime,
  watermark,
  late: false
})
const vitals = (
  producer: string,
  watermark: number,
  last: Record<number, number> = {},
  more: Partial<Vitals> = {}
): Vitals => ({
  producer: id(producer),
  task: `p/s/${producer}`,
  durable: true,
  state: 'active',
  watermark,
  outputs: new Map([
    [
      'trades',
      { watermark, last: new Map(Object.entries(last).map(([partition, sequence]) => [Number(partition), sequence])) }
    ]
  ]),
  counts: noCounts,
  commit: 1,
  beat: 1,
  ...more
})
const membershipOf = (...reports: Vitals[]): TopicMembership => {
  const membership = new TopicMembership()
  for (const report of reports) membership.report(report, 'trades', 0)
  membership.markComplete()
  return membership
}

describe('dedupe', () => {
  it('takes each sequence once, in order, and tells a gap', () => {
    const tracker = new PartitionTracker(0, 0)
    const first = stamp('a', 1, 10)
    expect(tracker.isStranger(first.producer)).toBe(true)
    expect(tracker.judge(first)).toBe('new')
    tracker.processed(first)
    expect(tracker.isStranger(first.producer)).toBe(false)
    expect(tracker.judge(first)).toBe('duplicate')
    expect(tracker.judge(stamp('a', 4, 10))).toBe('gap')
    expect(tracker.expected(id('a'))).toBe(2)
    tracker.skipTo(id('a'), 3)
    expect(tracker.judge(stamp('a', 4, 10))).toBe('new')
    expect(tracker.judge(stamp('a', 3, 10))).toBe('duplicate')
    expect(tracker.judge(stamp('b', 1, 10))).toBe('new')
  })
})

describe('the watermark', () => {
  it('waits until the membership is known (W2)', () => {
    const tracker = new PartitionTracker(0, 0)
    expect(tracker.processed(stamp('a', 1, 10, 10))).toBe(false)
    expect(tracker.watermark).toBe(-Infinity)
    const incomplete = new TopicMembership()
    incomplete.report(vitals('a', -Infinity), 'trades', 0)
    expect(tracker.learn(incomplete)).toBe(false)
    incomplete.markComplete()
    expect(tracker.learn(incomplete)).toBe(true)
    expect(tracker.watermark).toBe(10)
  })

  it('is held by a producer that is announced and has said nothing', () => {
    const tracker = new PartitionTracker(0, 0)
    tracker.learn(membershipOf(vitals('a', -Infinity), vitals('b', -Infinity)))
    tracker.processed(stamp('a', 1, 10, 10))
    expect(tracker.watermark).toBe(-Infinity)
    expect(tracker.heldBy()).toBe(id('b'))
    expect(tracker.processed(stamp('b', 1, 7, 5))).toBe(true)
    expect(tracker.watermark).toBe(5)
  })

  it('takes a report only once everything up to it is processed', () => {
    const tracker = new PartitionTracker(2, 0)
    tracker.learn(membershipOf(vitals('a', 100, { 2: 2, 0: 50 })))
    expect(tracker.watermark).toBe(-Infinity)
    tracker.processed(stamp('a', 1, 10))
    expect(tracker.watermark).toBe(-Infinity)
    expect(tracker.processed(stamp('a', 2, 20))).toBe(true)
    expect(tracker.watermark).toBe(100)
  })

  it('never goes back when a producer joins (W6)', () => {
    const tracker = new PartitionTracker(0, 0)
    const membership = membershipOf(vitals('a', -Infinity))
    tracker.learn(membership)
    tracker.processed(stamp('a', 1, 10, 10))
    membership.report(vitals('b', 3), 'trades', 0)
    expect(tracker.learn(membership)).toBe(false)
    expect(tracker.watermark).toBe(10)
    tracker.processed(stamp('a', 2, 20, 20))
    expect(tracker.watermark).toBe(10)
  })

  it('goes to the end of time when every task has ended, and not before', () => {
    const tracker = new PartitionTracker(0, 0)
    const membership = membershipOf(vitals('a', Infinity, { 0: 1 }), vitals('b', 5))
    tracker.learn(membership)
    expect(tracker.watermark).toBe(-Infinity)
    tracker.processed(stamp('a', 1, 10))
    expect(tracker.watermark).toBe(5)
    membership.report(vitals('b', Infinity), 'trades', 0)
    tracker.learn(membership)
    expect(tracker.watermark).toBe(Infinity)
  })

  it('does not end because plain producers have left: others may come (a rolling restart is no end)', () => {
    const tracker = new PartitionTracker(0, 0)
    const plain = { durable: false }
    const membership = membershipOf(vitals('a', 50, { 0: 1 }, plain))
    tracker.learn(membership)
    tracker.processed(stamp('a', 1, 60, 50))
    expect(tracker.watermark).toBe(50)
    membership.report(vitals('a', Infinity, { 0: 2 }, { ...plain, state: 'left' }), 'trades', 0)
    tracker.learn(membership)
    tracker.processed(stamp('a', 2, 70, 65))
    expect(tracker.watermark).toBeLessThan(Infinity)
    const restored = new PartitionTracker(0, 0, JSON.parse(JSON.stringify(tracker.snapshot())))
    restored.learn(membershipOf(vitals('b', -Infinity, {}, plain)))
    restored.processed(stamp('b', 1, 80, 75))
    expect(restored.watermark).toBe(75)
  })

  it('does not wait for a plain producer that fell silent, and counts it again when it is heard', () => {
    const tracker = new PartitionTracker(0, 0)
    const membership = membershipOf(vitals('a', -Infinity), vitals('b', 5, {}, { durable: false }))
    tracker.learn(membership)
    tracker.processed(stamp('a', 1, 40, 30))
    expect(tracker.watermark).toBe(5)
    expect(membership.liftSilent(1)).toBe(true)
    expect(membership.liftSilent(1)).toBe(false)
    tracker.learn(membership)
    expect(tracker.watermark).toBe(30)
    membership.report(vitals('b', 31, {}, { durable: false }), 'trades', 2)
    tracker.learn(membership)
    tracker.processed(stamp('a', 2, 60, 50))
    expect(tracker.watermark).toBe(31)
  })

  it('on a queue waits while nobody tells of a producer that it meets: others may have ended with it', () => {
    const queue = new TopicMembership(false)
    const log = new TopicMembership()
    for (const [membership, watermark] of [
      [log, 30],
      [queue, -Infinity]
    ] as const) {
      membership.markComplete()
      const tracker = new PartitionTracker(0, 0)
      tracker.learn(membership)
      tracker.processed(stamp('a', 1, 40, 30))
      expect(tracker.watermark).toBe(watermark)
    }
    const tracker = new PartitionTracker(0, 0)
    tracker.learn(queue)
    tracker.processed(stamp('a', 1, 40, 30))
    // The record of another one that nobody knows of comes after all.
    tracker.processed(stamp('b', 1, 20, 10))
    expect(tracker.watermark).toBe(-Infinity)
    queue.report(vitals('a', 35), 'trades', 0)
    tracker.learn(queue)
    expect(tracker.watermark, 'b is not told of').toBe(-Infinity)
    queue.report(vitals('b', 15), 'trades', 0)
    tracker.learn(queue)
    expect(tracker.watermark).toBe(15)
    const alone = new PartitionTracker(0, 0)
    const dead = new TopicMembership(false)
    dead.markComplete()
    alone.learn(dead)
    alone.processed(stamp('a', 1, 40, 30))
    alone.processed(stamp('a', 2, 60, 50))
    dead.liftStrangers()
    alone.processedForeign(70)
    alone.learn(dead)
    expect(alone.watermark, 'whoever lives would have been heard').toBe(70)
  })

  it('of foreign records is the newest less the lateness', () => {
    const tracker = new PartitionTracker(0, 10)
    tracker.learn(membershipOf())
    expect(tracker.processedForeign(100)).toBe(true)
    expect(tracker.watermark).toBe(90)
    expect(tracker.processedForeign(50)).toBe(false)
    expect(tracker.processedForeign(120)).toBe(true)
    expect(tracker.watermark).toBe(110)
    expect(new PartitionTracker(0, 10, JSON.parse(JSON.stringify(tracker.snapshot()))).snapshot()).toEqual(
      tracker.snapshot()
    )
  })
})

/** A producer keeps its promise: event times at or above what it has promised before. */
interface Sent extends Stamp {
  readonly name: string
}

function scriptOf(name: string, steps: readonly (readonly [ahead: number, disorder: number])[]): Sent[] {
  let newest = 0
  let promised = -Infinity
  return steps.map(([ahead, disorder], index) => {
    const eventTime = Math.max(newest + ahead - disorder, promised)
    newest = Math.max(newest, eventTime)
    promised = Math.max(promised, newest - 5)
    return { ...stamp(name, index + 1, eventTime, promised), name }
  })
}

const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 5 })), { maxLength: 25 })

describe('for any order, repeats and crashes', () => {
  it('P1: monotone; P2: nothing is late that its producer did not make late; and as the naive oracle says', () => {
    fc.assert(
      fc.property(
        steps,
        steps,
        fc.array(fc.nat(), { maxLength: 120 }),
        fc.nat({ max: 80 }),
        (left, right, choices, crashAt) => {
          const scripts = { a: scriptOf('a', left), b: scriptOf('b', right) }
          const all = [...scripts.a, ...scripts.b]
          const membership = membershipOf(vitals('a', -Infinity), vitals('b', -Infinity))
          let tracker = new PartitionTracker(0, 0)
          tracker.learn(membership)
          const processed = { a: new Set<number>(), b: new Set<number>() }
          let high = -Infinity
          // An unordered channel that repeats: each choice picks any record, seen before or not.
          for (const [index, choice] of choices.entries()) {
            if (all.length === 0) break
            const record = all[choice % all.length]!
            const name = record.name as 'a' | 'b'
            if (index === crashAt) {
              tracker = new PartitionTracker(0, 0, JSON.parse(JSON.stringify(tracker.snapshot())))
              tracker.learn(membership)
            }
            const verdict = tracker.judge(record)
            expect(verdict === 'duplicate').toBe(processed[name].has(record.sequence))
            if (verdict === 'duplicate') continue
            expect(record.eventTime).toBeGreaterThanOrEqual(tracker.watermark)
            tracker.processed(record)
            processed[name].add(record.sequence)
            const oracle = Math.max(high, Math.min(gated(scripts.a, processed.a), gated(scripts.b, processed.b)))
            expect(tracker.watermark).toBe(oracle)
            expect(tracker.watermark).toBeGreaterThanOrEqual(high)
            high = tracker.watermark
          }
        }
      ),
      { numRuns: 1_000 }
    )
  })
})

/** `max { W(n) : every sequence <= n is processed }`. */
function gated(script: readonly Sent[], processed: ReadonlySet<number>): number {
  let watermark = -Infinity
  for (const { sequence, watermark: promised } of script) {
    if (!processed.has(sequence)) break
    watermark = Math.max(watermark, promised ?? -Infinity)
  }
  return watermark
}

describe('what is missing where no order is kept', () => {
  it('is given up when it has been missing for long enough, and what waited for it goes on', () => {
    const tracker = new PartitionTracker(0, 0)
    tracker.learn(membershipOf(vitals('a', -Infinity)))
    for (const sequence of [1, 2, 5, 6, 9]) tracker.processed(stamp('a', sequence, 10, sequence === 9 ? 40 : sequence))
    expect(tracker.giveUp(1_000, 500)).toEqual([])
    expect(tracker.giveUp(1_499, 500)).toEqual([])
    expect(tracker.watermark).toBe(2)
    expect(tracker.giveUp(1_500, 500)).toEqual([{ producer: id('a'), from: 3, to: 4 }])
    expect(tracker.watermark).toBe(6)
    // Each gap has its own patience.
    expect(tracker.giveUp(1_999, 500)).toEqual([])
    expect(tracker.giveUp(2_000, 500)).toEqual([{ producer: id('a'), from: 7, to: 8 }])
    expect(tracker.watermark).toBe(40)
    // It counts as lost: should it come all the same, it must not count twice.
    expect(tracker.judge(stamp('a', 3, 10))).toBe('duplicate')
  })

  it('is not given up when it comes in time', () => {
    const tracker = new PartitionTracker(0, 0)
    for (const sequence of [1, 3]) tracker.processed(stamp('a', sequence, 10))
    expect(tracker.giveUp(0, 500)).toEqual([])
    tracker.processed(stamp('a', 2, 10))
    tracker.processed(stamp('a', 5, 10))
    expect(tracker.giveUp(600, 500)).toEqual([])
    expect(tracker.giveUp(1_099, 500)).toEqual([])
    expect(tracker.giveUp(1_100, 500)).toEqual([{ producer: id('a'), from: 4, to: 4 }])
  })
})

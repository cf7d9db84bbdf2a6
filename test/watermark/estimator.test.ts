import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Estimator } from '../../src/watermark/estimator.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker } from '../../src/watermark/partition-tracker.ts'
import type { Estimate } from '../../src/core/topic.ts'

const kinds: readonly Estimate[] = ['bounded-disorder', 'monotone', 'broker-time', 'wall-clock']
const lateness = 10
const never = Infinity

describe('a guess', () => {
  it('by bounded disorder is the newest event time less the lateness', () => {
    const guess = new Estimator('bounded-disorder', lateness, -Infinity)
    expect([guess.speaks, guess.watermark]).toEqual([false, -Infinity])
    expect(guess.seen(100, 500, never)).toBe(true)
    expect(guess.seen(95, 600, never)).toBe(false)
    expect([guess.speaks, guess.watermark]).toEqual([true, 90])
  })

  it('of what only goes forward is the newest event time', () => {
    const guess = new Estimator('monotone', lateness, -Infinity)
    guess.seen(100, 500, never)
    expect(guess.watermark).toBe(100)
  })

  it('by the time of the broker asks no event time', () => {
    const guess = new Estimator('broker-time', lateness, -Infinity)
    guess.seen(9_999, 500, never)
    expect(guess.watermark).toBe(490)
    expect(guess.silent(60_000, 70_000)).toBe(false)
    expect(guess.watermark).toBe(490)
  })

  it('by the clock is the same while records come, so a backlog is not late; in silence it goes on', () => {
    const guess = new Estimator('wall-clock', lateness, -Infinity)
    guess.seen(1, 500, never) // it lay there for a long time
    expect(guess.watermark).toBe(490)
    expect(guess.silent(999, 70_000)).toBe(false)
    expect(guess.silent(1_000, 70_000)).toBe(true)
    expect(guess.watermark).toBe(69_990)
  })

  it('does not follow a clock from the future', () => {
    for (const kind of kinds) {
      const guess = new Estimator(kind, lateness, -Infinity)
      guess.seen(100, 100, 150)
      expect(guess.seen(10_000, 10_000, 150), kind).toBe(false)
      expect(guess.watermark, kind).toBeLessThanOrEqual(100)
    }
  })

  it('never goes back and never passes what it rests on, whatever comes, also over a restart', () => {
    const time = fc.integer({ min: 0, max: 10_000 })
    const step = fc.oneof(
      fc.record({ event: time, broker: time, latest: fc.oneof(time, fc.constant(never)) }),
      fc.record({ silence: fc.integer({ min: 0, max: 3_000 }), now: time }),
      fc.constant('restart' as const)
    )
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.nat(500), fc.array(step), (kind, late, steps) => {
        let guess = new Estimator(kind, late, -Infinity)
        let [before, most] = [-Infinity, -Infinity]
        for (const each of steps) {
          if (each === 'restart') guess = new Estimator(kind, late, guess.newest)
          else if ('now' in each) {
            if (kind === 'wall-clock' && each.silence >= 1_000) most = Math.max(most, each.now)
            guess.silent(each.silence, each.now)
          } else {
            const [event, broker] = [each.event, each.broker].map(at => (at <= each.latest ? at : -Infinity))
            most = Math.max(most, kind === 'broker-time' || kind === 'wall-clock' ? broker! : event!)
            guess.seen(each.event, each.broker, each.latest)
          }
          expect(guess.watermark).toBeGreaterThanOrEqual(before)
          expect(guess.watermark).toBe(most - (kind === 'monotone' ? 0 : late))
          before = guess.watermark
        }
      })
    )
  })
})

describe('a partition of foreign records', () => {
  const known = new TopicMembership()
  known.markComplete()

  it('is a guess from the first one on, for ever', () => {
    const tracker = new PartitionTracker(0, lateness, undefined, 'broker-time')
    tracker.learn(known)
    expect([tracker.heuristic, tracker.lookIn]).toEqual([false, undefined])
    expect(tracker.processedForeign(5, 100)).toBe(true)
    expect([tracker.heuristic, tracker.watermark]).toEqual([true, 90])
    const again = new PartitionTracker(0, lateness, JSON.parse(JSON.stringify(tracker.snapshot())), 'broker-time')
    expect([again.heuristic, again.watermark]).toEqual([true, 90])
  })

  it('goes on in silence only where the clock is asked', () => {
    for (const kind of kinds) {
      const tracker = new PartitionTracker(0, lateness, undefined, kind)
      tracker.learn(known)
      expect(tracker.silent(5_000, 1_000), kind).toBe(kind === 'wall-clock')
      expect(tracker.watermark, kind).toBe(kind === 'wall-clock' ? 990 : -Infinity)
    }
  })
})

/** A reader whose vitals come slowly: what it may believe of a watermark. */
import { describe, expect, it } from 'vitest'
import { Belief } from '../../src/watermark/belief.ts'
import { round, silence, TopicMembership } from '../../src/watermark/membership.ts'

describe('vitals that are older than a round', () => {
  it('are noticed, and over with the next read that came in time, or after a silence that was waited for', () => {
    const membership = new TopicMembership()
    membership.readEnded(1_000, 1_050)
    membership.lookAt(1_000 + round)
    expect(membership.stale).toBe(false)
    membership.lookAt(1_001 + round)
    expect(membership.stale).toBe(true)
    expect(membership.readEnded(1_500 + round, 1_600 + round)).toBe(true)
    expect(membership.stale).toBe(false)
    // A process that was stopped for hours has not waited: it counts from when it finds out.
    const found = 10_000_000
    membership.lookAt(found)
    expect(membership.stale).toBe(true)
    membership.lookAt(found + silence - 1)
    expect(membership.stale).toBe(true)
    membership.lookAt(found + silence)
    expect(membership.stale).toBe(false)
  })

  it('let a watermark rise to what had been reached when a read began that has come to the end', () => {
    const membership = new TopicMembership()
    const belief = new Belief()
    membership.readsBegun = 1
    expect(belief.reached(10, membership)).toBe(-Infinity)
    membership.readEnded(0, 5_000)
    expect(belief.reached(11, membership), 'that read began before').toBe(-Infinity)
    membership.readsBegun = 2
    expect(belief.reached(12, membership)).toBe(-Infinity)
    membership.readEnded(5_000, 10_000)
    expect(belief.reached(13, membership)).toBe(11)
    membership.readsBegun = 3
    membership.readEnded(10_000, 15_000)
    expect(belief.reached(9, membership), 'somebody has joined').toBe(9)
  })

  it('rise also when they are only looked at once the next read has begun', () => {
    const membership = new TopicMembership()
    const belief = new Belief()
    const seen: number[] = []
    for (let read = 1; read < 5; read++) {
      membership.readsBegun = read
      if (read > 1) seen.push(belief.reached(7, membership))
      membership.readEnded(read * 5_000, read * 5_000 + 4_000)
    }
    expect(seen).toEqual([-Infinity, -Infinity, 7])
  })
})

import { describe, expect, it } from 'vitest'
import { type Holding, Holdings } from '../../../src/adapters/kafka/holdings.ts'
import { systemEnvironment, type Environment } from '../../../src/core/environment.ts'
import type { PartitionsAssigned, PartitionsRevoked, TopicPartition } from '../../../src/spec/index.ts'

const place = (partition: number): TopicPartition => ({ topic: 'topic', partition })

/** The holdings of a member, and what they say. Timers run when the test says so. */
function setup(): {
  readonly holdings: Holdings
  readonly events: (PartitionsAssigned | PartitionsRevoked)[]
  readonly gone: Holding[]
  readonly released: () => number
  readonly expire: () => void
  readonly timers: () => number
} {
  const tasks = new Set<() => void>()
  const environment: Environment = {
    ...systemEnvironment,
    monotonic: () => 1000,
    timer: (_, task) => {
      tasks.add(task)
      return { cancel: () => void tasks.delete(task) }
    }
  }
  const events: (PartitionsAssigned | PartitionsRevoked)[] = []
  const gone: Holding[] = []
  let released = 0
  const holdings = new Holdings({
    environment,
    group: 'group',
    patience: 500,
    onHeld: () => undefined,
    onGone: some => void gone.push(...some),
    onEvent: event => void events.push(event),
    onReleased: () => void released++
  })
  return {
    holdings,
    events,
    gone,
    released: () => released,
    expire: () => {
      for (const task of tasks) task()
    },
    timers: () => tasks.size
  }
}

const held = (holdings: Holdings): number[] => holdings.all().map(({ partition }) => partition)

describe('what a member holds', () => {
  it('is said when it is new, and only then', () => {
    const { holdings, events } = setup()
    holdings.assign([place(0), place(1)])
    holdings.assign([place(0), place(1), place(2)])
    expect(events).toEqual([
      { kind: 'partitions-assigned', partitions: [place(0), place(1)] },
      { kind: 'partitions-assigned', partitions: [place(2)] }
    ])
  })

  it('is held on after a revocation, until it is released once', () => {
    const { holdings, events, released, gone, timers } = setup()
    holdings.assign([place(0), place(1)])
    holdings.assign([place(1)])
    expect(held(holdings)).toEqual([0, 1])
    expect(gone.map(({ partition }) => partition)).toEqual([0])
    const revoked = events[1] as PartitionsRevoked
    expect(revoked).toMatchObject({ kind: 'partitions-revoked', partitions: [place(0)], deadline: 1500 })
    revoked.release()
    revoked.release()
    expect(held(holdings)).toEqual([1])
    expect(released()).toBe(1)
    expect(timers()).toBe(0)
    expect(() => holdings.need(place(0), 'commit')).toThrow('does not hold it')
  })

  it('is let go at the deadline', () => {
    const { holdings, expire, released } = setup()
    holdings.assign([place(0)])
    holdings.assign([])
    expire()
    expect(held(holdings)).toEqual([])
    expect(released()).toBe(1)
  })

  it('is revoked once, also when another rebalance comes in between', () => {
    const { holdings, events } = setup()
    holdings.assign([place(0), place(1)])
    holdings.assign([place(1)])
    holdings.assign([place(1)])
    expect(events.filter(({ kind }) => kind === 'partitions-revoked')).toHaveLength(1)
  })

  it('is assigned anew when the group has given it back before it was released', () => {
    const { holdings, events } = setup()
    holdings.assign([place(0)])
    holdings.assign([])
    holdings.assign([place(0)])
    expect(events).toHaveLength(2)
    ;(events[1] as PartitionsRevoked).release()
    expect(events[2]).toEqual({ kind: 'partitions-assigned', partitions: [place(0)] })
    expect(held(holdings)).toEqual([0])
  })

  it('is lost at once, and a late release of before takes nothing that came back', () => {
    const { holdings, events, released, timers } = setup()
    holdings.assign([place(0), place(1)])
    holdings.assign([place(1)])
    holdings.lose()
    expect(events.at(-1)).toMatchObject({ kind: 'partitions-revoked', partitions: [place(0), place(1)], deadline: 0 })
    expect(timers()).toBe(0)
    holdings.assign([place(0)])
    ;(events[1] as PartitionsRevoked).release()
    expect(held(holdings)).toEqual([0])
    expect(released()).toBe(0)
  })

  it('says nothing when there is nothing to lose, and nothing after its close', () => {
    const { holdings, events, released, timers } = setup()
    holdings.lose()
    expect(events).toEqual([])
    holdings.assign([place(0)])
    holdings.assign([])
    holdings.close()
    expect(timers()).toBe(0)
    ;(events[1] as PartitionsRevoked).release()
    expect(released()).toBe(0)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  assign,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  type Member
} from '../../../src/adapters/kafka/assigner.ts'
import type { TopicPartition } from '../../../src/spec/index.ts'

const topics = ['left', 'right']

/** A group whose members join, leave and release; each step is what the broker would bring about. */
class Group {
  readonly partitions: number
  readonly members = new Map<string, TopicPartition[]>()
  moves = 0

  constructor(partitions: number) {
    this.partitions = partitions
  }

  rebalance(): void {
    const members: Member[] = [...this.members].map(([id, held]) => ({ id, topics, held, generation: 1 }))
    const shares = assign(members, () => this.partitions)
    const owners = new Set<string>()
    for (const [id, held] of this.members) {
      // What a member already holds is its own until it has released it.
      for (const { topic, partition } of held) owners.add(`${topic}/${partition}`)
      const keys = new Set(held.map(({ topic, partition }) => `${topic}/${partition}`))
      this.moves += shares.get(id)!.filter(({ topic, partition }) => !keys.has(`${topic}/${partition}`)).length
    }
    for (const [id, share] of shares) {
      const before = new Set(this.members.get(id)!.map(({ topic, partition }) => `${topic}/${partition}`))
      for (const { topic, partition } of share) {
        const key = `${topic}/${partition}`
        if (!before.has(key)) expect(owners.has(key), `${key} given away while it is held`).toBe(false)
      }
    }
    for (const [id, share] of shares) this.members.set(id, share)
  }

  /** Twice: what moves is released in the first round. */
  settle(): void {
    this.rebalance()
    this.rebalance()
  }

  get sizes(): number[] {
    return [...this.members.values()].map(share => share.length / topics.length)
  }
}

const change = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), id: fc.integer({ min: 0, max: 9 }) }),
  fc.record({ kind: fc.constant('leave' as const), id: fc.integer({ min: 0, max: 9 }) })
)

describe('the assignment of a group', () => {
  it('is complete, even, co-partitioned, and never gives away what is held, whoever comes and goes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(change, { minLength: 1, maxLength: 30 }),
        (count, changes) => {
          const group = new Group(count)
          group.members.set('m-first', [])
          for (const { kind, id } of changes) {
            if (kind === 'join' && !group.members.has(`m-${id}`)) group.members.set(`m-${id}`, [])
            if (kind === 'leave') group.members.delete(`m-${id}`)
            group.settle()
            expect(group.sizes.reduce((sum, size) => sum + size, 0)).toBe(count)
            expect(Math.max(...group.sizes) - Math.min(...group.sizes)).toBeLessThanOrEqual(1)
            for (const share of group.members.values()) {
              const sides = topics.map(topic => share.flatMap(each => (each.topic === topic ? each.partition : [])))
              expect(sides[0]!.toSorted()).toEqual(sides[1]!.toSorted())
            }
          }
        }
      ),
      { numRuns: 300 }
    )
  })

  it('moves no more than it must', () => {
    const group = new Group(12)
    for (const id of ['a', 'b', 'c']) {
      group.members.set(id, [])
      group.settle()
    }
    group.moves = 0
    group.settle()
    expect(group.moves).toBe(0)
    group.members.set('d', [])
    group.settle()
    expect(group.moves).toBe(3 * topics.length)
    expect(group.sizes).toEqual([3, 3, 3, 3])
  })

  it('of two that claim a partition believes the newer generation', () => {
    const held = [{ topic: 'left', partition: 0 }]
    const members: Member[] = [
      { id: 'away', topics: ['left'], held, generation: 4 },
      { id: 'owner', topics: ['left'], held, generation: 7 }
    ]
    const shares = assign(members, () => 1)
    expect(shares.get('owner')).toEqual(held)
    expect(shares.get('away')).toEqual([])
  })

  it('leaves out topics that do not exist, and partitions that a smaller topic does not have', () => {
    const members: Member[] = [{ id: 'one', topics: ['big', 'small', 'gone'], held: [], generation: -1 }]
    const shares = assign(members, topic => ({ big: 3, small: 1 })[topic] ?? 0)
    expect(
      shares
        .get('one')!
        .map(({ topic, partition }) => `${topic}/${partition}`)
        .toSorted()
    ).toEqual(['big/0', 'big/1', 'big/2', 'small/0'])
  })

  it('goes over the wire in the format of Kafka', () => {
    const held = [
      { topic: 'left', partition: 3 },
      { topic: 'left', partition: 1 },
      { topic: 'größe', partition: 0 }
    ]
    const subscription = { topics: ['left', 'größe'], held, generation: 42 }
    expect(decodeSubscription(encodeSubscription(subscription))).toEqual(subscription)
    expect(decodeAssignment(encodeAssignment(held))).toEqual(held)
    expect(decodeAssignment(Buffer.alloc(0))).toEqual([])
  })
})

/** What is known of ended producers is dropped, and never so that a repeat is taken for new (protocol 2.4). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bornAt, uuidv7Bytes, type Environment } from '../../src/core/environment.ts'
import type { ProducerId, Stamp } from '../../src/core/stamp.ts'
import { durableProducer } from '../../src/pipeline/identity.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker } from '../../src/watermark/partition-tracker.ts'
import { noCounts, type VitalsState } from '../../src/watermark/vitals.ts'

const hour = 3_600_000
const keep = 8 * 24 * hour
let salt = 0
const producerBorn = (time: number): ProducerId =>
  uuidv7Bytes({ now: () => time, random: () => (salt++ % 256) / 256 } as Environment).toString('latin1')
const stamp = (producer: ProducerId, sequence: number): Stamp => ({
  producer,
  sequence,
  eventTime: 0,
  watermark: undefined,
  late: false
})

class Reader {
  readonly membership = new TopicMembership()
  tracker = new PartitionTracker(0, 0)
  #now = 1_700_000_000_000

  constructor() {
    this.membership.markComplete()
  }

  get now(): number {
    return this.#now
  }

  say(producer: ProducerId, state: VitalsState, sequence = 0, durable = false): void {
    const watermark = state === 'left' ? Infinity : 0
    const outputs = new Map([['trades', { watermark, last: new Map([[0, sequence]]) }]])
    const report = { producer, task: 'p', durable, state, watermark, outputs, counts: noCounts, commit: 1, beat: 1 }
    this.membership.report(report, 'trades', this.#now)
    this.tracker.learn(this.membership)
  }

  /** Time goes by with a look every few hours; a crash in between loses what is not in a commit. */
  pass(time: number): void {
    for (const end = this.#now + time; this.#now < end;) {
      this.#now = Math.min(end, this.#now + 6 * hour)
      this.tracker.forget(this.#now, keep)
    }
  }

  restart(): void {
    this.tracker = new PartitionTracker(0, 0, JSON.parse(JSON.stringify(this.tracker.snapshot())))
    this.tracker.learn(this.membership)
  }

  /** What becomes of a record that comes. */
  take(producer: ProducerId, sequence: number): string {
    const verdict = this.tracker.judge(stamp(producer, sequence))
    if (verdict === 'gap') this.tracker.skipTo(producer, sequence - 1)
    if (verdict !== 'duplicate') this.tracker.processed(stamp(producer, sequence))
    return verdict
  }

  get known(): number {
    return Object.keys(this.tracker.snapshot().producers).length
  }
}

describe('a reader', () => {
  it('forgets who has left and was silent for long, and refuses what still comes of it', () => {
    const reader = new Reader()
    const ended = producerBorn(reader.now)
    reader.say(ended, 'active')
    expect(reader.take(ended, 1)).toBe('new')
    reader.say(ended, 'left', 1)
    reader.pass(keep - 12 * hour)
    expect(reader.known).toBe(1)
    expect(reader.take(ended, 1)).toBe('duplicate')
    reader.restart()
    reader.pass(2 * keep)
    expect(reader.known).toBe(0)
    expect(reader.take(ended, 1)).toBe('forgotten')
    expect(reader.take(ended, 2)).toBe('forgotten')
    expect(reader.known).toBe(0)
    reader.restart()
    expect(reader.take(ended, 1)).toBe('forgotten')
    // Nor does an old report bring it back.
    reader.say(ended, 'left', 1)
    expect(reader.known).toBe(0)
  })

  it('takes what comes of later producers', () => {
    const reader = new Reader()
    const ended = producerBorn(reader.now)
    reader.take(ended, 1)
    reader.pass(2 * keep)
    expect(reader.take(producerBorn(reader.now), 1)).toBe('new')
  })

  it('remembers tasks for ever, and processes that are alive', () => {
    const reader = new Reader()
    const [process, task] = [
      producerBorn(reader.now),
      durableProducer({ id: 'p/s/0', pipeline: 'p', stage: 's', ordinal: 0 })
    ]
    reader.say(process, 'active')
    reader.say(task, 'active', 0, true)
    reader.take(process, 1)
    reader.take(task, 1)
    reader.pass(10 * keep)
    expect([reader.take(process, 1), reader.take(task, 1), reader.take(process, 2)]).toEqual([
      'duplicate',
      'duplicate',
      'new'
    ])
  })

  it('remembers everybody until the vitals have told who is alive', () => {
    const reader = new Reader()
    const alive = producerBorn(reader.now)
    reader.take(alive, 1)
    reader.membership.markIncomplete()
    reader.pass(2 * keep)
    expect(reader.take(alive, 1)).toBe('duplicate')
  })

  it('never takes a record twice, whatever is forgotten, and refuses none of a producer that it has not outlived', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), who: fc.nat(5), back: fc.nat(3) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), days: fc.nat(12) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), who: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) }
    )
    let forgotten = 0
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), steps => {
        const reader = new Reader()
        const slots = new Map<number, { id: ProducerId; next: number; last: number; ended: boolean }>()
        const taken = new Set<string>()
        for (const action of steps) {
          if (action.do === 'pass') reader.pass(action.days * 24 * hour)
          else if (action.do === 'restart') reader.restart()
          else if (action.do === 'end') {
            const slot = slots.get(action.who)
            if (!slot || slot.ended) continue
            slot.ended = true
            reader.say(slot.id, 'left', slot.next - 1)
          } else {
            let slot = slots.get(action.who)
            if (!slot || (slot.ended && action.back === 0)) {
              slots.set(action.who, (slot = { id: producerBorn(reader.now), next: 1, last: reader.now, ended: false }))
              reader.say(slot.id, 'active')
            }
            // An ended one only sends again what it has sent.
            const sequence = !slot.ended && action.back === 0 ? slot.next++ : Math.max(1, slot.next - action.back)
            if (sequence >= slot.next) continue
            const verdict = reader.take(slot.id, sequence)
            const name = `${Buffer.from(slot.id, 'latin1').toString('hex')} ${sequence}`
            if (verdict === 'forgotten') {
              forgotten++
              expect(slot.ended).toBe(true)
              expect(reader.now - slot.last).toBeGreaterThanOrEqual(keep - 12 * hour)
            } else expect(verdict === 'duplicate').toBe(taken.has(name))
            if (verdict !== 'duplicate' && verdict !== 'forgotten') slot.last = reader.now
            taken.add(name)
          }
        }
      }),
      { numRuns: 1_000 }
    )
    expect(forgotten).toBeGreaterThan(20)
  })
})

it('the time of birth is in the id of a process, and in none of a task', () => {
  expect(bornAt(producerBorn(1_700_000_000_123))).toBe(1_700_000_000_123)
  for (let stage = 0; stage < 2_000; stage++)
    expect(
      bornAt(durableProducer({ id: `p/${stage}/0`, pipeline: 'p', stage: `${stage}`, ordinal: 0 }))
    ).toBeUndefined()
})

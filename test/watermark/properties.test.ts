/**
 * P1 to P7 of event time, for the tracker alone: producers with reports, a channel that keeps no order, repeats and holds back, a reader
 * that commits, crashes and reads again. The simulator shows the same of whole pipelines.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeStamp, encodeStamp, type Stamp } from '../../src/core/stamp.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker, type TrackerSnapshot } from '../../src/watermark/partition-tracker.ts'
import { noCounts, type Vitals } from '../../src/watermark/vitals.ts'

const windowSize = 10
const producers = 3
const lateness = 5

type Step =
  | { readonly do: 'send'; readonly who: number; readonly ahead: number; readonly disorder: number }
  | { readonly do: 'report'; readonly who: number }
  | { readonly do: 'deliver' | 'repeat'; readonly which: number }
  | { readonly do: 'commit' | 'crash' | 'learn' | 'join' }

const who = fc.nat(producers - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('send' as const), who, ahead: fc.nat(9), disorder: fc.nat(12) })
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('repeat' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('report' as const), who }) },
  { weight: 2, arbitrary: fc.constant({ do: 'learn' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'join' as const }) }
)

/** A producer: its promise is the newest event time less the lateness; what is behind it says so. */
class Sender {
  readonly id: string
  sequence = 0
  promised = -Infinity
  /** It is announced. */
  isThere = false
  #newest = 0

  constructor(name: number) {
    this.id = `${name}`.padEnd(16, '.')
  }

  send(ahead: number, disorder: number): Buffer {
    const eventTime = Math.max(0, this.#newest + ahead - disorder)
    const late = eventTime < this.promised
    this.#newest = Math.max(this.#newest, eventTime)
    const promise = this.#newest - lateness
    const rose = promise > this.promised
    if (rose) this.promised = promise
    return encodeStamp(this.id, ++this.sequence, eventTime, rose ? promise : undefined, late)
  }

  /** What is before the time that the readers have reached when it comes is late, and says so. */
  join(reached: number): void {
    this.isThere = true
    this.promised = reached
  }

  get report(): Vitals {
    const output = { watermark: this.promised, last: new Map([[0, this.sequence]]) }
    return {
      ...{ producer: this.id, task: `p/s/${this.id}`, durable: true, state: 'active', counts: noCounts },
      ...{ watermark: this.promised, outputs: new Map([['topic', output]]), commit: 1, beat: 1 }
    }
  }
}

/** The reader of one partition with everything around it, and the oracle that sees all of it. */
class World {
  readonly senders: readonly Sender[] = Array.from({ length: producers }, (_, name) => new Sender(name))
  readonly membership = new TopicMembership()
  /** On its way, and read since the last commit: it comes again after a crash. */
  #channel: Buffer[] = []
  #since: Buffer[] = []
  readonly sent: Buffer[] = []
  #committed: TrackerSnapshot
  tracker: PartitionTracker
  /** By identity: what became of it in the history that counts. */
  readonly #fates = new Map<string, 'on time' | 'late'>()
  #kept = new Map<string, 'on time' | 'late'>()
  #reached = -Infinity
  #reachedAtCommit = -Infinity
  /** Also in lives that were lost. */
  #mostReached = -Infinity

  constructor() {
    for (const sender of this.senders.slice(1)) this.#announce(sender)
    this.membership.markComplete()
    this.tracker = new PartitionTracker(0, 0)
    this.tracker.learn(this.membership)
    this.#committed = this.tracker.snapshot()
  }

  run(next: Step): void {
    switch (next.do) {
      case 'join':
        if (!this.senders[0]!.isThere) this.#announce(this.senders[0]!)
        this.tracker.learn(this.membership)
        return this.#look()
      case 'send': {
        if (!this.senders[next.who]!.isThere) return
        const stamp = this.senders[next.who]!.send(next.ahead, next.disorder)
        this.sent.push(stamp)
        this.#channel.push(stamp)
        return
      }
      case 'report':
        if (this.senders[next.who]!.isThere) this.membership.report(this.senders[next.who]!.report, 'topic', 0)
        return
      case 'learn':
        this.tracker.learn(this.membership)
        return this.#look()
      case 'deliver': {
        const [stamp] = this.#channel.splice(next.which % Math.max(1, this.#channel.length), 1)
        return stamp && this.#receive(stamp)
      }
      case 'repeat': {
        const stamp = this.sent[next.which % Math.max(1, this.sent.length)]
        return stamp && this.#receive(stamp)
      }
      case 'commit':
        this.#committed = JSON.parse(JSON.stringify(this.tracker.snapshot())) as TrackerSnapshot
        this.#reachedAtCommit = this.#reached
        this.#kept = new Map(this.#fates)
        this.#since = []
        return
      case 'crash':
        this.tracker = new PartitionTracker(0, 0, this.#committed)
        this.#reached = this.#reachedAtCommit
        this.#fates.clear()
        for (const [id, fate] of this.#kept) this.#fates.set(id, fate)
        this.#channel.push(...this.#since.splice(0))
        this.tracker.learn(this.membership)
        return this.#look()
    }
  }

  /** Faults end: everything arrives, and everybody says how far he is. */
  settle(): void {
    this.run({ do: 'join' })
    for (const sender of this.senders) this.membership.report(sender.report, 'topic', 0)
    while (this.#channel.length > 0) this.run({ do: 'deliver', which: 0 })
    this.run({ do: 'learn' })
  }

  #announce(sender: Sender): void {
    this.membership.report(sender.report, 'topic', 0)
    sender.join(this.#mostReached)
  }

  #receive(bytes: Buffer): void {
    const stamp = decodeStamp(bytes)
    const id = idOf(stamp)
    const verdict = this.tracker.judge(stamp)
    // P6: processed once, whatever comes again.
    expect(verdict === 'duplicate', `${id} is ${verdict}`).toBe(this.#fates.has(id))
    if (verdict === 'duplicate') return
    const behind = stamp.eventTime < this.tracker.watermark
    // P2: behind the watermark is only what its own producer calls late.
    expect(behind && !stamp.late, `${id} of ${stamp.eventTime} at ${this.tracker.watermark}`).toBe(false)
    this.#fates.set(id, stamp.late ? 'late' : 'on time')
    this.#since.push(bytes)
    this.tracker.processed(stamp)
    this.#look()
  }

  #look(): void {
    const { watermark } = this.tracker
    // P1: never back, in a life and from one to the next.
    expect(watermark).toBeGreaterThanOrEqual(this.#reached)
    if (watermark === this.#reached) return
    this.#reached = watermark
    this.#mostReached = Math.max(this.#mostReached, watermark)
    // P3: a window that is over has all of its records but the late ones, also those that are still on their way.
    const over = Math.floor(watermark / windowSize) * windowSize
    for (const bytes of this.sent) {
      const stamp = decodeStamp(bytes)
      if (!stamp.late && stamp.eventTime < over)
        expect(this.#fates.has(idOf(stamp)), `${idOf(stamp)} of ${stamp.eventTime} at ${watermark}`).toBe(true)
    }
  }

  /** Identity -> its one fate. */
  get fates(): ReadonlyMap<string, 'on time' | 'late'> {
    return this.#fates
  }
}

const idOf = ({ producer, sequence }: Stamp): string => `${producer}/${sequence}`

describe('for any schedule of producers, reports, repeats, commits and crashes', () => {
  it('P1 to P4 and P6 hold', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 200 }), steps => {
        const world = new World()
        for (const each of steps) world.run(each)
        world.settle()
        // P4: without faults it is where its slowest producer is.
        const least = Math.min(...world.senders.map(({ promised }) => promised))
        expect(world.tracker.watermark).toBeGreaterThanOrEqual(least)
        // P6: everything that was sent has one fate, the one that its stamp says.
        const expected = world.sent
          .map(bytes => decodeStamp(bytes))
          .map(stamp => [idOf(stamp), stamp.late ? 'late' : 'on time'])
        expect([...world.fates].sort()).toEqual(expected.sort())
      }),
      { numRuns: 300 }
    )
  })

  it('P5: what is read of a stamp makes the same bytes again', () => {
    const time = fc.integer({ min: -(2 ** 50), max: 2 ** 50 })
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.integer({ min: 0, max: 2 ** 52 }),
        time,
        fc.option(time, { nil: undefined }),
        fc.boolean(),
        (id, sequence, eventTime, watermark, late) => {
          const bytes = encodeStamp(Buffer.from(id).toString('latin1'), sequence, eventTime, watermark, late)
          const stamp = decodeStamp(bytes)
          expect(stamp).toEqual({ producer: Buffer.from(id).toString('latin1'), sequence, eventTime, watermark, late })
          const again = encodeStamp(stamp.producer, stamp.sequence, stamp.eventTime, stamp.watermark, stamp.late)
          expect(Buffer.compare(bytes, again)).toBe(0)
        }
      )
    )
  })

  it('P7: what is remembered is bounded by producers and by what is out of order, not by how much has come', () => {
    const sizeAfter = (records: number, disorder: number): number => {
      const tracker = new PartitionTracker(0, 0)
      const membership = new TopicMembership()
      membership.markComplete()
      tracker.learn(membership)
      const senders = Array.from({ length: 10 }, (_, name) => new Sender(name))
      const waiting: Buffer[] = []
      for (let count = 0; count < records; count++) {
        waiting.push(senders[count % senders.length]!.send(1, 0))
        // The newest first: as many as may be out of order stay behind.
        if (waiting.length > disorder) tracker.processed(decodeStamp(waiting.splice(count % 2 === 0 ? 0 : -1, 1)[0]!))
      }
      return JSON.stringify(tracker.snapshot()).length
    }
    for (const disorder of [0, 100]) {
      const most = Math.max(sizeAfter(5_000, disorder), sizeAfter(5_001, disorder))
      expect(sizeAfter(50_000, disorder)).toBeLessThan(most * 1.5 + 200)
    }
    expect(sizeAfter(50_000, 0)).toBeLessThan(10 * 200)
  })
})

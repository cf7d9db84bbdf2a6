/** A process that stood still has heard nothing meanwhile: from that it must not conclude that there was nothing. */
import { describe, expect, it } from 'vitest'
import type { Environment } from '../../src/core/environment.ts'
import { AwakeClock } from '../../src/health/index.ts'
import { PartitionInput } from '../../src/pipeline/input.ts'
import { RecordMarks } from '../../src/state/marks.ts'
import { noCounts, silence, TopicMembership } from '../../src/watermark/index.ts'

const producer = 'p'.padEnd(16, '.')
const skipAfter = 10_000

class Reader {
  now = 0
  readonly environment = { now: () => this.now, monotonic: () => this.now } as Environment
  readonly clock = new AwakeClock(this.environment, 2_000)
  readonly membership = new TopicMembership()
  readonly counts = { ...noCounts }
  readonly input: PartitionInput

  constructor(positions: 'log' | 'none') {
    const topic = { name: 'readings', lateness: 0, interval: 60_000, gaps: { skipAfter } }
    const capabilities = { positions, order: positions === 'log' ? 'partition' : 'none' }
    const adapter = { capabilities, comparePositions: (left: string, right: string) => Number(left) - Number(right) }
    const bound = { topic, adapter } as never
    this.input = new PartitionInput(bound, 0, this.membership, undefined, undefined, new RecordMarks())
    this.input.started = true
    this.membership.markComplete()
  }

  /** It is awake for so long: it looks every half second. */
  live(milliseconds: number): void {
    for (const end = this.now + milliseconds; this.now < end;) {
      this.now += 500
      this.clock.tick()
      this.look()
    }
  }

  /** It stands still, and looks when it wakes. */
  stop(milliseconds: number): void {
    this.now += milliseconds
    this.look()
  }

  look(): void {
    this.input.learn(this.environment, this.clock)
    this.input.passOver(this.clock, 'task', this.counts)
  }
}

describe('a process that stood still', () => {
  it('waits for what a producer has said to be there as long as if it had been awake all the time', () => {
    const reader = new Reader('log')
    const outputs = new Map([['readings', { watermark: 7, last: new Map([[0, 3]]) }]])
    const report = { producer, task: 'p', durable: true, state: 'active', watermark: 7, outputs, beat: 1 } as const
    reader.membership.report({ ...report, counts: noCounts, commit: 1 }, 'readings', reader.now)
    reader.live(1_000)
    reader.stop(10 * silence)
    reader.live(silence - 5_000)
    expect(reader.input.tracker.watermark).toBe(-Infinity)
    reader.live(10_000)
    expect(reader.input.tracker.watermark, 'it is not there').toBe(7)
  })

  it('gives up no record of a queue for it', () => {
    const reader = new Reader('none')
    reader.input.tracker.processed({ producer, sequence: 2, eventTime: 7, watermark: undefined, late: false })
    reader.live(1_000)
    reader.stop(10 * skipAfter)
    reader.live(skipAfter - 5_000)
    expect(reader.counts.lost).toBe(0)
    reader.live(10_000)
    expect(reader.counts.lost).toBe(1)
  })
})

import type { StreamRecord } from '../../src/core/record.ts'
import type { Problems } from '../oracle/problems.ts'

/** How many records the handlers were given, also in lives whose work was dropped. */
export interface Timely {
  readonly records: number
  /** Told late, and they were: their producers had broken a promise. */
  readonly late: number
  /** Told late, or behind the watermark, although every promise was kept. */
  readonly falseLate: number
}

export const noTimely: Timely = { records: 0, late: 0, falseLate: 0 }

export const addTimely = (left: Timely, right: Timely): Timely => ({
  records: left.records + right.records,
  late: left.late + right.late,
  falseLate: left.falseLate + right.falseLate
})

/** What handlers saw while they ran, also in lives whose work was dropped. */
export class Observations {
  readonly timely: { -readonly [Name in keyof Timely]: number } = { ...noTimely }
  readonly #problems: Problems

  constructor(problems: Problems) {
    this.#problems = problems
  }

  /** @param tardy it may be late: it is older than its producer had promised, or may have */
  record(task: string, record: StreamRecord, watermark: number, tardy = false): void {
    const { topic, partition, position, eventTime, late } = record
    this.timely.records++
    if (!late && eventTime >= watermark) return
    if (tardy && late) {
      this.timely.late++
      return
    }
    this.timely.falseLate++
    this.#problems.add(
      'false-late',
      `${task} got ${topic}/${partition}@${position} of ${eventTime} at watermark ${watermark}${late ? ' as late' : ''}`
    )
  }

  timer(task: string, time: number, watermark: number): void {
    if (watermark < time) this.#problems.add('early-timer', `${task} fired ${time} at watermark ${watermark}`)
  }
}

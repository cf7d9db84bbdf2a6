import type { StreamRecord } from '../../src/core/record.ts'
import type { Problems } from '../oracle/problems.ts'

/** What handlers saw while they ran, also in lives whose work was dropped. */
export class Observations {
  readonly #problems: Problems

  constructor(problems: Problems) {
    this.#problems = problems
  }

  record(task: string, record: StreamRecord, watermark: number): void {
    const { topic, partition, position, eventTime, late } = record
    if (late || eventTime < watermark)
      this.#problems.add(
        'false-late',
        `${task} got ${topic}/${partition}@${position} of ${eventTime} at watermark ${watermark}${late ? ' as late' : ''}`
      )
  }

  timer(task: string, time: number, watermark: number): void {
    if (watermark < time) this.#problems.add('early-timer', `${task} fired ${time} at watermark ${watermark}`)
  }
}

import type { Environment } from '../core/environment.ts'
import {
  Backlog,
  diagnoseInputs,
  FailureRate,
  stageOf,
  type Counts,
  type Diagnosis,
  type HealthInput,
  type ReportedHealth,
  type Vitals
} from '../watermark/index.ts'
import type { Timeliness } from './definitions.ts'
import type { PartitionInput } from './input.ts'

/** How long a look at everything upstream is good for, ms: a handler may ask for each record. */
const freshFor = 100

/**
 * How one task is doing, and everything above it: for its vitals and for its handlers. Read from memory, never awaited; a
 * task that hangs in its handler is told of all the same, because it is asked for with each beat.
 */
export class TaskHealth {
  /** Records that its producers have committed and that it has not processed. */
  pending: number = 0
  readonly #task: string
  readonly #environment: Environment
  readonly #inputs: readonly PartitionInput[]
  readonly #reports: ReadonlyMap<string, Vitals>
  readonly #counts: Counts
  readonly #backlogs: readonly Backlog[]
  readonly #rate = new FailureRate()
  #attempts = 0
  #failed = 0
  #failingSince: number | undefined
  #diagnosis: Diagnosis = { heldBy: undefined, upstream: {} }
  #lookedAt = -Infinity

  /** @param counts those of the task, which change as it works */
  constructor(
    task: string,
    environment: Environment,
    inputs: readonly PartitionInput[],
    reports: ReadonlyMap<string, Vitals>,
    counts: Counts
  ) {
    this.#task = task
    this.#environment = environment
    this.#inputs = inputs
    this.#reports = reports
    this.#counts = counts
    this.#backlogs = inputs.map(() => new Backlog())
    this.#attempts = counts.processed + counts.parked
  }

  /** An attempt at a record has failed. */
  failed(): void {
    this.#failed++
    this.#failingSince ??= this.#environment.now()
  }

  /** The record that failed is done, or parked. */
  recovered(): void {
    this.#failingSince = undefined
  }

  report(): ReportedHealth {
    const { heldBy, upstream } = this.#look()
    const { pending } = this
    const failureRate = this.#rate.share(this.#environment.monotonic())
    return { pending, failureRate, upstream, ...(heldBy && { heldBy }) }
  }

  timeliness(watermark: number): Timeliness {
    const { heldBy, upstream } = this.#look()
    let { pending, failureRate } = { pending: this.pending, failureRate: 0 }
    let { late, parked } = this.#counts
    const stale: string[] = []
    for (const [stage, health] of Object.entries(upstream)) {
      pending += health.pending
      late += health.late
      parked += health.parked
      failureRate = Math.max(failureRate, health.failureRate)
      if (health.silent > 0) stale.push(stage)
    }
    return {
      watermark,
      behind: watermark === Infinity ? 0 : this.#environment.now() - watermark,
      pendingUpstream: pending,
      failureRate,
      late,
      parked,
      slowest: heldBy && {
        stage: stageOf(heldBy.task),
        partition: heldBy.task.slice(stageOf(heldBy.task).length + 1),
        cause: heldBy.cause,
        since: heldBy.since
      },
      stale,
      exact: !this.#inputs.some(({ tracker }) => tracker.heuristic)
    }
  }

  #look(): Diagnosis {
    const { monotonic, now } = { monotonic: this.#environment.monotonic(), now: this.#environment.now() }
    if (monotonic - this.#lookedAt < freshFor) return this.#diagnosis
    this.#lookedAt = monotonic
    this.pending = 0
    const inputs = this.#inputs.map((input, index): HealthInput => {
      const backlog = this.#backlogs[index]!
      const { tracker, membership, partition, bound } = input
      backlog.update(tracker, membership, partition, monotonic)
      this.pending += backlog.records
      return { topic: bound.topic.name, partition, tracker, membership, waitingSince: backlog.since }
    })
    const attempts = this.#counts.processed + this.#counts.parked
    this.#rate.add(attempts - this.#attempts + this.#failed, this.#failed, monotonic)
    this.#attempts = attempts
    this.#failed = 0
    const moment = { now, monotonic }
    this.#diagnosis = diagnoseInputs(this.#task, inputs, this.#reports, this.#failingSince, moment)
    return this.#diagnosis
  }
}

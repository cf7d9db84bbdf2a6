import type { Environment } from '../core/environment.ts'
import {
  Backlog,
  diagnoseInputs,
  FailureRate,
  stageOf,
  tolerableSkew,
  TroubleBook,
  type Counts,
  type Diagnosis,
  type HealthInput,
  type Moment,
  type ReportedHealth,
  type StageHealth,
  type Trouble,
  type Vitals
} from '../watermark/index.ts'
import type { Timeliness } from './process-context.ts'
import type { PartitionInput } from './input.ts'
import type { StageRuntime } from './stage-runtime.ts'

/** How long a look at everything upstream is good for, ms: a handler may ask for each record. */
const freshFor = 100
/** Least time between two looks for news to pass on, ms. */
const newsEvery = 200
/** So many reports are looked through in no time. */
const cheap = 200
/** An attempt to send that fails is tried again; so long without one that does not means that the broker does not answer, ms. */
const unsentAfter = 3_000

/** What is heard of the others: `VitalsView`. */
export interface Hearing {
  readonly tasks: ReadonlyMap<string, Vitals>
  /** Since when nothing could be heard, monotonic ms. */
  readonly deafSince: number | undefined
  /** How far ahead of ours the clock of a task is, ms. */
  clockOf(task: string): number | undefined
}

/** What has been written, and how much of it behind its own promise. */
export interface Written {
  readonly added: number
  readonly addedLate: number
}

/** Of an output: since when its broker takes nothing, monotonic ms. */
export type Outlet = () => number | undefined

/**
 * How one task is doing, and everything above it: for its vitals and for its handlers. Read from memory, never awaited; a
 * task that hangs in its handler is told of all the same, because it is asked for with each beat.
 */
export class TaskHealth {
  /** Records that its producers have committed and that it has not processed. */
  pending: number = 0
  /** Those that it has gone past, and tries again. */
  aside: number = 0
  readonly #task: string
  readonly #environment: Environment
  readonly #inputs: readonly PartitionInput[]
  readonly #hearing: Hearing
  readonly #counts: Counts
  readonly #written: Written
  readonly #outlets: readonly Outlet[]
  readonly #backlogs: readonly Backlog[]
  readonly #failures = new FailureRate()
  readonly #lateIn = new FailureRate()
  readonly #lateOut = new FailureRate()
  readonly #book = new TroubleBook()
  /** What was counted at the last look. */
  #last: { readonly done: number; readonly processed: number; readonly late: number } & Written
  #failed = 0
  #failingSince: number | undefined
  #diagnosis: Diagnosis = { heuristic: false, heldBy: undefined, upstream: {}, troubles: [] }
  #troubles: readonly Trouble[] = []
  #lookedAt = -Infinity
  /** The clock less time that never jumps, at that look. */
  #base = 0
  #news = ''
  #newsAt = -Infinity

  /**
   * @param counts those of the task, which change as it works
   * @param written its outputs, the same
   */
  constructor(
    task: string,
    environment: Environment,
    inputs: readonly PartitionInput[],
    hearing: Hearing,
    counts: Counts,
    written: Written,
    outlets: readonly Outlet[] = []
  ) {
    this.#outlets = outlets
    this.#task = task
    this.#environment = environment
    this.#inputs = inputs
    this.#hearing = hearing
    this.#counts = counts
    this.#written = written
    this.#backlogs = inputs.map(() => new Backlog())
    this.#last = this.#counted()
  }

  /** An attempt at a record has failed. */
  failed(): void {
    this.#failed++
    this.#failingSince ??= this.#environment.now()
  }

  /** The record that failed is done, or parked. @param since another one fails, ms since the epoch */
  recovered(since?: number): void {
    this.#failingSince = since
  }

  report(): ReportedHealth {
    const { heuristic, heldBy, upstream } = this.#look()
    const { pending } = this
    const { failureRate, lateRate } = this.#rates()
    return {
      pending,
      failureRate,
      lateRate,
      upstream,
      troubles: this.#troubles,
      ...(heuristic && { heuristic }),
      ...(heldBy && { heldBy })
    }
  }

  /** True when who is in trouble, or who holds the watermark, is not what it was: others should hear of it at once. */
  hasNews(): boolean {
    const now = this.#environment.monotonic()
    // A look costs as much as there are producers.
    if (now - this.#newsAt < newsEvery * Math.max(1, this.#hearing.tasks.size / cheap)) return false
    this.#newsAt = now
    const { heldBy, upstream } = this.#look()
    const parts = this.#troubles.map(({ stage, cause }) => `${cause} ${stage}`)
    // Who has too few clocks to compare passes on what he sees.
    for (const [stage, { ahead = 0 }] of Object.entries(upstream))
      if (Math.abs(ahead) > tolerableSkew) parts.push(`ahead ${stage}`)
    parts.sort()
    const news = `${heldBy?.cause ?? ''} ${heldBy?.task ?? ''}|${parts.join('|')}`
    if (news === this.#news) return false
    this.#news = news
    return true
  }

  timeliness(watermark: number): Timeliness {
    const { heuristic, heldBy, upstream } = this.#look()
    let { failureRate, lateRate } = this.#rates()
    let { pending } = this
    let { late, parked } = this.#counts
    const stale: string[] = []
    for (const [stage, health] of Object.entries(upstream)) {
      pending += health.pending
      late += health.late
      parked += health.parked
      failureRate = Math.max(failureRate, health.failureRate)
      lateRate = Math.max(lateRate, health.lateRate ?? 0)
      if (health.silent > 0) stale.push(stage)
    }
    return {
      watermark,
      behind: watermark === Infinity ? 0 : this.#environment.now() - watermark,
      pendingUpstream: pending,
      failureRate,
      lateRate,
      late,
      parked,
      slowest: heldBy && {
        stage: stageOf(heldBy.task),
        partition: heldBy.task.slice(stageOf(heldBy.task).length + 1),
        cause: heldBy.cause,
        since: heldBy.since
      },
      troubles: this.#troubles,
      upstream: upstream as Readonly<Record<string, StageHealth>>,
      stale,
      exact: !heuristic
    }
  }

  #rates(): { failureRate: number; lateIn: number; lateOut: number; lateRate: number } {
    const now = this.#environment.monotonic()
    const [lateIn, lateOut] = [this.#lateIn.share(now), this.#lateOut.share(now)]
    return { failureRate: this.#failures.share(now), lateIn, lateOut, lateRate: Math.max(lateIn, lateOut) }
  }

  #counted(): { done: number; processed: number; late: number } & Written {
    const { processed, parked, late } = this.#counts
    const { added, addedLate } = this.#written
    return { done: processed + parked, processed, late, added, addedLate }
  }

  #look(): Diagnosis {
    const { monotonic, now } = { monotonic: this.#environment.monotonic(), now: this.#environment.now() }
    // A clock that is set makes the last look wrong.
    const isSame = Math.abs(now - monotonic - this.#base) < freshFor
    if (isSame && monotonic - this.#lookedAt < freshFor) return this.#diagnosis
    this.#base = now - monotonic
    this.#lookedAt = monotonic
    this.pending = this.aside
    const inputs = this.#inputs.map((input, index): HealthInput => {
      const backlog = this.#backlogs[index]!
      const { tracker, membership, partition, bound } = input
      backlog.update(tracker, membership, partition, monotonic)
      this.pending += backlog.records
      return {
        topic: bound.topic.name,
        partition,
        tracker,
        membership,
        waitingSince: input.waits ? undefined : backlog.since
      }
    })
    this.#measure(monotonic)
    const { tasks, deafSince } = this.#hearing
    const wall = (at: number): number => Math.round(now - (monotonic - at))
    this.#diagnosis = diagnoseInputs(
      this.#task,
      inputs,
      tasks,
      this.#failingSince,
      { now, monotonic },
      {
        ...this.#rates(),
        wasSlow: this.#troubles.some(({ cause, hops }) => cause === 'slow' && hops === 0),
        deafSince: deafSince === undefined ? undefined : wall(deafSince),
        unsentSince: unsentSince(this.#outlets, { now, monotonic }),
        clockOf: task => this.#hearing.clockOf(task)
      }
    )
    this.#troubles = this.#book.note(this.#diagnosis.troubles, now)
    return this.#diagnosis
  }

  #measure(monotonic: number): void {
    const last = this.#last
    const counted = this.#counted()
    this.#failures.add(counted.done - last.done + this.#failed, this.#failed, monotonic)
    this.#lateIn.add(counted.processed - last.processed, counted.late - last.late, monotonic)
    this.#lateOut.add(counted.added - last.added, counted.addedLate - last.addedLate, monotonic)
    this.#last = counted
    this.#failed = 0
  }
}

export function outletsOf({ to, relay }: Pick<StageRuntime, 'to' | 'relay'>): Outlet[] {
  return to.map(
    ({ topic: { name } }) =>
      () =>
        relay.failingSince(name)
  )
}

/** Since when the brokers of the outputs have taken nothing, ms since the epoch; `undefined` while they do. */
export function unsentSince(outlets: readonly Outlet[], { now, monotonic }: Moment): number | undefined {
  const since = Math.min(...outlets.map(outlet => outlet() ?? Infinity))
  return monotonic - since >= unsentAfter ? Math.round(now - (monotonic - since)) : undefined
}

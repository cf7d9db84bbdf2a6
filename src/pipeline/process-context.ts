import type { StateDefinitions, StateHandles } from '../state/index.ts'
import type { Cause, StageHealth, Trouble } from '../watermark/index.ts'

/** Event-time timers of the key at hand. */
export interface Timers {
  /**
   * Calls `onTimer` for this key once the watermark has reached `time` (ms); at once when it has already. The same time and
   * name twice is one timer. At the end of all input (`watermark` is `Infinity`) every timer fires: one that sets itself anew
   * must look at that, or the run never ends.
   */
  at(time: number, name?: string): void
  cancel(time: number, name?: string): void
}

/** How far a handler may trust that its input is complete. */
export interface Timeliness {
  /** Nothing earlier is still to come, except late records. `-Infinity` while unknown, `Infinity` at the end. */
  readonly watermark: number
  /** How far the watermark is behind the wall clock, ms. */
  readonly behind: number
  /** Records that wait at this task and at every stage above it. */
  readonly pendingUpstream: number
  /** Which share of the attempts failed lately at the worst stage above, 0 to 1. */
  readonly failureRate: number
  /** Which share of the records was late lately at the worst stage, here and above, 0 to 1. */
  readonly lateRate: number
  /** Records that were late, here and above, since the pipelines began. */
  readonly late: number
  /** Records that were parked, here and above. */
  readonly parked: number
  /** Who holds the watermark back, however many hops away; `undefined` while nobody does. */
  readonly slowest: Slowest | undefined
  /** What is wrong, here and above, whether or not it holds the watermark back: the worst first. */
  readonly troubles: readonly Trouble[]
  /** `pipeline/stage` -> how that stage does: all that are above this one. */
  readonly upstream: Readonly<Record<string, StageHealth>>
  /** Stages above of which a task is silent: dead, or cut off. */
  readonly stale: readonly string[]
  /** `false`: a producer does not promise its watermark, and it was guessed from the lateness of its topic. */
  readonly exact: boolean
}

export interface Slowest {
  /** `pipeline/stage`, or the name of a plain producer. */
  readonly stage: string
  /** Partition of the stage, or split of a source. */
  readonly partition: string
  /**
   * `failing`: it is trying a record again. `slow`: records wait for it. `silent`: its reports are overdue, it is dead or cut off.
   * `cut-off`: it lives, and its broker does not answer it. `quiet`: it lives and has nothing newer.
   */
  readonly cause: Cause
  /** Since when, ms since the epoch by the clock of whoever saw it. */
  readonly since: number
}

export interface ProcessContext<State extends StateDefinitions = StateDefinitions> {
  readonly state: StateHandles<State>
  readonly timers: Timers
  readonly watermark: number
  readonly timeliness: Timeliness
  /** The same for every attempt at this record, on every worker: give it to the outside effects of the handler. */
  readonly idempotencyKey: string
  /**
   * The record at hand came too late to be of use: counts it as `expired` in the vitals, reports it on
   * `tidemark:record-expired`. Late records are never dropped in silence.
   */
  expire(): void
  /** Fires when the task must stop. */
  readonly signal: AbortSignal
  readonly task: string
}

/** A span of event time that is over: its records of all hops above have been processed here, but for late ones. */
export interface Interval {
  /** ms since the epoch. */
  readonly start: number
  /** The first ms behind it. */
  readonly end: number
  /** Its records that this task has handled, */
  readonly records: number
  /** and those that it has parked. */
  readonly parked: number
}

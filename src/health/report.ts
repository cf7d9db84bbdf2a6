import type { Ailing } from './judge.ts'

/** One thing that is wrong, and where. */
export interface HealthProblem {
  readonly cause: Ailing
  /** The pipeline; of a plain consumer, its group. */
  readonly pipeline: string
  /** The stage, or the topic of a plain consumer. Absent when it is the run as a whole. */
  readonly stage?: string
  /** Partition of the stage, or split of a source. */
  readonly partition?: string
  /** The record that is being handled. */
  readonly topic?: string
  readonly position?: string
  /** Milliseconds since the epoch. */
  readonly since: number
  readonly milliseconds: number
  /** One sentence for people, without anything that a handler or a vendor's client has said. */
  readonly message: string
  /** What was thrown last. Not for everybody: it may hold what a record holds. */
  readonly error?: unknown
  /** A new process may do better: `live` is false. */
  readonly mayRestartMend: boolean
}

/** `starting`: nothing is processed yet. `draining`: told to stop. `ended`: came to its end, or was stopped. */
export type RunPhase = 'starting' | 'running' | 'draining' | 'ended' | 'failed'

export interface RunState {
  readonly pipeline: string
  readonly phase: RunPhase
  /** Tasks of this process: partitions and splits that are its own now. */
  readonly tasks: number
}

/** How this process is doing: see `Client.health`. */
export interface HealthReport {
  /** False when a new process may do better than this one: a handler that hangs, a stall, a run that has failed. */
  readonly live: boolean
  /** True when runs and consumers are up and nothing is wrong. False also while starting, draining and closed. */
  readonly ready: boolean
  readonly problems: readonly HealthProblem[]
  readonly runs: readonly RunState[]
}

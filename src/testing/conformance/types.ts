import type { Capabilities } from '../../core/capabilities.ts'
import type { AnyAdapter } from '../../spec/index.ts'
import type { CaseContext } from './context.ts'
import type { LedgerJob } from './pipelines/ledger.ts'

/** How the suite reaches one backend. */
export interface Harness {
  /** `memory`, `kafka`: the row of the matrix. */
  readonly backend: string
  /** What the adapter declares; chooses the cases. */
  readonly capabilities: Capabilities
  /** A fresh adapter, already opened with the system environment, on the same server each time. The suite closes it. */
  start(): Promise<AnyAdapter>
  /** Stops the server hard and starts it again with its data; resolves once it can be reached. */
  restart?(): Promise<void>
  /** An opened adapter that points at an address where nothing listens. */
  unreachable?(): Promise<AnyAdapter>
  /** The shortest session that the server accepts, ms. Default 10,000. */
  readonly sessionTimeout?: number
  /** All waiting times are multiplied by this, for slow servers. Default 1. */
  readonly pace?: number
  /** Starts a worker of a case in a process of its own; absent where no other process can reach the broker. */
  spawnWorker?(job: LedgerJob): WorkerProcess
  /**
   * Does somebody hold the write lock of this broker? Where processes share a file, one that is stopped in the middle of a
   * write keeps it, and everybody waits: cases stop their workers outside of writes.
   */
  isLocked?(): Promise<boolean>
  /** Called once, after the last case. */
  stop(): Promise<void>
}

export interface WorkerProcess {
  kill(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void
  /** Its exit code, `null` when a signal ended it. */
  readonly exited: Promise<number | null>
}

/** What the choice of cases may look at. */
export type HarnessTraits = Pick<Harness, 'restart' | 'unreachable' | 'sessionTimeout' | 'spawnWorker'>

export interface ConformanceCase {
  /** What must hold, as a sentence. */
  readonly name: string
  readonly group: string
  /** `true`, or why there is nothing to show on this backend. */
  applies(capabilities: Capabilities, traits: HarnessTraits): true | string
  /** Must not run beside other cases: it disturbs the server. */
  readonly exclusive?: boolean
  /** Throws (`node:assert`) when it does not hold. */
  run(context: CaseContext): Promise<void>
}

export interface CaseResult {
  readonly backend: string
  /** `group: name`. */
  readonly case: string
  readonly status: 'pass' | 'fail' | 'not applicable' | 'not run'
  /** Of a failure, its message; of a case without result, why. */
  readonly reason: string | undefined
  /** What failed, to look for the place. */
  readonly error?: unknown
  readonly milliseconds: number
}

/** The case's full title: one line of the matrix. */
export function titleOf({ group, name }: Pick<ConformanceCase, 'group' | 'name'>): string {
  return `${group}: ${name}`
}

import { StreamError } from '../core/errors.ts'
import { type OptionTable, readOptions, type Variables } from '../core/options.ts'

export type Guarantee = 'exactly-once' | 'at-least-once'

/** Options of `client.run`; every one can also come from the environment (`TIDEMARK_RUN__<OPTION>`). */
export interface RunOptions {
  /**
   * `exactly-once` (default): state, positions and outputs are committed together. `at-least-once`: outputs are sent
   * before the commit, and may be sent again after a crash.
   */
  readonly guarantee?: Guarantee
  /** Drains and resolves: takes no more records, commits what is done, leaves the group. */
  readonly signal?: AbortSignal
  /** SIGTERM and SIGINT drain, a second one stops at once. Default true. */
  readonly handleSignals?: boolean
  /** Most time between two commits of a task, ms. Default 100. Latency of outputs, and work lost by a crash. */
  readonly commitInterval?: number
  /** Most records in a commit. Default 10,000. */
  readonly commitRecords?: number
  /** Most bytes of outputs in a commit. Default 4 MiB. */
  readonly commitBytes?: number
  /** Most bytes that a stage holds of records not yet processed. Default 32 MiB. */
  readonly maxBufferedBytes?: number
  /** A crashed worker's partitions and splits are free after this long, ms. Default 10,000. */
  readonly sessionTimeout?: number
  /** Time for a task to drain when it is taken away or the run ends, ms. Default 30,000. */
  readonly drainTimeout?: number
  /** Time between two reports on the vitals topic, ms. Default 1,000. */
  readonly vitalsInterval?: number
  /**
   * Which records of a process without a store were processed is remembered until it has ended and this long after its last
   * one, ms: longer than a broker delivers a record again. What comes later is a bad record, which may be a repeat. Default
   * eight days.
   */
  readonly forgetProducersAfter?: number
}

export type RunSettings = Required<Omit<RunOptions, 'signal'>>

export const defaultSettings: RunSettings = {
  guarantee: 'exactly-once',
  handleSignals: true,
  commitInterval: 100,
  commitRecords: 10_000,
  commitBytes: 4 * 1024 * 1024,
  maxBufferedBytes: 32 * 1024 * 1024,
  sessionTimeout: 10_000,
  drainTimeout: 30_000,
  vitalsInterval: 1_000,
  forgetProducersAfter: 8 * 24 * 60 * 60 * 1_000
}

const table: OptionTable = {
  guarantee: { kind: 'string', values: ['exactly-once', 'at-least-once'], doc: 'what a crash may do to outputs' },
  handleSignals: { kind: 'boolean', doc: 'SIGTERM and SIGINT drain' },
  commitInterval: { kind: 'number', doc: 'most time between two commits of a task, ms' },
  commitRecords: { kind: 'number', doc: 'most records in a commit' },
  commitBytes: { kind: 'number', doc: 'most bytes of outputs in a commit' },
  maxBufferedBytes: { kind: 'number', doc: 'most bytes that a stage holds of records not yet processed' },
  sessionTimeout: { kind: 'number', doc: "a crashed worker's partitions are free after this long, ms" },
  drainTimeout: { kind: 'number', doc: 'time for a task to drain, ms' },
  vitalsInterval: { kind: 'number', doc: 'time between two reports on the vitals topic, ms' },
  forgetProducersAfter: { kind: 'number', doc: 'what ended producers have sent is remembered for so long, ms' },
  signal: { kind: 'object', doc: 'drains and resolves when aborted' }
} satisfies Record<keyof RunOptions, OptionTable[string]>

/** Checks the options of a run after laying the environment (`TIDEMARK_RUN__<OPTION>`) over them; fills in the defaults. */
export function runSettings(options: RunOptions, variables: Variables = {}): RunSettings {
  const { signal: _, ...given } = readOptions('run', table, options, variables, 'TIDEMARK_RUN')
  const settings: RunSettings = { ...defaultSettings, ...given }
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'number' && !(value > 0))
      throw new StreamError('bad-config', `run: option '${name}' must be above 0, got ${value}`)
  }
  return settings
}

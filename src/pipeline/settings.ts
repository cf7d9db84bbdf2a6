import { type OptionTable, readOptions, type Variables } from '../core/options.ts'
import { Problems } from '../core/problems.ts'

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
  /**
   * Most bytes of keyed state, about, that a stage holds in memory where its store keeps rows by key (SQLite, PostgreSQL, memory): of
   * a larger one the keys of the records at hand are read from the store. Default 256 MiB.
   */
  readonly maxStateBytes?: number
  /**
   * Where state is committed in the broker (Kafka): follow the changelogs of the tasks that other workers hold, so that taking one over
   * reads only the rest. Takes up to `maxStateBytes` for each stage with state. Default false.
   */
  readonly standby?: boolean
  /** A crashed worker's partitions and splits are free after this long, ms. Default 10,000. */
  readonly sessionTimeout?: number
  /** Time for a task to drain when it is taken away or the run ends, ms. Default 30,000. */
  readonly drainTimeout?: number
  /**
   * A handler that has not come back for so long hangs, and a task that has records and gets nothing done for so long has
   * stalled: `client.health()` says so. Longer than the longest handler, ms. Default 60,000.
   */
  readonly stalledAfter?: number
  /** A broker or a store that cannot be reached for so long makes this process unready, ms. Default 10,000. */
  readonly unreachableAfter?: number
  /** Time between two reports on the vitals topic, ms. Default 1,000. */
  readonly vitalsInterval?: number
  /**
   * Which records of a process without a store were processed is remembered until it has ended and this long after its last
   * one, ms: longer than a broker delivers a record again. What comes later is a bad record, which may be a repeat. Default
   * eight days.
   */
  readonly forgetProducersAfter?: number
  /**
   * A partition that is farther ahead in event time than this of the slowest of its stage that has records waiting takes no more until
   * that one comes near, ms; for at most 30 seconds if it does not get on. Default: none waits.
   */
  readonly maxSkew?: number
}

export type RunSettings = Required<Omit<RunOptions, 'signal'>>

export const defaultSettings: RunSettings = {
  guarantee: 'exactly-once',
  handleSignals: true,
  commitInterval: 100,
  commitRecords: 10_000,
  commitBytes: 4 * 1024 * 1024,
  maxBufferedBytes: 32 * 1024 * 1024,
  maxStateBytes: 256 * 1024 * 1024,
  standby: false,
  sessionTimeout: 10_000,
  drainTimeout: 30_000,
  stalledAfter: 60_000,
  unreachableAfter: 10_000,
  vitalsInterval: 1_000,
  forgetProducersAfter: 8 * 24 * 60 * 60 * 1_000,
  maxSkew: Infinity
}

const table: OptionTable = {
  guarantee: { kind: 'string', values: ['exactly-once', 'at-least-once'], doc: 'what a crash may do to outputs' },
  handleSignals: { kind: 'boolean', doc: 'SIGTERM and SIGINT drain' },
  commitInterval: { kind: 'number', doc: 'most time between two commits of a task, ms' },
  commitRecords: { kind: 'number', doc: 'most records in a commit' },
  commitBytes: { kind: 'number', doc: 'most bytes of outputs in a commit' },
  maxBufferedBytes: { kind: 'number', doc: 'most bytes that a stage holds of records not yet processed' },
  maxStateBytes: {
    kind: 'number',
    doc: 'most bytes of state that a stage holds in memory, where its store has the rest'
  },
  standby: { kind: 'boolean', doc: 'follows the changelogs of tasks that other workers hold, to take over faster' },
  sessionTimeout: { kind: 'number', doc: "a crashed worker's partitions are free after this long, ms" },
  drainTimeout: { kind: 'number', doc: 'time for a task to drain, ms' },
  stalledAfter: { kind: 'number', doc: 'a handler hangs, and a task with records has stalled, after so long, ms' },
  unreachableAfter: { kind: 'number', doc: 'a broker that cannot be reached for so long makes unready, ms' },
  vitalsInterval: { kind: 'number', doc: 'time between two reports on the vitals topic, ms' },
  forgetProducersAfter: { kind: 'number', doc: 'what ended producers have sent is remembered for so long, ms' },
  maxSkew: { kind: 'number', doc: 'how far ahead of the slowest partition another may go in event time, ms' },
  signal: { kind: 'object', doc: 'drains and resolves when aborted' }
} satisfies Record<keyof RunOptions, OptionTable[string]>

/** Checks the options of a run after laying the environment (`TIDEMARK_RUN__<OPTION>`) over them; fills in the defaults. */
export function runSettings(options: RunOptions, variables: Variables = {}): RunSettings {
  const problems = new Problems('run')
  const { signal: _, ...given } =
    problems.collect(() => readOptions('run', table, options, variables, 'TIDEMARK_RUN')) ?? {}
  const settings: RunSettings = { ...defaultSettings, ...given }
  for (const [name, value] of Object.entries(settings))
    if (typeof value === 'number' && !(value > 0)) problems.add(`run: option '${name}' must be above 0, got ${value}`)
  problems.assertNone()
  return settings
}

import { StreamError } from '../core/errors.ts'

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
  vitalsInterval: 1_000
}

export function runSettings(options: RunOptions): RunSettings {
  const { signal: _, ...rest } = options
  for (const name of Object.keys(rest)) {
    if (!Object.hasOwn(defaultSettings, name))
      throw new StreamError(
        'bad-config',
        `run: unknown option '${name}'; known are ${Object.keys(defaultSettings).join(', ')}, signal`
      )
  }
  const settings = {
    ...defaultSettings,
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  }
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'number' && !(value > 0))
      throw new StreamError('bad-config', `run: '${name}' must be above 0, got ${value}`)
  }
  if (settings.guarantee !== 'exactly-once' && settings.guarantee !== 'at-least-once')
    throw new StreamError(
      'bad-config',
      `run: 'guarantee' must be exactly-once or at-least-once, got '${String(settings.guarantee)}'`
    )
  return settings
}

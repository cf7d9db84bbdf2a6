import { channel } from 'node:diagnostics_channel'

/** What happened, for whoever subscribes; costs one check when nobody does. There is no logger of our own. */
export interface Diagnostics {
  'task-assigned': { task: string; epoch: number; commit: number }
  'task-released': { task: string; reason: string }
  /** The state of a task was read from its changelog; with `standby`, that part only which the standby did not have. */
  'changelog-read': { task: string; records: number; standby: boolean }
  /** A standby has read the changelog of a task that is held elsewhere to its end, and goes on as it grows. */
  'changelog-followed': { task: string; records: number }
  'task-fenced': { task: string; epoch: number }
  'task-restarted': { task: string; error: unknown }
  commit: { task: string; commit: number; records: number; outputs: number; bytes: number; milliseconds: number }
  'record-retried': {
    task: string
    topic: string
    partition: number
    position: string
    attempt: number
    error: unknown
  }
  'record-parked': {
    task: string
    topic: string
    partition: number
    position: string
    attempts: number
    error: unknown
  }
  'record-late': { task: string; topic: string; partition: number; position: string; behind: number }
  'record-expired': { task: string; topic: string; partition: number; position: string; behind: number }
  'record-withheld': { task: string; topic: string; partition: number; position: string; reason: string }
  'record-duplicate': { task: string; topic: string; partition: number; position: string }
  'records-lost': { task: string; topic: string; partition: number; producer: string; from: number; to: number }
  /** A sink could not write a batch, and tries again. */
  'write-retried': { task: string; records: number; attempt: number; error: unknown }
  /** A processor could not handle a batch, and tries again. */
  'batch-retried': { task: string; records: number; attempt: number; error: unknown }
  /** A destination has failed so often in a row that it is only probed from now on. */
  'circuit-opened': { stage: string; failures: number; error: unknown }
  'circuit-closed': { stage: string; milliseconds: number }
  'send-retried': { topic: string; partition: number; attempt: number; error: unknown }
  'receive-retried': { topics: readonly string[]; attempt: number; error: unknown }
  /** What a task of this process reports, with each report. Times are ms since the epoch, `-Infinity` and `Infinity` as elsewhere. */
  vitals: {
    task: string
    watermark: number
    pending: number
    failureRate: number
    lateRate: number
    counts: Readonly<Record<'processed' | 'emitted' | 'parked' | 'late' | 'expired' | 'duplicates' | 'lost', number>>
    heldBy: { readonly task: string; readonly cause: string; readonly since: number } | undefined
  }
  'vitals-lost': { topic: string; error: unknown }
  /** A run cannot start, because a broker or a store is away, and begins anew. */
  'start-retried': { pipeline: string; attempt: number; error: unknown }
  /** Rights that the run had are refused: it begins anew until they are back. */
  'run-interrupted': { pipeline: string; error: unknown }
  /** Nothing could run for so long: a handler or a library has kept the thread, or the machine was asleep. */
  'event-loop-blocked': { milliseconds: number }
}

const channels = new Map<string, ReturnType<typeof channel>>()

/**
 * Publishes on the `node:diagnostics_channel` named `tidemark:<event>`.
 *
 * @example
 * import { subscribe } from 'node:diagnostics_channel'
 * subscribe('tidemark:record-parked', event => logger.warn(event))
 */
export function diagnose<Event extends keyof Diagnostics>(event: Event, details: Diagnostics[Event]): void {
  let known = channels.get(event)
  if (!known) channels.set(event, (known = channel(`tidemark:${event}`)))
  if (known.hasSubscribers) known.publish(details)
}

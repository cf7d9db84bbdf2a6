import type { Counts, Holder, Trouble } from '../watermark/index.ts'

/**
 * `joining`: announced, has not begun. `silent`: its reports are overdue: it is dead, or cut off. `ended`: it has come to the end of its
 * inputs, for good. `left`: a plain producer that was closed.
 */
export type LifeState = 'joining' | 'active' | 'silent' | 'ended' | 'left'

/** A task, or a process with a plain producer. */
export interface TaskState {
  /** `pipeline/stage/partition`, of a source `pipeline/stage/split`, of a plain producer `producer/<id>`. */
  readonly task: string
  readonly state: LifeState
  /** Of its inputs; of a source and a plain producer its own promise. ms, `-Infinity` while unknown, `Infinity` at the end. */
  readonly watermark: number
  /** Who holds that watermark back, any number of hops away; `undefined` while nobody does. */
  readonly heldBy: Holder | undefined
  /** Records that its producers have committed and that it has not processed. */
  readonly pending: number
  readonly failureRate: number
  readonly lateRate: number
  readonly counts: Counts
  /** When it was last heard, ms since the epoch by the clock here; what was said before this watcher came, by its own clock. */
  readonly heardAt: number
}

/** All tasks of a stage that have been heard. */
export interface StageState {
  /** `pipeline/stage`, or the name of a plain producer. */
  readonly stage: string
  /** `silent` when one of its tasks is, else `joining`, `active`, `left`, and `ended` when all have. */
  readonly state: LifeState
  readonly tasks: readonly TaskState[]
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  /** The lowest of its tasks. */
  readonly watermark: number
  /** Who holds that one. */
  readonly heldBy: Holder | undefined
  readonly pending: number
  /** Of its worst task. */
  readonly failureRate: number
  readonly lateRate: number
  /** Of all its tasks. */
  readonly counts: Counts
}

/**
 * What has become, at one stage, of the records of one topic whose event time is in one span:
 * `sent = processed + late + expired + parked + open`. Each record counts once.
 */
export interface Receipt {
  readonly topic: string
  /** Who reads it. */
  readonly stage: string
  /** Event time, ms since the epoch: from `start`, up to `end` and without it. */
  readonly start: number
  readonly end: number
  readonly sent: number
  /** In time. */
  readonly processed: number
  /** Processed behind the watermark. */
  readonly late: number
  /** Too late to be of use. */
  readonly expired: number
  readonly parked: number
  /** On their way, or lost. Below 0 while what the reader says is newer than what the sender says. */
  readonly open: number
  /**
   * `complete`: the watermark of the stage is past the end, and every record is accounted for. `short`: it is past the end, and
   * records are missing. `unknown`: somebody does not count, or has stopped counting before he was heard.
   */
  readonly state: 'open' | 'complete' | 'short' | 'unknown'
}

/** What should be there, and is not. */
export type Alert =
  /** A stage that was there: some or all of its tasks are silent. */
  | { readonly kind: 'silent'; readonly stage: string; readonly tasks: readonly string[]; readonly since: number }
  /** A stage that was to be there, and has never been heard. */
  | { readonly kind: 'absent'; readonly stage: string; readonly since: number }
  /** The broker of the vitals does not answer: of those who report there nothing is known. */
  | { readonly kind: 'unreachable'; readonly broker: string; readonly since: number; readonly error: string }
  /** A span of event time is over, and records of it are missing. */
  | { readonly kind: 'short'; readonly receipt: Receipt; readonly since: number }

/** What is known at one moment. */
export interface Snapshot {
  /** ms since the epoch, by the clock here. */
  readonly at: number
  /** In order of their names. */
  readonly stages: readonly StageState[]
  /** What is wrong, and with whom, the worst first. */
  readonly troubles: readonly Trouble[]
  readonly alerts: readonly Alert[]
  /** By topic, stage and time. */
  readonly receipts: readonly Receipt[]
  /** Records of the vitals topics that were none that this release reads, since the start. */
  readonly malformed: number
  /** Tasks and producers that were forgotten because there are too many, since the start. */
  readonly forgotten: number
}

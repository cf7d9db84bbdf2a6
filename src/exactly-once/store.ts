import { uuidv7Bytes, type Environment } from '../core/environment.ts'
import type { OutgoingRecord, Position } from '../core/record.ts'
import type { TopicPartition } from '../spec/index.ts'
import type { StateRow, StoredState } from '../state/index.ts'
import type { Lease } from './leases.ts'

/** One commit of one task: everything that becomes durable together (law 2). */
export interface Commit {
  /** Counts from 1, dense. */
  readonly number: number
  readonly token: string
  /** Positions, trackers, sequences, watermarks, counts: see `head.ts`. */
  readonly head: Uint8Array
  /** Changed rows of state and timers, coalesced. */
  readonly state: readonly StateRow[]
  /** In order; stamped already. */
  readonly outputs: readonly OutgoingRecord[]
  /** Every output of commits up to here has been sent: the store may forget them. */
  readonly relayedTo: number
  /** What the inputs have processed, for stores that tell the broker's group in the same step. */
  readonly positions: readonly (TopicPartition & { readonly position: Position })[]
}

export interface LastCommit {
  readonly number: number
  readonly token: string
  readonly head: Uint8Array
}

/** Committed outputs that may not have been sent. */
export interface UnsentOutputs {
  readonly commit: number
  readonly outputs: readonly OutgoingRecord[]
}

export type AppendOutcome = 'ok' | 'fenced' | 'unknown'

/** `fenced`: a newer owner holds the task, whatever it has committed by now. */
export type ReadBack = 'fenced' | { readonly epoch: number; readonly last: LastCommit | undefined }

/** The log of one task, held under one epoch. Calls come one at a time. */
export interface TaskLog {
  readonly epoch: number
  readonly last: LastCommit | undefined
  /** Rows of state and timers as of `last`: all of them, read once, in recovery; or a reader, where rows are kept by key. */
  readonly state: StoredState
  /** Outputs of past commits to be sent again, in order. Empty when the store sends them itself. */
  readonly unsent: readonly UnsentOutputs[]
  /** The conditional write: takes effect only while this epoch is the newest and `number - 1` is the last commit. */
  append(commit: Commit): Promise<AppendOutcome>
  /** After `unknown`: settles the matter, under a new epoch where that needs one. */
  readBack(): Promise<ReadBack>
  /** Lets go. The task stays as it is in the store. */
  close(): Promise<void>
}

/** Where tasks commit. */
export interface CommitStore {
  /** `sqlite:./data/commits.db`: for messages. */
  readonly location: string
  /** Who may share it. Workers on several hosts need `network`. */
  readonly scope: 'process' | 'host' | 'network'
  /**
   * `relay`: outputs are kept in the commit and sent afterwards by the relay with their fixed stamps.
   * `atomic`: they become visible with the commit, in the same transaction of the broker.
   * `before`: they are sent before the commit, so that a crash between the two sends them again (at-least-once).
   */
  readonly outputs: 'relay' | 'atomic' | 'before'
  /** Raises the epoch of the task, which fences every earlier owner, then reads its last commit. */
  acquire(task: TaskName): Promise<TaskLog>
  /** Where `acquire` reads all of the state: what keeps most of it at hand, if that was asked for. */
  readonly standby?: Standby | undefined
  close(): Promise<void>
}

/** Keeps what was committed of tasks that others hold, so that taking one of them over is short. */
export interface Standby {
  /** From now on these, as long as they are not held through this store. */
  open(tasks: readonly TaskName[]): void
  close(): Promise<void>
}

/** `pipeline/stage/partition`, and where the pieces matter, the pieces. */
export interface TaskName {
  readonly id: string
  readonly pipeline: string
  readonly stage: string
  /** Input partition of a processor or sink, a hash of the split of a source. */
  readonly ordinal: number
}

/**
 * The table of leases, for tasks that no broker assigns. `scope` is what the leases are shared out in: a stage. A lease only
 * says when to try: the store's epoch fences. Every call is one conditional step, seen by all members at once. Rejects with
 * a `StreamError`, `retryable` when the store is busy or away: the members then go on as soon as it is back.
 */
export interface LeaseStore {
  /** All rows as of one moment. */
  leases(scope: string): Promise<readonly Lease[]>
  /**
   * Writes the owner if the row is still as `seen` (owner and beat), or still absent: a conditional write. Clears a wish,
   * counts the beat up.
   */
  take(scope: string, name: string, owner: string, seen: Lease | undefined): Promise<boolean>
  /** Counts up the beats of all rows that `owner` holds. */
  beat(scope: string, owner: string): Promise<void>
  /** Asks the owner, if there is one, to give it up. */
  ask(scope: string, name: string, by: string): Promise<void>
  /** Gives it back if it is `owner`'s. The row stays, and its beat counts up. */
  release(scope: string, name: string, owner: string): Promise<void>
  /** Deletes the row if it is still as `seen`: a member that is gone. Never a lease, whose beat must not begin again. */
  remove(scope: string, name: string, seen: Lease): Promise<void>
}

/** What a member must still hold for its positions to be stored. */
export interface Holding {
  readonly scope: string
  readonly owner: string
  readonly names: readonly string[]
}

/** What groups have processed, on brokers that keep no positions for them. */
export interface PositionStore {
  /** Position last processed per partition, `undefined` where none. */
  positions(group: string, topic: string): Promise<ReadonlyMap<number, Position>>
  /**
   * In one step, and with `holding` only while all of these leases are its owner's: else nothing is stored, and the answer
   * is false. What a member that was stopped has left must not undo what its successor has stored.
   */
  storePositions(
    group: string,
    positions: readonly (TopicPartition & { readonly position: Position })[],
    holding?: Holding
  ): Promise<boolean>
}

/** Everything that a client may keep in one store. */
export type ClientStore = CommitStore & LeaseStore & PositionStore

/** A token for one append, random: no two owners share one. */
export function commitToken(environment: Environment): string {
  return uuidv7Bytes(environment).toString('base64url')
}

import { sizeOf } from '../../core/record.ts'
import type { FeedStart, Subscriber } from './cursor.ts'
import { comparePlaces, type Progress } from './positions.ts'
import type { ShardBatch, ShardRecord } from './shard-batch.ts'
import type { Shard } from './shards.ts'

/** What a branch tells its reader. */
export interface BranchListener {
  /** Nothing can be missing any more. */
  readonly isTrusted: boolean
  readonly room: number
  arrived(branch: Branch, records: readonly ShardRecord[], bytes: number): void
  /** Something but records has changed. */
  changed(): void
  ended(branch: Branch): void
  failed(error: unknown): void
}

/** One shard, for the reader of one partition: passes on what is new and belongs to the partition. */
export class Branch implements Subscriber {
  readonly shard: Shard
  readonly partition: number
  /**
   * The place to go on from was not found: records of this partition that are there now may have others before them that are
   * gone. Until the end of the shard was seen.
   */
  suspect: boolean
  /** When the last look was asked that found the end of the shard, monotonic ms. */
  endSeenAt: number = -Infinity
  /** Ms behind the newest record of the shard. */
  behind: number | undefined
  readonly #listener: BranchListener
  #after: Progress | undefined
  /** The record that should still be there. */
  #expected: string | undefined

  constructor(
    shard: Shard,
    partition: number,
    progress: Progress | undefined,
    suspect: boolean,
    listener: BranchListener
  ) {
    this.shard = shard
    this.partition = partition
    this.suspect = suspect
    this.#after = progress
    this.#expected = progress && 'sequence' in progress ? progress.sequence : undefined
    this.#listener = listener
  }

  get room(): number {
    return this.#listener.room
  }

  /** Where to begin. @param now ms since the epoch; Kinesis refuses a time to come */
  start(now: number): FeedStart {
    const after = this.#after
    if (!after) return { kind: 'horizon' }
    if ('time' in after) return { kind: 'time', time: Math.min(after.time, now) }
    return { kind: 'at', sequence: after.sequence }
  }

  offer(batch: ShardBatch, wanted: ReadonlySet<number>): number {
    if (this.#expected !== undefined) {
      const first = batch.firstFrom(this.#expected)
      if (first !== undefined) {
        this.suspect ||= !this.#listener.isTrusted && first !== this.#expected
        this.#expected = undefined
      }
    }
    const all = batch.of(this.partition, wanted)
    const records = this.#isNew(all[0]) ? all : all.filter(record => this.#isNew(record))
    const last = records.at(-1)
    let bytes = 0
    if (last) {
      this.#after = last
      for (const { content } of records) bytes += sizeOf(content)
      this.#listener.arrived(this, records, bytes)
    }
    this.behind = batch.behind
    if (batch.behind === 0 && batch.asked > -Infinity) {
      this.endSeenAt = batch.asked
      this.suspect = false
    }
    this.#listener.changed()
    return bytes
  }

  ended(): void {
    this.#listener.ended(this)
  }

  missing(): void {
    this.#expected = undefined
    this.suspect = !this.#listener.isTrusted
  }

  failed(error: unknown): void {
    this.#listener.failed(error)
  }

  #isNew(record: ShardRecord | undefined): boolean {
    const after = this.#after
    if (!record || !after) return true
    return 'time' in after ? record.arrived >= after.time : comparePlaces(record, after) > 0
  }
}

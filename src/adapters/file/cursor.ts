import type { Position, RawRecord } from '../../core/record.ts'
import type { StartAt, TopicPartition } from '../../spec/index.ts'
import type { FileConnection, TopicRow } from './client.ts'
import { fileError } from './errors.ts'
import { StoredBatch } from './records.ts'
import { readFrom, type BatchRow } from './schema.ts'

export interface CursorRead {
  readonly records: readonly RawRecord[]
  readonly bytes: number
  /** Offsets behind the last record: as many records, or fewer where some were compacted away. */
  readonly behind: number
}

/** A place in one partition that reads on from there. Holds at most the batch that it is in the middle of. */
export class Cursor implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly topicId: number
  readonly #connection: FileConnection
  readonly #row: TopicRow
  /** Offset of the next record; `undefined` until it is started. */
  #next: number | undefined
  #batch: StoredBatch | undefined
  #paused = false

  constructor(connection: FileConnection, row: TopicRow, partition: number) {
    this.#connection = connection
    this.#row = row
    this.topic = row.name
    this.topicId = row.id
    this.partition = partition
  }

  get paused(): boolean {
    return this.#paused
  }

  /** A paused one holds nothing. */
  set paused(paused: boolean) {
    this.#paused = paused
    if (paused) this.#batch = undefined
  }

  /** In the middle of a batch, which it holds. */
  get inside(): boolean {
    return this.#batch !== undefined
  }

  /** Is there anything to read, when the log ends there? */
  isBehind(next: number): boolean {
    return this.#next !== undefined && this.#next < next
  }

  /** Throws `unknown-topic`, `position-lost`. */
  seek(at: StartAt): void {
    const next = this.#connection.snapshot(() => this.#offsetOf(at))
    this.#next = next
    this.#batch = undefined
  }

  /**
   * Within a snapshot: records from here on, up to `maxBytes` of them, at least one if there is one. When it is inside of
   * a batch, at most the rest of that. Throws `unknown-topic`, `position-lost`, `corrupt`.
   */
  read(maxBytes: number): CursorRead {
    const records: RawRecord[] = []
    if (this.#next === undefined) return { records, bytes: 0, behind: 0 }
    const { start, next: end } = this.#connection.ends(this.#row, this.partition)
    if (this.#next < start) throw this.#lost(this.#next - 1, start, end)
    if (this.#next >= end) return { records, bytes: 0, behind: 0 }
    let bytes = 0
    if (this.#batch) bytes = this.#readBatch(maxBytes, records)
    else {
      const rows = readFrom(this.#connection.sql, this.#row.id, this.partition, this.#next)
      for (const { base, last, data } of rows) {
        this.#batch = new StoredBatch(data, base, last)
        bytes += this.#readBatch(maxBytes - bytes, records)
        if (this.#batch) break
      }
      // All that is left has been read; what is missing has been compacted away.
      if (!this.#batch) this.#next = end
    }
    return { records, bytes, behind: end - this.#next }
  }

  #readBatch(maxBytes: number, into: RawRecord[]): number {
    const batch = this.#batch
    if (!batch) return 0
    const before = into.length
    const bytes = batch.read(this.#next!, maxBytes, into)
    if (batch.done) {
      // Further than the last record, if there is a hole at the end of the batch.
      this.#next = batch.last + 1
      this.#batch = undefined
    } else if (into.length > before) this.#next = Number(into.at(-1)!.position) + 1
    return bytes
  }

  #offsetOf(at: StartAt): number {
    const { start, next } = this.#connection.ends(this.#row, this.partition)
    if (at === 'earliest') return start
    if (at === 'latest') return next
    if ('time' in at) return this.#since(at.time) ?? next
    const offset = parsePosition(at.after)
    // Ahead of the end: the log is not the one that gave the position, and records to come would be skipped.
    if (offset + 1 < start || offset >= next) throw this.#lost(offset, start, next)
    return offset + 1
  }

  /** The first record of that time or later. */
  #since(time: number): number | undefined {
    const row = this.#connection.sql.firstSince.get(this.#row.id, this.partition, time) as
      | Pick<BatchRow, 'base' | 'data'>
      | undefined
    if (!row) return undefined
    const records: RawRecord[] = []
    new StoredBatch(row.data, row.base, row.base).read(0, Infinity, records)
    const found = records.find(record => record.timestamp >= time)
    return found && Number(found.position)
  }

  #lost(offset: number, start: number, next: number): Error {
    const what = `position ${offset} of ${this.topic}/${this.partition} is not in the log any more`
    const kept = start === next ? 'which is empty' : `which has ${start} to ${next - 1}`
    return fileError('position-lost', `${what}, ${kept}: seek to 'earliest' to go on with what is left`)
  }
}

/** Throws `bad-config`: positions come from users, too. */
export function parsePosition(position: Position): number {
  const offset = Number(position)
  if (/^\d{1,16}$/.test(position) && Number.isSafeInteger(offset)) return offset
  throw fileError(
    'bad-config',
    `'${position}' is no position of the file adapter: it is the offset of the record last processed`
  )
}

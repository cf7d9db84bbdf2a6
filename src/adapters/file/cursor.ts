import type { RawRecord } from '../../core/record.ts'
import type { StartAt, TopicPartition } from '../../spec/index.ts'
import type { FileConnection, TopicRow } from './client.ts'
import { fileError } from './errors.ts'
import { decodeBatch } from './records.ts'

/** A place in one partition that reads on from there. Holds no records. */
export class Cursor implements TopicPartition {
  readonly topic: string
  readonly partition: number
  /** Offset of the next record; `undefined` until it is started. */
  next: number | undefined
  paused: boolean = false
  readonly #connection: FileConnection
  readonly #row: TopicRow

  constructor(connection: FileConnection, topic: string, partition: number) {
    this.#connection = connection
    this.topic = topic
    this.partition = partition
    this.#row = connection.topic(topic)
    connection.ends(this.#row, partition)
  }

  /** Throws `position-lost` when the place has left retention. */
  seek(at: StartAt): void {
    const { start, next } = this.#connection.ends(this.#row, this.partition)
    if (at === 'earliest') this.next = start
    else if (at === 'latest') this.next = next
    else if ('time' in at) this.next = this.#since(at.time, next)
    else {
      const after = parsePosition(at.after) + 1
      if (after < start)
        throw fileError('position-lost', `position ${at.after} of ${this.topic}/${this.partition} has left retention: the log starts at ${start}`)
      this.next = after
    }
  }

  /** Records from here on, at most about `maxBytes` of them (at least one), and how many are behind them. */
  read(maxBytes: number): { readonly records: RawRecord[]; readonly behind: number } {
    const records: RawRecord[] = []
    if (this.next === undefined) return { records, behind: 0 }
    const { start, next: end } = this.#connection.ends(this.#row, this.partition)
    if (this.next < start)
      throw fileError('position-lost', `offset ${this.next} of ${this.topic}/${this.partition} has left retention: the log starts at ${start}`)
    if (this.next >= end) return { records, behind: 0 }
    let bytes = 0
    let from = this.next
    const rows = this.#connection.sql.read.iterate(this.#row.id, this.partition, from, 256)
    for (const row of rows as Iterable<{ base: number; last: number; data: Uint8Array }>) {
      let whole = true
      decodeBatch(row.data, row.base, from, (record, offset) => {
        records.push(record)
        from = offset + 1
        bytes += (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0) + 96
        whole = bytes < maxBytes
        return whole
      })
      // A compacted batch may end in a hole.
      if (whole) from = row.last + 1
      if (bytes >= maxBytes) break
    }
    this.next = from
    return { records, behind: Math.max(0, end - from) }
  }

  #since(time: number, end: number): number {
    const row = this.#connection.sql.firstSince.get(this.#row.id, this.partition, time) as { base: number; data: Uint8Array } | undefined
    let found = end
    if (row)
      decodeBatch(row.data, row.base, 0, (record, offset) => {
        if (record.timestamp < time) return true
        found = offset
        return false
      })
    return found
  }
}

/** Throws `bad-config`: positions come from users, too. */
export function parsePosition(position: string): number {
  const offset = Number(position)
  if (/^\d{1,16}$/.test(position) && Number.isSafeInteger(offset)) return offset
  throw fileError('bad-config', `'${position}' is no position of the file adapter: it is the offset of the record last processed`)
}

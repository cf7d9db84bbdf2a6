import type { Timer } from '../../core/environment.ts'
import type { RawRecord } from '../../core/record.ts'
import type { Ends, FileConnection, TopicRow } from './client.ts'
import { readFrom, type BatchRow } from './schema.ts'
import { encodeBatch, StoredBatch, storedSize } from './records.ts'

/** Bytes that one step reads or rewrites, about: between two steps the process does other work, and others write. */
const stepBytes = 2 * 1024 * 1024

/** Bytes of keys that are held at once, about: more are compacted in several rounds. */
const keyBytes = 64 * 1024 * 1024

interface Place {
  readonly topic: TopicRow
  readonly partition: number
}

/**
 * Keeps the last record of each key of compacted topics, in the background, after appends of this process. Offsets stay,
 * and have holes then. Records without a key stay. A step drops only records for which a later one of their key exists;
 * so several processes may compact a partition at once, and a crash between steps leaves it whole.
 */
export class Compactor {
  readonly #connection: FileConnection
  readonly #waiting = new Map<string, Place>()
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #closed = false

  constructor(connection: FileConnection) {
    this.#connection = connection
  }

  /** Within a transaction: is it time for this partition? */
  consider(topic: TopicRow, partition: number): void {
    if (this.#closed || !this.#isDue(this.#connection.ends(topic, partition))) return
    this.#waiting.set(`${topic.id} ${partition}`, { topic, partition })
    this.#timer ??= this.#connection.environment.timer(0, () => (this.#running ??= this.#run()), true)
  }

  /** Ends after the step under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#running
  }

  /** Half of it is new: so no record is rewritten more than about twice in the mean. */
  #isDue({ bytes, dirty }: Ends): boolean {
    return dirty >= this.#connection.settings.compactAfter && dirty >= bytes - dirty
  }

  async #run(): Promise<void> {
    for (const [key, place] of this.#waiting) {
      this.#waiting.delete(key)
      try {
        while (await this.#compact(place));
      } catch {
        // The topic is gone, or the lock is held, or the disk is full: the next append of the partition tries again.
      }
    }
    this.#timer = undefined
    this.#running = undefined
  }

  /** One round. True when another is due. */
  async #compact({ topic, partition }: Place): Promise<boolean> {
    const connection = this.#connection
    const { clean } = connection.snapshot(() => connection.ends(topic, partition))
    const newest = new Map<string, number>()
    const end = await this.#collectKeys(topic, partition, clean, newest)
    let at = 0
    while (at < end && !this.#closed) {
      const from = at
      at = await connection.transaction(() => this.#rewrite(topic, partition, from, end, newest), { durable: false })
      await connection.environment.turn()
    }
    if (this.#closed) return false
    return connection.transaction(
      () => {
        this.#markClean(topic, partition, end)
        return this.#isDue(connection.ends(topic, partition))
      },
      { durable: false }
    )
  }

  /** The last offset of each key of what is new; returns the offset up to which that is known. */
  async #collectKeys(topic: TopicRow, partition: number, from: number, newest: Map<string, number>): Promise<number> {
    let at = from
    let bytes = 0
    while (bytes < keyBytes && !this.#closed) {
      const rows = this.#connection.snapshot(() => this.#batches(topic, partition, at, Infinity))
      for (const row of rows) {
        for (const { key, position } of recordsOf(row)) {
          if (key === null) continue
          const name = nameOf(key)
          if (!newest.has(name)) bytes += name.length + 64
          newest.set(name, Number(position))
        }
        at = row.last + 1
      }
      if (rows.length === 0) break
      await this.#connection.environment.turn()
    }
    return at
  }

  /** Replaces some batches by one that has what is left of them; returns where to go on. */
  #rewrite(topic: TopicRow, partition: number, from: number, end: number, newest: ReadonlyMap<string, number>): number {
    const { sql } = this.#connection
    const rows = this.#batches(topic, partition, from, end)
    const kept: RawRecord[] = []
    let size = 0
    let dropped = 0
    for (const row of rows) {
      for (const record of recordsOf(row)) {
        if (record.key !== null && Number(record.position) < (newest.get(nameOf(record.key)) ?? 0)) {
          dropped++
          continue
        }
        kept.push(record)
        size += storedSize(record)
      }
    }
    const next = rows.length === 0 ? end : rows.at(-1)!.last + 1
    // Nothing to win: neither fewer records nor fewer, larger rows.
    if (rows.length === 0 || (dropped === 0 && size / rows.length > stepBytes / 16)) return next
    for (const row of rows) sql.dropBatch.run(row.id)
    const before = rows.reduce((bytes, row) => bytes + row.size, 0)
    if (kept.length === 0) {
      sql.resize.run(-before, topic.id, partition)
      return next
    }
    const base = Number(kept[0]!.position)
    const last = Number(kept.at(-1)!.position)
    const latest = rows.reduce((time, row) => Math.max(time, row.newest), -Infinity)
    const written = rows.reduce((time, row) => Math.max(time, row.written), -Infinity)
    const data = encodeBatch(kept, size, index => Number(kept[index]!.position) - base)
    sql.append.run(topic.id, partition, base, last, latest, written, data.length, data)
    sql.resize.run(data.length - before, topic.id, partition)
    return next
  }

  #markClean(topic: TopicRow, partition: number, end: number): void {
    const { sql } = this.#connection
    const clean = Math.max(end, this.#connection.ends(topic, partition).clean)
    const { bytes } = sql.bytesFrom.get(topic.id, partition, clean) as { bytes: number }
    sql.markClean.run(clean, bytes, topic.id, partition)
  }

  /** Batches from an offset on that are in front of `end`: about a step, at least one. */
  #batches(topic: TopicRow, partition: number, from: number, end: number): BatchRow[] {
    const rows: BatchRow[] = []
    let bytes = 0
    for (const batch of readFrom(this.#connection.sql, topic.id, partition, from)) {
      if (batch.base >= end || (rows.length > 0 && bytes + batch.size > stepBytes)) break
      if (batch.last - (rows[0] ?? batch).base > 0xffffffff) break
      rows.push(batch)
      bytes += batch.size
    }
    return rows
  }
}

function recordsOf({ data, base, last }: BatchRow): RawRecord[] {
  const records: RawRecord[] = []
  new StoredBatch(data, base, last).read(0, Infinity, records)
  return records
}

/** The cheapest thing of the same bytes that a map takes. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

import { sizeOf, type OutgoingRecord, type Position, type RawRecord } from '../../core/record.ts'
import type { StartAt } from '../../spec/index.ts'
import { memoryError } from './errors.ts'
import type { Waiter } from './waiters.ts'

/** Most records of one slice: enough to make the cost of a call vanish, few enough to keep a receive short. */
const sliceRecords = 4096

/** One partition: an array of records, and who wants to know of new ones. Offsets are dense from 0. */
export class PartitionLog {
  readonly topic: string
  readonly partition: number
  readonly #records: RawRecord[] = []
  /** Offset of the first record that is still there. */
  #base = 0
  readonly #readers = new Set<Waiter>()
  /** Transactions that were left open by a fault and hold records for this partition. */
  openTransactions = 0

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** Offset of the oldest record. */
  get start(): number {
    return this.#base
  }

  /** Offset of the next record. */
  get end(): number {
    return this.#base + this.#records.length
  }

  /** Returns the position. Readers are not woken: `wake` does that, once per batch. */
  append(record: OutgoingRecord): Position {
    const position = String(this.#base + this.#records.length)
    const { key, value, headers, stamp, timestamp } = record
    this.#records.push({ position, key, value, headers, stamp, timestamp })
    return position
  }

  /** Records from offset `from` (or the oldest) that fit `maxBytes`; with `atLeastOne` the first fits always. */
  slice(
    from: number,
    maxBytes: number,
    atLeastOne: boolean
  ): { readonly records: RawRecord[]; readonly bytes: number } {
    const first = Math.max(0, from - this.#base)
    const last = Math.min(this.#records.length, first + sliceRecords)
    let bytes = 0
    let index = first
    while (index < last) {
      const size = sizeOf(this.#records[index]!)
      if (bytes + size > maxBytes && !(atLeastOne && index === first)) break
      bytes += size
      index++
    }
    return { records: this.#records.slice(first, index), bytes }
  }

  /** Offset of the next record to read. Throws `position-lost`. */
  offsetOf(at: StartAt): number {
    if (at === 'earliest') return this.#base
    if (at === 'latest') return this.end
    if ('time' in at) {
      const index = this.#records.findIndex(record => record.timestamp >= at.time)
      return index < 0 ? this.end : this.#base + index
    }
    const next = parsePosition(at.after) + 1
    if (next >= this.#base && next <= this.end) return next
    const where = `position ${at.after} of ${this.topic}/${this.partition}`
    throw memoryError('position-lost', `${where} is outside of what is kept, ${this.#base} to ${this.end - 1}`)
  }

  /** Forgets everything before the offset, as retention would. */
  truncate(before: number): void {
    const dropped = Math.min(before, this.end) - this.#base
    if (dropped <= 0) return
    this.#records.splice(0, dropped)
    this.#base += dropped
  }

  subscribe(reader: Waiter): void {
    this.#readers.add(reader)
  }

  unsubscribe(reader: Waiter): void {
    this.#readers.delete(reader)
  }

  wake(): void {
    for (const reader of this.#readers) reader.wake()
  }
}

export function parsePosition(position: Position): number {
  if (!/^\d+$/.test(position)) throw memoryError('corrupt', `'${position}' is no position of a memory broker`)
  return Number(position)
}

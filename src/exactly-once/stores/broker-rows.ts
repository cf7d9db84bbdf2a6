import { view } from '../../core/codec.ts'
import { headerText, type Position, type RawRecord } from '../../core/record.ts'
import type { StateRow } from '../../state/index.ts'
import type { LastCommit } from '../store.ts'

/** What a row takes beside its bytes, about. */
const rowBytes = 120

/**
 * What the records of one task in its changelog come to: the rows of the last commit and its head, read in the order of the
 * partition. Records are keyed `task 0x00 h` (head) and `task 0x00 s slot 0x00 key` (state).
 */
export class ChangelogRows {
  last: LastCommit | undefined
  /** In memory, about. */
  bytes: number = 0
  /** Records of the partition that were read. */
  records: number = 0
  /** Of the last of them. */
  position: Position | undefined
  /** Of the record before the last head: who reads on behind it meets that head first. */
  anchor: Position | undefined
  /** A head did not follow the one before it: what is here and what was read last are not of one chain. */
  torn: boolean = false
  #linked = false
  #confirmed = false
  /** Of a commit whose head has yet to come, while heads are expected to follow each other: it may be lost before that. */
  #pending: StateRow[] = []
  readonly #prefix: Buffer
  readonly #lasts: boolean
  /** Rows by the encoded name of their slot, then by key. Text is one byte per character. */
  readonly #slots = new Map<string, Map<string, Uint8Array | string>>()

  /** @param lasts it is kept for long: values are copied, which otherwise keep all that was fetched with them */
  constructor(task: string, lasts: boolean = false) {
    this.#prefix = Buffer.from(`${task}\0`, 'utf8')
    this.#lasts = lasts
  }

  /** The last commit was met since `expectLast`. */
  get confirmed(): boolean {
    return this.#confirmed && !this.torn
  }

  /**
   * From now on every head must name the one before it. A log that was read to its end leaves none out: compaction cannot have come by,
   * or whoever reads was away for so long that it must begin anew.
   */
  expectLinks(): void {
    this.#linked = true
  }

  /** The next head must be the last one, once more, or name it. */
  expectLast(): void {
    this.#linked = true
    this.#confirmed = false
    this.#pending = []
  }

  apply(record: RawRecord): void {
    const before = this.position
    this.position = record.position
    this.records++
    if (record.key === null) return
    const key = view(record.key)
    const start = this.#prefix.length
    if (key.length <= start || this.#prefix.compare(key, 0, start) !== 0) return
    if (key[start] === 0x68 /* h */) return this.#head(record, before)
    const end = key.indexOf(0, start)
    const place = { slot: key.toString('latin1', start + 1, end), key: key.toString('latin1', end + 1) }
    if (this.#linked) this.#pending.push({ ...place, value: record.value })
    else this.#row({ ...place, value: record.value })
  }

  *rows(): Iterable<StateRow> {
    for (const [encoded, rows] of this.#slots) {
      const slot = decodeURIComponent(encoded)
      for (const [key, value] of rows)
        yield { slot, key, value: typeof value === 'string' ? Buffer.from(value, 'latin1') : value }
    }
  }

  #head({ value, headers }: RawRecord, before: Position | undefined): void {
    if (value === null) return
    const number = Number(headerText(headers, 'number'))
    const token = headerText(headers, 'token') ?? ''
    if (this.#linked) {
      const isLast = number === this.last?.number && token === this.last.token
      const follows = number === (this.last?.number ?? NaN) + 1 && headerText(headers, 'previous') === this.last?.token
      if (!isLast && !follows) this.torn = true
      this.#confirmed = true
      for (const row of this.#pending) this.#row(row)
      this.#pending = []
    }
    this.last = { number, token, head: this.#lasts ? Buffer.from(value) : value }
    this.anchor = before
  }

  #row({ slot, key, value }: StateRow): void {
    let rows = this.#slots.get(slot)
    if (!rows) this.#slots.set(slot, (rows = new Map()))
    const before = rows.get(key)
    if (before !== undefined) this.bytes -= before.length + key.length + rowBytes
    if (value === null) rows.delete(key)
    else {
      rows.set(key, this.#lasts ? view(value).toString('latin1') : value)
      this.bytes += value.length + key.length + rowBytes
    }
  }
}

import { IntervalSet } from './intervals.ts'

/** JSON form, part of the commit record. `-Infinity` is `null`, `+Infinity` is `'end'`. */
export interface ProducerSnapshot {
  readonly high: number
  /** A task: it comes back after a crash. */
  readonly durable?: boolean
  /** Nothing came of it since then, ms since the epoch. */
  readonly silent?: number
  readonly beyond?: readonly number[]
  readonly watermark: TimeSnapshot
  readonly pending?: readonly (readonly [sequence: number, watermark: TimeSnapshot])[]
}

export type TimeSnapshot = number | 'end' | null

export const toSnapshot = (time: number): TimeSnapshot => (time === Infinity ? 'end' : time === -Infinity ? null : time)
export const fromSnapshot = (time: TimeSnapshot): number => (time === 'end' ? Infinity : (time ?? -Infinity))

/** Most watermarks that are kept while a reader lags behind. */
const mostPending = 64

/** Mostly there are none, and there is one list for each producer and partition: those share it. Never written to. */
const none: (readonly [sequence: number, watermark: number])[] = []

/**
 * How much of one producer one partition's reader has processed, and what that lets it conclude about time:
 * `watermark = max { W(n) : every sequence <= n is processed }` (protocol 3.2).
 */
export class ProducerProgress {
  /** Every sequence up to here is processed. */
  high: number
  watermark: number
  durable: boolean
  /** Something came of it since the last look. */
  heard: boolean = false
  /** Nothing came of it since then, ms since the epoch. */
  silentSince: number | undefined
  /** Processed ones above a gap; only unordered channels fill it. */
  readonly beyond: IntervalSet
  /** Watermarks that wait for the sequences up to theirs: a staircase, each step with a higher sequence and watermark. */
  #pending: (readonly [sequence: number, watermark: number])[]
  /** Nothing up to here is waited for any more. Says nothing of what is processed. */
  #waived = 0
  /** What comes behind `high` is missing, since when: monotonic ms of this life. */
  #gap: { readonly high: number; readonly since: number } | undefined

  constructor(snapshot: ProducerSnapshot = { high: 0, watermark: null }) {
    this.high = snapshot.high
    this.watermark = fromSnapshot(snapshot.watermark)
    this.durable = snapshot.durable === true
    this.silentSince = snapshot.silent
    this.beyond = new IntervalSet(snapshot.beyond)
    this.#pending = snapshot.pending?.map(([sequence, time]) => [sequence, fromSnapshot(time)] as const) ?? none
  }

  has(sequence: number): boolean {
    return sequence <= this.high || (!this.beyond.empty && this.beyond.has(sequence))
  }

  /** `sequence` is processed. True when the watermark rose. */
  processed(sequence: number, watermark: number | undefined): boolean {
    this.heard = true
    if (sequence === this.high + 1) {
      this.high = sequence
      if (!this.beyond.empty) this.high = this.beyond.takeFrom(sequence + 1) ?? sequence
    } else if (sequence > this.high) this.beyond.add(sequence)
    return watermark === undefined ? this.#settle() : this.promise(sequence, watermark)
  }

  /** The producer says, in a stamp or in its vitals: beyond `sequence`, nothing before `watermark`. True when ours rose. */
  promise(sequence: number, watermark: number): boolean {
    if (watermark > this.watermark) this.#wait(sequence, watermark)
    return this.#settle()
  }

  /** Waits for nothing up to `sequence` any more: it is not there to be read. Should it come all the same, it is late. */
  waive(sequence: number): boolean {
    if (sequence <= this.#waived) return false
    this.#waived = sequence
    return this.#settle()
  }

  /** How many records up to `sequence` are still to be processed here. */
  waiting(sequence: number): number {
    const missing = sequence - Math.max(this.high, this.#waived)
    return missing <= 0 ? 0 : Math.max(0, missing - (this.beyond.empty ? 0 : this.beyond.count))
  }

  /** Gives up on everything below `sequence`: a gap that is known to stay. */
  skipTo(sequence: number): void {
    if (sequence > this.high) this.high = sequence
    for (let end; (end = this.beyond.takeFrom(this.high + 1)) !== undefined;) this.high = end
  }

  /**
   * Gives up what has been missing for `after` ms, as seen here: from then on it counts as processed.
   *
   * @param now monotonic ms
   */
  giveUp(now: number, after: number): { readonly from: number; readonly to: number } | undefined {
    const { first } = this.beyond
    if (first === undefined) return void (this.#gap = undefined)
    if (this.#gap?.high !== this.high) this.#gap = { high: this.high, since: now }
    if (now - this.#gap.since < after) return undefined
    const gap = { from: this.high + 1, to: first - 1 }
    this.skipTo(gap.to)
    this.#settle()
    return gap
  }

  snapshot(): ProducerSnapshot {
    return {
      high: this.high,
      watermark: toSnapshot(this.watermark),
      ...(this.durable && { durable: true }),
      ...(this.silentSince !== undefined && !this.heard && { silent: this.silentSince }),
      ...(!this.beyond.empty && { beyond: this.beyond.toJSON() }),
      ...(this.#pending.length > 0 && {
        pending: this.#pending.map(([sequence, time]) => [sequence, toSnapshot(time)] as const)
      })
    }
  }

  #wait(sequence: number, watermark: number): void {
    const pending = this.#pending
    // An array that grows takes room for sixteen more.
    if (pending.length === 0) {
      this.#pending = [[sequence, watermark]]
      return
    }
    let at = pending.length
    while (at > 0 && pending[at - 1]![0] > sequence) at--
    if (at > 0 && pending[at - 1]![1] >= watermark) return // an earlier step says as much
    let end = at
    while (end < pending.length && pending[end]![1] <= watermark) end++
    if (at > 0 && pending[at - 1]![0] === sequence) at--
    pending.splice(at, end - at, [sequence, watermark])
    // Bounded (protocol P7): a step that is left out makes the watermark rise later, never wrongly.
    if (pending.length > mostPending)
      this.#pending = pending.filter((_, index) => index % 2 === (pending.length - 1) % 2)
  }

  #settle(): boolean {
    const pending = this.#pending
    const reached = Math.max(this.high, this.#waived)
    let kept = 0
    while (kept < pending.length && pending[kept]![0] <= reached) kept++
    if (kept === 0) return false
    const risen = pending[kept - 1]![1]
    if (kept === pending.length) this.#pending = none
    else pending.splice(0, kept)
    if (risen <= this.watermark) return false
    this.watermark = risen
    return true
  }
}

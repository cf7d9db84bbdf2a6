import type { Interval } from './process-context.ts'

/** JSON form, part of the commit record: start -> records, parked ones. */
export type CompletionSnapshot = Readonly<Record<string, readonly [records: number, parked: number]>>

/** A time that nothing reaches. */
const never = Infinity

/**
 * The intervals of event time in which records have come and that are not over yet. As many as event times are out of order:
 * the watermark closes them. Pure.
 */
export class Completion {
  readonly #every: number
  readonly #open = new Map<number, [records: number, parked: number]>()
  /** End of the earliest. */
  #firstEnd = never

  constructor(every: number, snapshot: CompletionSnapshot = {}) {
    this.#every = every
    for (const [start, [records, parked]] of Object.entries(snapshot)) this.#open.set(Number(start), [records, parked])
    this.#findFirst()
  }

  /**
   * A record is done. One whose interval is over already is late, and opens it no more.
   *
   * @param watermark of the task, before the record
   */
  add(eventTime: number, isParked: boolean, watermark: number): void {
    const start = Math.floor(eventTime / this.#every) * this.#every
    let counts = this.#open.get(start)
    if (!counts) {
      const end = start + this.#every
      if (end <= watermark) return
      this.#open.set(start, (counts = [0, 0]))
      if (end < this.#firstEnd) this.#firstEnd = end
    }
    counts[isParked ? 1 : 0]++
  }

  /** The earliest that is over. */
  due(watermark: number): Interval | undefined {
    if (this.#firstEnd > watermark || this.#firstEnd === never) return undefined
    const start = this.#firstEnd - this.#every
    const [records, parked] = this.#open.get(start)!
    return { start, end: this.#firstEnd, records, parked }
  }

  /** It has been told. */
  close({ start }: Interval): void {
    this.#open.delete(start)
    this.#findFirst()
  }

  snapshot(): CompletionSnapshot {
    return Object.fromEntries([...this.#open].map(([start, [records, parked]]) => [start, [records, parked]] as const))
  }

  #findFirst(): void {
    this.#firstEnd = never
    for (const start of this.#open.keys()) this.#firstEnd = Math.min(this.#firstEnd, start + this.#every)
  }
}

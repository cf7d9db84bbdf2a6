/** Most spans that are kept: older ones are final for all but the latest of records. */
export const mostSpans = 32

/** JSON form, part of the commit record and of the vitals. */
export interface TallySnapshot {
  /** Length of a span, ms of event time. Spans start at its multiples from 1970. */
  readonly every: number
  /** Records of spans that start before this are not counted any more. Absent: all are. */
  readonly from?: number
  /** Start of the span -> how many records of each column. */
  readonly spans: Readonly<Record<string, readonly number[]>>
}

/**
 * Counts records by spans of their event time: at the sender how many it has sent, at the reader what became of them. So the
 * two ends of a topic can be compared for one span, however late each of them hears of the other. Bounded, pure.
 */
export class Tally {
  readonly every: number
  readonly #columns: number
  readonly #spans = new Map<number, number[]>()
  #from: number
  #last: number[] | undefined
  #lastStart = NaN

  constructor(every: number, columns: number, snapshot?: TallySnapshot) {
    this.every = every
    this.#columns = columns
    this.#from = snapshot?.from ?? -Infinity
    if (!snapshot) return
    const spans = Object.entries(snapshot.spans).map(([start, counts]) => [Number(start), counts] as const)
    if (snapshot.every === every) for (const [start, counts] of spans) this.#spans.set(start, [...counts])
    else {
      // The topic was given another length: what was counted by the old one cannot be told apart, and is left out.
      const end = Math.max(this.#from, ...spans.map(([start]) => start + snapshot.every))
      this.#from = Math.ceil(end / every) * every
    }
  }

  /** @param by below 0 takes back */
  add(eventTime: number, column: number, by: number = 1): void {
    const { every } = this
    if (!(eventTime >= this.#lastStart && eventTime < this.#lastStart + every)) this.#turnTo(eventTime)
    if (this.#last) this.#last[column]! += by
  }

  snapshot(): TallySnapshot {
    const spans: Record<string, readonly number[]> = {}
    for (const [start, counts] of this.#spans) if (counts.some(count => count > 0)) spans[start] = [...counts]
    return { every: this.every, ...(Number.isFinite(this.#from) && { from: this.#from }), spans }
  }

  #turnTo(eventTime: number): void {
    const start = Math.floor(eventTime / this.every) * this.every
    this.#lastStart = start
    this.#last = undefined
    if (start < this.#from) return
    let counts = this.#spans.get(start)
    if (!counts) {
      counts = new Array<number>(this.#columns).fill(0)
      this.#spans.set(start, counts)
      if (this.#spans.size > mostSpans) this.#forgetOldest()
      if (start < this.#from) return
    }
    this.#last = counts
  }

  #forgetOldest(): void {
    const oldest = Math.min(...this.#spans.keys())
    this.#spans.delete(oldest)
    this.#from = Math.max(this.#from, oldest + this.every)
  }
}

/** Throws when it is none. It comes from a broker, and anybody may write there. */
export function decodeTally(raw: any, columns: number): TallySnapshot | undefined {
  if (raw === undefined || raw === null) return undefined
  const entries = Object.entries<any>(raw.spans ?? {})
  if (!(raw.every > 0) || entries.length > mostSpans) throw new Error('a tally')
  let exact = entries.length > 0
  for (const [start, counts] of entries) {
    if (!Number.isSafeInteger(Number(start)) || !Array.isArray(counts) || counts.length < columns)
      throw new Error('a span of a tally')
    for (const count of counts) if (!(Number.isSafeInteger(count) && count >= 0)) throw new Error('a count of a tally')
    exact &&= counts.length === columns
  }
  if (raw.from !== undefined && !Number.isFinite(raw.from)) throw new Error('the start of a tally')
  // A newer release may count more than we know of.
  const spans = exact ? (raw.spans ?? {}) : firstOf(entries, columns)
  return { every: raw.every, ...(raw.from !== undefined && { from: raw.from }), spans }
}

const firstOf = (
  entries: readonly [start: string, counts: number[]][],
  columns: number
): Record<string, readonly number[]> =>
  Object.fromEntries(entries.map(([start, counts]) => [start, counts.slice(0, columns)]))

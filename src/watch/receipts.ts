import { fates, stageOf, type TallySnapshot, type Vitals } from '../watermark/index.ts'
import type { Receipt } from './snapshot.ts'

/** Most spans of a topic that are remembered: twice what a task counts at a time. */
const mostSpans = 64
/** Most topics that are remembered, and most stages that read one. */
const mostTopics = 1_024
const mostReaders = 256
/** Most producers of a topic, or tasks of a reader, whose counts are remembered. */
const mostCounters = 4_096
/** A span that is over and short of records is called so after this long, ms: reports take their time. */
const patience = 5_000

/** One who counts: a producer what it has sent, a task what it has read. */
interface Counter {
  readonly spans: Map<number, readonly number[]>
  /** Spans before this were not counted to the end, as far as was heard. */
  exactFrom: number
}

interface Hop {
  every: number
  /** Nothing is known of spans that start before this. */
  from: number
  readonly senders: Map<string, Counter>
  /** Starts of all spans that anybody has counted. */
  readonly starts: Set<number>
  /** Stage -> task -> what it has read. */
  readonly readers: Map<string, Map<string, Counter>>
  /** Somebody sends without counting. */
  blind: boolean
}

/**
 * What both ends of every topic have counted, by spans of event time. Counts only ever grow: a report that comes again, late or in
 * another order takes nothing back. Pure and bounded.
 */
export class Receipts {
  readonly #hops = new Map<string, Hop>()
  /** Topic, stage and start of spans that are over and not accounted for -> since when, monotonic ms. */
  #waiting = new Map<string, number>()
  /** Those that were found complete: they stay so when nobody counts them any more. */
  #complete = new Set<string>()

  take({ task, producer, outputs, inputs, durable }: Vitals): void {
    for (const [topic, { sent, last }] of outputs) {
      const hop = this.#hop(topic, sent?.every)
      if (sent) this.#count(hop, hop.senders, producer, sent)
      else if (last.size > 0) hop.blind = true
    }
    for (const [topic, { read }] of inputs ?? []) {
      const hop = this.#hop(topic, read.every)
      let tasks = hop.readers.get(stageOf(task))
      if (!tasks) {
        hop.readers.set(stageOf(task), (tasks = new Map()))
        if (hop.readers.size > mostReaders) dropOldest(hop.readers)
      }
      // A life of a task that runs at least once counts from 0.
      this.#count(hop, tasks, durable ? task : producer, read)
    }
  }

  /** @param watermarkOf the lowest watermark of a stage */
  snapshot(
    watermarkOf: (stage: string) => number,
    monotonic: number
  ): { receipts: Receipt[]; short: Map<Receipt, number> } {
    const receipts: Receipt[] = []
    const short = new Map<Receipt, number>()
    const waiting = new Map<string, number>()
    const complete = new Set<string>()
    for (const [topic, hop] of [...this.#hops].sort(byName)) {
      const sent = sumOf(hop.senders, 1)
      for (const [stage, tasks] of [...hop.readers].sort(byName)) {
        const read = sumOf(tasks, fates.length)
        const starts = [...new Set([...sent.spans.keys(), ...read.spans.keys()])].sort((left, right) => left - right)
        for (const start of starts) {
          const end = start + hop.every
          const [sentCount = 0] = sent.spans.get(start) ?? []
          const [processed = 0, late = 0, expired = 0, parked = 0] = read.spans.get(start) ?? []
          const open = sentCount - processed - late - expired - parked
          const over = watermarkOf(stage) >= end
          const key = `${topic} ${stage} ${start}`
          const counts = { topic, stage, start, end, sent: sentCount, processed, late, expired, parked, open }
          const known = hop.senders.size > 0 && !hop.blind && start >= Math.max(sent.exactFrom, read.exactFrom)
          if (known && over && open === 0) complete.add(key)
          else if (!known && this.#complete.has(key) && open === 0) complete.add(key)
          if (complete.has(key)) receipts.push({ ...counts, state: 'complete' })
          else if (!known || !over) receipts.push({ ...counts, state: known ? 'open' : 'unknown' })
          else {
            const since = this.#waiting.get(key) ?? monotonic
            waiting.set(key, since)
            const late = monotonic - since >= patience
            // More than was sent: by foreign producers, or by tasks that run at least once and have done it again.
            const receipt: Receipt = { ...counts, state: !late ? 'open' : open > 0 ? 'short' : 'unknown' }
            receipts.push(receipt)
            if (receipt.state === 'short') short.set(receipt, since)
          }
        }
      }
    }
    this.#waiting = waiting
    this.#complete = complete
    return { receipts, short }
  }

  #hop(topic: string, every: number | undefined): Hop {
    let hop = this.#hops.get(topic)
    if (hop) this.#hops.delete(topic) // the last heard of is last
    else {
      hop = {
        every: every ?? 0,
        from: -Infinity,
        senders: new Map(),
        starts: new Set(),
        readers: new Map(),
        blind: false
      }
    }
    this.#hops.set(topic, hop)
    if (this.#hops.size > mostTopics) dropOldest(this.#hops)
    if (every !== undefined && hop.every === 0) hop.every = every
    return hop
  }

  #count(hop: Hop, counters: Map<string, Counter>, id: string, tally: TallySnapshot): void {
    let counter = counters.get(id)
    if (!counter) {
      counters.set(id, (counter = { spans: new Map(), exactFrom: -Infinity }))
      if (counters.size > mostCounters) forgetOne(counters)
    }
    if (tally.every !== hop.every) {
      counter.exactFrom = Infinity // the two ends count by different spans: they cannot be compared
      return
    }
    for (const [text, counts] of Object.entries(tally.spans)) {
      const start = Number(text)
      if (start < hop.from) continue
      const known = counter.spans.get(start)
      hop.starts.add(start)
      counter.spans.set(start, known ? counts.map((count, column) => Math.max(count, known[column] ?? 0)) : counts)
    }
    // What it has stopped counting may have grown since it was last heard of.
    if (tally.from !== undefined) counter.exactFrom = Math.max(counter.exactFrom, tally.from)
    prune(hop)
  }
}

/** Keeps the newest spans. */
function prune(hop: Hop): void {
  if (hop.starts.size <= mostSpans) return
  const kept = [...hop.starts].sort((left, right) => right - left).slice(0, mostSpans)
  hop.from = kept.at(-1)!
  for (const start of hop.starts) if (start < hop.from) hop.starts.delete(start)
  for (const counters of [hop.senders, ...hop.readers.values()])
    for (const { spans } of counters.values())
      for (const start of spans.keys()) if (start < hop.from) spans.delete(start)
}

/** The one that has counted nothing of late, else the oldest: what it had counted is then missing, and nobody may say otherwise. */
function forgetOne(counters: Map<string, Counter>): void {
  let [gone] = counters.keys()
  for (const [id, { spans }] of counters)
    if (spans.size === 0) {
      gone = id
      break
    }
  const { spans } = counters.get(gone!)!
  counters.delete(gone!)
  const latest = Math.max(-Infinity, ...spans.keys())
  for (const counter of counters.values()) counter.exactFrom = Math.max(counter.exactFrom, latest + 1)
}

function sumOf(counters: ReadonlyMap<string, Counter>, columns: number): Counter {
  const spans = new Map<number, number[]>()
  let exactFrom = -Infinity
  for (const counter of counters.values()) {
    exactFrom = Math.max(exactFrom, counter.exactFrom)
    for (const [start, counts] of counter.spans) {
      let sum = spans.get(start)
      if (!sum) spans.set(start, (sum = new Array<number>(columns).fill(0)))
      for (let column = 0; column < columns; column++) sum[column]! += counts[column] ?? 0
    }
  }
  return { spans, exactFrom }
}

function dropOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys()
  map.delete(oldest!)
}

const byName = ([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number =>
  left < right ? -1 : left > right ? 1 : 0

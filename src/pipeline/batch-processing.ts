import { isForAnother, prepareBatch } from '../broker/index.ts'
import { sleep } from '../core/environment.ts'
import { sizeOf, type RawRecord } from '../core/record.ts'
import { soonest } from '../core/signal.ts'
import type { Stamp } from '../core/stamp.ts'
import type { Tracing } from '../core/tracing.ts'
import type { BatchOutcome, Handled } from './batch-handler.ts'
import type { BatchSettings } from './batch-options.ts'
import { stampOf, type InputBatch, type PartitionInput } from './input.ts'
import { laneOf, type Waiting } from './retry-queue.ts'
import { goesOn, type FlowParts, type RecordFlow } from './sequential-processing.ts'
import { skipped } from './skips.ts'
import { traced } from './traced.ts'
import type { Unwritten, Work } from './work.ts'

export interface BatchParts extends FlowParts {
  readonly settings: BatchSettings
  readonly tracing: Tracing | undefined
}

/** A record of a batch. `held`: nobody knows before its turn whether it is to be handled at all. */
interface Item {
  readonly work: Work
  held: boolean
  /** It does not decode. */
  failure?: Unwritten
}

/**
 * Records of one task that its handler is called with many at a time. None of them is passed before the handler has come back: so
 * the watermark stays before the batch. What was made of them then becomes that of the task one after the other, in the order of
 * the input, as if each had been handled alone.
 */
export class BatchProcessing implements RecordFlow {
  readonly #parts: BatchParts
  #items: Item[] = []
  #ids = new Set<string>()
  #bytes = 0
  /** When the first of them came, monotonic ms. */
  #since = 0

  constructor(parts: BatchParts) {
    this.#parts = parts
  }

  get busy(): boolean {
    return this.#items.length > 0
  }

  /** So many records wait for another attempt that no more are taken. */
  get blocked(): boolean {
    return this.#parts.retries.queue.full
  }

  get retryIn(): number | undefined {
    const { retries, environment, settings } = this.#parts
    const isWaiting = this.busy && !this.blocked
    const wait = isWaiting ? Math.max(0, this.#since + settings.wait - environment.monotonic()) : undefined
    return soonest(wait, retries.nextIn())
  }

  mayFire(): boolean {
    return true
  }

  /** Takes as many as the batch has room for, and calls the handler when it is due: at most once. */
  async take(input: PartitionInput, { records, stamps }: InputBatch): Promise<InputBatch | undefined> {
    let index = 0
    for (; index < records.length && !this.#isFull(records[index]!); index++)
      this.#add(input, records[index]!, stamps[index])
    const rest = index < records.length ? { records: records.slice(index), stamps: stamps.slice(index) } : undefined
    if (rest || this.#isDue()) await this.#run()
    return rest
  }

  /** Tries again what is due, and calls the handler when its batch has waited long enough. */
  async turn(): Promise<void> {
    const due = await this.#dueAgain()
    if (due.length > 0 && !(await this.#handle(due))) return
    if (this.#isDue()) await this.#run()
  }

  async drain(): Promise<void> {}

  // ---- what is collected -------------------------------------------------------------------------------------------

  #isFull(next: RawRecord): boolean {
    const { records, bytes } = this.#parts.settings
    const { length } = this.#items
    return length >= records || (length > 0 && this.#bytes + sizeOf(next) > bytes)
  }

  #isDue(): boolean {
    const { settings, environment, inputs } = this.#parts
    if (!this.busy || this.blocked) return false
    if (this.#items.length >= settings.records || this.#bytes >= settings.bytes) return true
    if (settings.wait === 0) return !inputs.some(input => input.ready)
    return environment.monotonic() - this.#since >= settings.wait
  }

  #add(input: PartitionInput, raw: RawRecord, stamp: Stamp | undefined): void {
    const { retries, task, environment } = this.#parts
    if (!this.busy) this.#since = environment.monotonic()
    const work: Work = { input, raw, stamp, record: undefined, attempts: 0, waiting: undefined }
    const id = idOf(work)
    const isDoubtful = this.#ids.has(id) || input.isKnown(raw, stamp) || isForAnother(raw, task)
    const held = isDoubtful || input.isSkipped(raw, stamp) || retries.isBehind(work)
    this.#ids.add(id)
    this.#bytes += sizeOf(raw)
    this.#items.push(held ? { work, held } : decoded(work))
  }

  /** Records that were put aside: those that follow one of their key go with it. */
  async #dueAgain(): Promise<Item[]> {
    const { retries, environment, inputs, settings } = this.#parts
    const { queue } = retries
    const now = environment.monotonic()
    const taken = new Set<Waiting>()
    const items: Item[] = []
    let bytes = 0
    for (let waiting; (waiting = queue.due(now, each => taken.has(each))) && items.length < settings.records;) {
      const { topic, raw, attempts } = waiting
      const input = inputs.find(({ bound }) => bound.topic.name === topic)
      // The stage does not read that topic any more.
      if (!input) {
        queue.remove(waiting)
        continue
      }
      bytes += sizeOf(raw)
      if (items.length > 0 && bytes > settings.bytes) break
      taken.add(waiting)
      await prepareBatch(input.bound, [raw])
      items.push(decoded({ input, raw, stamp: stampOf(raw), record: undefined, attempts, waiting }))
    }
    return items
  }

  // ---- a batch -----------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const items = this.#items
    this.#items = []
    this.#ids.clear()
    this.#bytes = 0
    await this.#handle(items)
  }

  /** False when the task is to end before they are done. */
  #handle(items: readonly Item[]): Promise<boolean> {
    const { tracing, task, outputs } = this.#parts
    const all = async (): Promise<void> => {
      for (let rest = items; rest.length > 0;) rest = await this.#once(rest)
    }
    const handling = (): Promise<boolean> => goesOn(all(), this.#parts)
    if (!tracing) return handling()
    const { bound, partition } = items[0]!.work.input
    const headers = items.map(({ work }) => work.raw.headers)
    const span = { task, topic: bound.topic.name, partition, headers }
    return traced(tracing, span, outputs, handling)
  }

  /** Gives those that have to be handled again in their place. */
  async #once(items: readonly Item[]): Promise<readonly Item[]> {
    const { logic, context, ending, health, retries } = this.#parts
    const records = items.flatMap(({ work, held, failure }) => (held || failure ? [] : [work.record!]))
    const { handler, process } = logic.batch!
    const writing = { ending, failed: () => health.failed() }
    const outcome: BatchOutcome =
      records.length > 0 ? await handler.handle(process, records, context, writing) : new Map()
    const stuck = new Set<string>()
    for (const [index, item] of items.entries()) {
      const rest = await this.#next(item, outcome, stuck)
      if (rest !== 'done') return this.#again(items.slice(index), rest)
    }
    health.recovered(retries.queue.failingSince)
    return []
  }

  /** @param wait before it is tried again, ms; `undefined`: until there is room for those that are put aside */
  async #again(items: readonly Item[], wait: number | undefined): Promise<readonly Item[]> {
    if (wait !== undefined) {
      if (wait > 0) await sleep(this.#parts.environment, wait, this.#parts.ending)
      return items
    }
    this.#items = [...items, ...this.#items]
    for (const { work } of items) {
      this.#ids.add(idOf(work))
      this.#bytes += sizeOf(work.raw)
    }
    return []
  }

  /** Its turn has come. Else how long to wait before it is handled again, ms. */
  async #next(item: Item, outcome: BatchOutcome, stuck: Set<string>): Promise<'done' | number | undefined> {
    const { processing, retries, task, counts, health, passed } = this.#parts
    const { work } = item
    const { input, raw, stamp } = work
    if (work.waiting) {
      // Behind one that has failed again: it stays where it is.
      if (stuck.has(laneOf(raw))) return 'done'
      passed()
    } else {
      if (input.isRepeat(raw, stamp, task, counts)) {
        passed()
        if (!input.isBehind(raw)) input.position = raw.position
        return 'done'
      }
      if (retries.isBehind(work) && this.blocked) return undefined
      passed()
      if (isForAnother(raw, task)) return done(processing.repeat(work))
      if (input.isSkipped(raw, stamp)) return done(processing.park(work, skipped()))
      if (retries.isBehind(work)) return done(processing.putAside(work))
      if (item.held) {
        Object.assign(item, decoded(work))
        return 0
      }
    }
    const found = item.failure ?? outcome.get(work.record!)!
    const failure = 'error' in found ? found : await this.#settle(work, found)
    if (!failure) return 'done'
    health.failed()
    work.attempts += failure.attempts ?? 1
    const fate = retries.judge(work, failure.error)
    if (fate === 'again') return retries.waitFor(work.attempts, failure.error)
    if (fate === 'park') return done(processing.park(work, failure.error))
    stuck.add(laneOf(raw))
    return done(processing.putAside(work, failure.error))
  }

  /** What was made of it becomes that of the task; what its outputs fail with is its failure. */
  async #settle(work: Work, { entries, expired }: Handled): Promise<Unwritten | undefined> {
    const { outputs, processing, context } = this.#parts
    context.begin(work.raw.key, work.record)
    const mark = outputs.mark()
    try {
      const collecting = outputs.collect(entries, work.record!.eventTime)
      if (collecting) await collecting
    } catch (error) {
      outputs.rollback(mark)
      return { record: work.record, error }
    }
    const settling = processing.settle(work, expired)
    if (settling) await settling
    return undefined
  }
}

async function done(pending: Promise<void> | undefined): Promise<'done'> {
  if (pending) await pending
  return 'done'
}

function decoded(work: Work): Item {
  const { input, raw, stamp, waiting } = work
  try {
    work.record = input.decode(raw, stamp, waiting?.reached)
    return { work, held: false }
  } catch (error) {
    return { work, held: false, failure: { record: undefined, error } }
  }
}

function idOf({ input, raw: { identity, position }, stamp }: Work): string {
  const id = stamp && stamp.sequence > 0 ? `${stamp.producer}${stamp.sequence}` : (identity ?? position)
  return `${input.bound.topic.name} ${id}`
}

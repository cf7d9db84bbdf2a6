import { isForAnother, park, schemaOf } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { sleep, type Environment } from '../core/environment.ts'
import type { RawRecord, StreamRecord } from '../core/record.ts'
import type { Stamp } from '../core/stamp.ts'
import type { TaskLog } from '../exactly-once/index.ts'
import type { Completion } from './completion.ts'
import type { HandlerContext } from './handler-context.ts'
import type { MutableCounts, PartitionInput } from './input.ts'
import { isPromise, type Logic } from './logic.ts'
import type { OutputBuffer } from './outputs.ts'
import type { Retries } from './retries.ts'
import { laneOf, type Waiting } from './retry-queue.ts'
import type { SinkBatch } from './sink-batch.ts'
import { skipped } from './skips.ts'
import type { TaskHealth } from './task-health.ts'
import type { Unwritten, Work } from './work.ts'

export interface ProcessingParts {
  readonly task: string
  readonly logic: Logic
  readonly context: HandlerContext
  readonly outputs: OutputBuffer
  readonly counts: MutableCounts
  readonly health: TaskHealth
  readonly retries: Retries
  /** Of a sink that is called with the records of a commit. */
  readonly batch: SinkBatch | undefined
  readonly completion: Completion | undefined
  readonly environment: Environment
  /** The task must stop. */
  readonly signal: AbortSignal
  /** The task is to end: it begins nothing new. */
  readonly ending: AbortSignal
  readonly time: TaskTime
}

/** How far event time has come at the task. */
export interface TaskTime {
  readonly watermark: number
  /** What the inputs say, and what records that wait let pass of it. */
  readonly reached: number
  /** There is something to fire though time stands still. */
  readonly behind: boolean
  /** Takes what the inputs say. Synchronous as long as the handlers are. */
  advance(): Promise<void> | undefined
}

/**
 * What happens to a record at its task: handled, put aside for another attempt, or parked; counted and passed. Synchronous as
 * long as the handler is.
 */
export class RecordProcessing {
  readonly #parts: ProcessingParts

  constructor(parts: ProcessingParts) {
    this.#parts = parts
  }

  /** Processes one record. A promise only where the handler is asynchronous or failed. */
  one(input: PartitionInput, raw: RawRecord, stamp: Stamp | undefined): Promise<void> | undefined {
    const { task, counts, retries } = this.#parts
    if (input.isRepeat(raw, stamp, task, counts)) {
      if (!input.isBehind(raw)) input.position = raw.position
      return undefined
    }
    const work: Work = { input, raw, stamp, record: undefined, attempts: 0, waiting: undefined }
    if (isForAnother(raw, task)) return this.repeat(work)
    if (input.isSkipped(raw, stamp)) return this.park(work, skipped())
    return retries.isBehind(work) ? this.putAside(work) : this.try(work)
  }

  /** An attempt, and what follows from it. */
  try(work: Work): Promise<void> | undefined {
    const mark = this.#parts.outputs.mark()
    try {
      const pending = this.#attempt(work)
      if (pending)
        return pending.then(
          () => this.#done(work),
          error => this.#failed(work, mark, error)
        )
    } catch (error) {
      return this.#failed(work, mark, error)
    }
    return this.#done(work)
  }

  #attempt(work: Work): Promise<void> | undefined {
    const { context, logic, outputs } = this.#parts
    const { input, raw, stamp } = work
    if (work.record === undefined) {
      context.begin(null, undefined) // what a failure undoes must not be the work of the record before
      work.record = input.decode(raw, stamp, work.waiting?.reached)
    }
    const { eventTime } = work.record
    context.begin(raw.key, work.record)
    const result = logic.process(work.record, context)
    if (result === undefined) return undefined
    if (isPromise(result)) return Promise.resolve(result).then(entries => outputs.collect(entries, eventTime))
    return outputs.collect(result, eventTime)
  }

  async #failed(work: Work, mark: number, thrown: unknown): Promise<void> {
    const { context, outputs, health, retries, environment, ending } = this.#parts
    for (let error = thrown; ;) {
      context.rollback()
      outputs.rollback(mark)
      health.failed()
      work.attempts++
      const fate = retries.judge(work, error)
      if (fate === 'park') return this.park(work, error)
      if (fate === 'aside') return this.putAside(work, error)
      await sleep(environment, retries.waitFor(work.attempts, error), ending)
      try {
        await this.#attempt(work)
      } catch (again) {
        error = again
        continue
      }
      health.recovered(retries.queue.failingSince)
      return this.#done(work)
    }
  }

  #done(work: Work): Promise<void> | undefined {
    // A sink has not written it yet.
    if (this.#parts.batch?.add(work)) return undefined
    return this.settle(work, this.#parts.context.expired)
  }

  /** The record is done: counted, its position, its sequence, its time. */
  settle(work: Work, expired: boolean): Promise<void> | undefined {
    const { counts, completion, time } = this.#parts
    const { input, waiting } = work
    const record = work.record!
    counts.processed++
    if (record.late) this.#untimely('late', record, input.tracker.watermark)
    if (expired) this.#untimely('expired', record, time.watermark)
    input.count(expired ? 'expired' : record.late ? 'late' : 'processed', record.eventTime)
    completion?.add(record.eventTime, false, time.watermark)
    return waiting ? this.#release(work, waiting) : this.#pass(work)
  }

  /** It waits for another attempt, or behind a record of its key that does. */
  putAside(work: Work, error?: unknown): Promise<void> | undefined {
    const { retries, health, time } = this.#parts
    const { input } = work
    const place = { hold: time.reached, reached: input.tracker.watermark, before: input.position }
    retries.putAside(work, place, error)
    health.aside = retries.queue.size
    return work.waiting ? undefined : this.#pass(work)
  }

  /** A copy of it goes to the parked topic, with the commit that goes past it. */
  park(work: Work, error: unknown): Promise<void> | undefined {
    this.#copyToParked(work, error)
    this.#parts.health.recovered(this.#parts.retries.queue.failingSince)
    return work.waiting ? this.#release(work, work.waiting) : this.#pass({ ...work, record: undefined })
  }

  // ---- sinks that are called with the records of a commit ----------------------------------------------------------

  /** Writes what was collected. What could not be written is put aside or parked, as if it had never been done. */
  async flush(log: TaskLog): Promise<void> {
    const { batch, logic, retries, environment, ending, health } = this.#parts
    const writing = { ending, failed: () => health.failed() }
    let unwritten = await logic.beforeAppend?.(log, writing)
    if (!batch) return
    let works: readonly Work[] = batch.works
    while (unwritten && unwritten.length > 0) {
      health.failed()
      const { again, error } = this.#sortOut(works, unwritten)
      if (again.length === 0) break
      await sleep(environment, retries.waitFor(again[0]!.attempts, error), ending)
      works = again
      unwritten = await logic.write!(
        again.map(({ record }) => record!),
        writing
      )
    }
    for (const work of batch.takeWritten()) await this.settle(work, false)
    health.recovered(retries.queue.failingSince)
  }

  /** Gives those that have to be written again now: from the first that cannot be put aside. */
  #sortOut(
    works: readonly Work[],
    unwritten: readonly Unwritten[]
  ): { readonly again: readonly Work[]; readonly error: unknown } {
    const { retries, batch } = this.#parts
    const failures = new Map(unwritten.map(each => [each.record, each]))
    const held = new Set<string>()
    const again: Work[] = []
    let first: unknown
    for (const work of works) {
      const lane = laneOf(work.raw)
      const failure = failures.get(work.record)
      if (failure) work.attempts += failure.attempts ?? 1
      const fate = failure && retries.judge(work, failure.error)
      if (fate === 'park') {
        this.#takeBack(work)
        this.#copyToParked(work, failure!.error)
        if (work.waiting) this.#parts.retries.queue.remove(work.waiting)
      } else if (fate === 'aside' || held.has(lane)) {
        // What was written behind it is written again behind it: the last word of a key must stay the last.
        held.add(lane)
        this.#takeBack(work)
        if (failure || !work.waiting) retries.putAside(work, batch!.placeOf(work), failure?.error)
      } else if (fate === 'again' || again.length > 0) {
        again.push(work)
        first ??= failure?.error
      }
    }
    this.#parts.health.aside = retries.queue.size
    return { again, error: first }
  }

  /** It was counted as done. */
  #takeBack(work: Work): void {
    const { counts, batch } = this.#parts
    batch!.drop(work)
    if (work.waiting) return
    const { late, eventTime } = work.record!
    counts.processed--
    if (late) counts.late--
    work.input.count(late ? 'late' : 'processed', eventTime, -1)
  }

  // ------------------------------------------------------------------------------------------------------------------

  #copyToParked({ input, raw, record, stamp, attempts }: Work, error: unknown): void {
    const { outputs, counts, task, completion, environment, time } = this.#parts
    const { bound, partition } = input
    const secrets = record && secretsOf(bound, record)
    const details = { attempts, at: environment.now(), schema: schemaOf(bound, raw), ...(secrets && { secrets }) }
    const eventTime = record?.eventTime ?? stamp?.eventTime ?? raw.timestamp
    outputs.forward(park({ topic: bound.topic.name, partition }, raw, task, error, details), eventTime)
    counts.parked++
    input.count('parked', eventTime)
    completion?.add(eventTime, true, time.watermark)
  }

  /** The task goes past the record. */
  #pass({ input, raw, stamp, record }: Work): Promise<void> | undefined {
    const { environment, time } = this.#parts
    input.position = raw.position
    input.mark(raw, stamp, environment)
    const rose = input.processed(raw, stamp, record, environment)
    return rose || time.behind ? time.advance() : undefined
  }

  /** Another stage had given it up and gets it again; here it was done long ago. */
  repeat(work: Work): Promise<void> | undefined {
    const { task, counts } = this.#parts
    const { input, raw, stamp } = work
    const { bound, partition } = input
    counts.duplicates++
    input.count('processed', stamp?.eventTime ?? raw.timestamp) // as it was sent, so it is read
    diagnose('record-duplicate', { task, topic: bound.topic.name, partition, position: raw.position })
    return this.#pass(work)
  }

  /** The task went past it long ago: nothing holds the watermark for it any more. */
  #release({ input, stamp, record }: Work, waiting: Waiting): Promise<void> | undefined {
    const { retries, health, time } = this.#parts
    retries.queue.remove(waiting)
    health.aside = retries.queue.size
    health.recovered(retries.queue.failingSince)
    // One that only waited behind another was not decoded when the task went past it.
    if (!stamp && record) input.tracker.processedForeign(record.eventTime)
    return time.advance()
  }

  #untimely(how: 'late' | 'expired', record: StreamRecord, watermark: number): void {
    const { task, counts } = this.#parts
    counts[how]++
    const { topic, partition, position, eventTime } = record
    diagnose(`record-${how}`, { task, topic, partition, position, behind: watermark - eventTime })
  }
}

/** What the schemas mark as sensitive in a record that a handler has failed with. */
function secretsOf({ key, value }: PartitionInput['bound'], record: StreamRecord): readonly string[] {
  return [...(key.secretsIn?.(record.key) ?? []), ...(value.secretsIn?.(record.value) ?? [])]
}

import { park, prepareBatch } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import type { Position, RawRecord, StreamRecord } from '../core/record.ts'
import type { ProducerId, Stamp } from '../core/stamp.ts'
import type { Head, TaskLog, TaskName } from '../exactly-once/index.ts'
import type { StartAt, TopicPartition } from '../spec/index.ts'
import { TaskRows, type StateRow } from '../state/index.ts'
import { noCounts } from '../watermark/index.ts'
import { tryAgain } from './attempts.ts'
import type { Committed } from './committer.ts'
import { Completion } from './completion.ts'
import type { ProcessorStage, SinkStage } from './definitions.ts'
import { HandlerContext } from './handler-context.ts'
import { EventClock } from './event-clock.ts'
import type { InputBatch, MutableCounts, PartitionInput } from './input.ts'
import { isPromise, policyOf, type Logic, type Policy } from './logic.ts'
import type { OutputBuffer } from './outputs.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { headOf, openInputs, openOutputs } from './task-head.ts'
import { outletsOf, TaskHealth } from './task-health.ts'
import { traced } from './traced.ts'

/**
 * One life of one task of a processor or sink: takes records through decode, time and process, and gives the committer
 * its snapshots. Synchronous as long as the handler is; knows nothing of stores, brokers and assignment.
 */
export class StreamTask implements Committed {
  readonly inputs: PartitionInput[] = []
  readonly counts: MutableCounts = { ...noCounts }
  outputs!: OutputBuffer
  health!: TaskHealth
  /** Records, timers or time since the last commit. */
  dirty: boolean = false
  /** Records since the last commit. */
  uncommitted: number = 0
  readonly #runtime: StageRuntime<ProcessorStage | SinkStage>
  readonly #name: TaskName
  readonly #partition: number
  readonly #producer: ProducerId
  readonly #logic: Logic
  readonly #policy: Policy
  readonly #rows: TaskRows
  readonly #context: HandlerContext
  readonly #signal: AbortSignal
  #clock!: EventClock
  #completion: Completion | undefined

  constructor(
    runtime: StageRuntime<ProcessorStage | SinkStage>,
    name: TaskName,
    partition: number,
    producer: ProducerId,
    logic: Logic,
    signal: AbortSignal
  ) {
    this.#runtime = runtime
    this.#name = name
    this.#partition = partition
    this.#producer = producer
    this.#logic = logic
    this.#policy = policyOf(runtime.stage.failure)
    this.#signal = signal
    this.#rows = new TaskRows(runtime.stage.kind === 'processor' ? runtime.stage.state : {})
    this.#context = new HandlerContext(name.id, signal, this.#rows.state, this.#rows.timers)
  }

  /** Watermark of the inputs: the least of their partitions. */
  get watermark(): number {
    return this.#clock.watermark
  }

  /** Nothing is left to fire. */
  get settled(): boolean {
    return !this.#clock.behind
  }

  // ---- Committed -------------------------------------------------------------------------------------------------

  recover(head: Head | undefined, rows: Iterable<StateRow>): OutputBuffer {
    this.#rows.load(rows, this.#runtime.environment.monotonic())
    this.inputs.push(...openInputs(this.#runtime, this.#partition, head, this.#rows.marks))
    Object.assign(this.counts, head?.counts)
    this.outputs = openOutputs(this.#runtime, this.#producer, head)
    const { environment, settings, from } = this.#runtime
    const { outputs } = this
    const full = (): boolean =>
      outputs.bytes >= settings.commitBytes || outputs.records.length >= settings.commitRecords
    const parts = {
      task: this.#name.id,
      logic: this.#logic,
      policy: this.#policy,
      context: this.#context,
      timers: this.#rows.timers
    }
    const outlets = outletsOf(this.#runtime)
    const { view } = this.#runtime
    this.health = new TaskHealth(this.#name.id, environment, this.inputs, view, this.counts, outputs, outlets)
    this.#context.health = this.health
    const watermark = this.#inputWatermark()
    const { stage } = this.#runtime
    if (stage.kind === 'processor' && stage.interval) this.#completion = new Completion(stage.interval, head?.intervals)
    const completion = this.#completion
    this.#clock = new EventClock(
      { ...parts, completion, outputs, input: from[0]!, environment, signal: this.#signal, full },
      watermark
    )
    this.#context.watermark = watermark
    return outputs
  }

  snapshot(): ReturnType<Committed['snapshot']> {
    const head = headOf(this.inputs, this.outputs, this.counts, this.watermark, this.#completion)
    return { head, state: this.#rows.changes(this.#runtime.environment.monotonic()), positions: this.positions() }
  }

  /** Last processed, per topic. */
  positions(): (TopicPartition & { readonly position: Position })[] {
    return this.inputs.flatMap(({ bound, partition, position }) =>
      position === undefined ? [] : [{ topic: bound.topic.name, partition, position }]
    )
  }

  applied(): void {
    this.counts.emitted += this.outputs.records.length
    this.#rows.committed()
    this.#logic.applied?.()
    this.dirty = false
    this.uncommitted = 0
  }

  beforeAppend(log: TaskLog): Promise<void> | void {
    return this.#logic.beforeAppend?.(log)
  }

  /** Where an input goes on: after its committed position, else where the group stood. */
  startOf(input: PartitionInput): StartAt | 'committed' {
    return input.position === undefined ? 'committed' : { after: input.position }
  }

  // ---- records ---------------------------------------------------------------------------------------------------

  /** Processes one batch of one input. `pause` is asked after each record: true ends early, the rest comes back. */
  async process(input: PartitionInput, batch: InputBatch, enough: () => boolean): Promise<InputBatch | undefined> {
    if (input.hasStranger(batch)) {
      // All tasks of a stage are announced before its first record: one look is enough (protocol H6).
      await this.#runtime.view.refresh()
      input.learn(this.#runtime.environment.monotonic())
    }
    const prepared = prepareBatch(input.bound, batch.records)
    if (prepared) await prepared
    const { tracing } = this.#runtime
    if (!tracing) return this.#each(input, batch, enough)
    const { bound, partition } = input
    const headers = batch.records.map(record => record.headers)
    const work = { task: this.#name.id, topic: bound.topic.name, partition, headers }
    return traced(tracing, work, this.outputs, () => this.#each(input, batch, enough))
  }

  async #each(input: PartitionInput, batch: InputBatch, enough: () => boolean): Promise<InputBatch | undefined> {
    const { records, stamps } = batch
    for (let index = 0; index < records.length; index++) {
      const pending = this.#one(input, records[index]!, stamps[index])
      if (pending) await pending
      if (enough() && index + 1 < records.length)
        return { records: records.slice(index + 1), stamps: stamps.slice(index + 1) }
    }
    return undefined
  }

  /** Takes in news of the producers; fires timers if time went on. */
  async learn(): Promise<void> {
    let rose = false
    const { environment, settings } = this.#runtime
    const now = environment.monotonic()
    for (const input of this.inputs) {
      rose = input.learn(now) || rose
      input.tracker.forget(environment.now(), settings.forgetProducersAfter)
    }
    if (rose || this.#clock.behind) await this.#advance()
  }

  /** Processes one record. A promise only where the handler is asynchronous or failed. */
  #one(input: PartitionInput, raw: RawRecord, stamp: Stamp | undefined): Promise<void> | undefined {
    this.dirty = true
    this.uncommitted++
    if (input.isRepeat(raw, stamp, this.#name.id, this.counts)) {
      if (!input.isBehind(raw)) input.position = raw.position
      return undefined
    }
    let record: StreamRecord | undefined
    const mark = this.outputs.mark()
    const attempt = (): Promise<void> | undefined => {
      if (record === undefined) {
        this.#context.begin(null, undefined) // what a failure undoes must not be the work of the record before
        record = input.decode(raw, stamp)
      }
      const { eventTime } = record
      this.#context.begin(raw.key, record)
      const result = this.#logic.process(record, this.#context)
      if (result === undefined) return undefined
      if (isPromise(result)) return Promise.resolve(result).then(outputs => this.outputs.collect(outputs, eventTime))
      return this.outputs.collect(result, eventTime)
    }
    const settle = (): Promise<void> | undefined => this.#settle(input, raw, stamp, record)
    const failed = (error: unknown): Promise<void> => this.#failed(input, raw, stamp, mark, error, attempt, settle)
    try {
      const pending = attempt()
      if (pending) return pending.then(settle, failed)
    } catch (error) {
      return failed(error)
    }
    return settle()
  }

  /** The record is done: its position, its sequence, its time. */
  #settle(
    input: PartitionInput,
    raw: RawRecord,
    stamp: Stamp | undefined,
    record: StreamRecord | undefined
  ): Promise<void> | undefined {
    if (record) {
      this.counts.processed++
      const { expired } = this.#context
      if (record.late) this.#untimely('late', record, input.tracker.watermark)
      if (expired) this.#untimely('expired', record, this.watermark)
      input.count(expired ? 'expired' : record.late ? 'late' : 'processed', record.eventTime)
    } else input.count('parked', stamp?.eventTime ?? raw.timestamp)
    this.#completion?.add(record?.eventTime ?? stamp?.eventTime ?? raw.timestamp, !record, this.watermark)
    input.position = raw.position
    input.mark(raw, stamp, this.#runtime.environment)
    const rose = stamp
      ? input.tracker.processed(stamp)
      : record !== undefined && input.tracker.processedForeign(record.eventTime)
    return rose || this.#clock.behind ? this.#advance() : undefined
  }

  #untimely(how: 'late' | 'expired', record: StreamRecord, watermark: number): void {
    this.counts[how]++
    const { topic, partition, position, eventTime } = record
    diagnose(`record-${how}`, { task: this.#name.id, topic, partition, position, behind: watermark - eventTime })
  }

  async #failed(
    input: PartitionInput,
    raw: RawRecord,
    stamp: Stamp | undefined,
    mark: number,
    error: unknown,
    attempt: () => unknown,
    settle: () => Promise<void> | undefined
  ): Promise<void> {
    const place = { topic: input.bound.topic.name, partition: input.partition }
    const { environment } = this.#runtime
    const undo = (): void => {
      this.health.failed()
      this.#context.rollback()
      this.outputs.rollback(mark)
    }
    undo()
    const attempts = {
      task: this.#name.id,
      policy: this.#policy,
      environment,
      signal: this.#signal,
      place,
      record: raw
    }
    const gaveUp = await tryAgain(attempts, error, async () => {
      try {
        await attempt()
      } catch (thrown) {
        undo()
        throw thrown
      }
    })
    this.health.recovered()
    if (!gaveUp) return settle()
    this.outputs.push(park(place, raw, this.#name.id, gaveUp.error, gaveUp.attempts))
    this.counts.parked++
    await this.#settle(input, raw, stamp, undefined)
  }

  // ---- time ------------------------------------------------------------------------------------------------------

  #inputWatermark(): number {
    let least = Infinity
    for (const { tracker } of this.inputs) if (tracker.watermark < least) least = tracker.watermark
    return least
  }

  /** Takes the watermark of the inputs, and fires what is due. Synchronous as long as the handlers are. */
  #advance(): Promise<void> | undefined {
    const watermark = Math.max(this.#inputWatermark(), this.watermark)
    if (watermark === this.watermark && !this.#clock.behind) return undefined
    this.dirty = true
    this.#context.watermark = watermark
    return this.#clock.advance(watermark)
  }
}

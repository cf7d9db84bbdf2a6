import { prepareBatch } from '../broker/index.ts'
import type { Position } from '../core/record.ts'
import type { ProducerId } from '../core/stamp.ts'
import { GroupStore, type Head, type TaskLog, type TaskName } from '../exactly-once/index.ts'
import type { StartAt, TopicPartition } from '../spec/index.ts'
import { TaskRows, type StoredState } from '../state/index.ts'
import { noCounts } from '../watermark/index.ts'
import { BatchProcessing } from './batch-processing.ts'
import type { Committed } from './committer.ts'
import { Completion } from './completion.ts'
import { ConcurrentProcessing } from './concurrent-processing.ts'
import type { ProcessorStage, SinkStage } from './definitions.ts'
import { HandlerContext } from './handler-context.ts'
import { EventClock } from './event-clock.ts'
import { policyOf, type Policy } from './failure-policy.ts'
import type { InputBatch, MutableCounts, PartitionInput } from './input.ts'
import type { Logic } from './logic.ts'
import type { OutputBuffer } from './outputs.ts'
import { quietOf } from './quiet.ts'
import { RecordProcessing, type TaskTime } from './record-processing.ts'
import { Retries } from './retries.ts'
import { SequentialProcessing, type RecordFlow } from './sequential-processing.ts'
import { SinkBatch } from './sink-batch.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { cutBatch, joinBatches, StateLoader } from './state-loader.ts'
import { headOf, openInputs, openOutputs } from './task-head.ts'
import { outletsOf, TaskHealth } from './task-health.ts'
import { traced } from './traced.ts'

/** How a life of a task is told to end, and how it asks for a turn. */
export interface TaskLife {
  /** It must stop. */
  readonly signal: AbortSignal
  /** It is to end: it begins nothing new. */
  readonly ending: AbortSignal
  /** There is something to take over. */
  wake(): void
}

/**
 * One life of one task of a processor or sink: takes records through decode, time and process, and gives the committer
 * its snapshots. Synchronous as long as the handler is; knows nothing of stores, brokers and assignment.
 */
export class StreamTask implements Committed, TaskTime {
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
  readonly #loader: StateLoader
  readonly #context: HandlerContext
  readonly #life: TaskLife
  readonly #retries: Retries
  readonly #batch: SinkBatch | undefined
  #processing!: RecordProcessing
  #flow!: RecordFlow
  #clock!: EventClock
  #completion: Completion | undefined

  constructor(
    runtime: StageRuntime<ProcessorStage | SinkStage>,
    name: TaskName,
    partition: number,
    producer: ProducerId,
    logic: Logic,
    life: TaskLife
  ) {
    this.#runtime = runtime
    this.#name = name
    this.#partition = partition
    this.#producer = producer
    this.#logic = logic
    this.#policy = policyOf(runtime.stage.failure)
    this.#life = life
    const { stage, environment } = runtime
    this.#rows = new TaskRows(stage.kind === 'processor' ? stage.state : {}, () => environment.now())
    this.#context = new HandlerContext(name.id, life.signal, this.#rows.state, this.#rows.timers)
    this.#retries = new Retries(name.id, this.#policy, runtime.environment, life.signal)
    this.#batch = logic.write && new SinkBatch()
    this.#loader = new StateLoader({
      stage,
      rows: this.#rows,
      environment,
      limit: runtime.settings.maxStateBytes / runtime.tasks,
      take: rows => this.#rows.load(this.#retries.queue.taking(rows), environment.monotonic())
    })
  }

  /** Watermark of the inputs: the least of their partitions, and no farther than the first record that waits. */
  get watermark(): number {
    return Math.min(this.#clock.watermark, this.#retries.queue.oldest?.hold ?? Infinity)
  }

  /** There is something to fire, though time stands still, and nothing that it must wait for. */
  get behind(): boolean {
    return this.#clock.behind && !this.#flow.busy
  }

  /** Records are under way. */
  get busy(): boolean {
    return this.#flow.busy
  }

  // ---- Committed -------------------------------------------------------------------------------------------------

  restore(state: StoredState): Promise<void> {
    return this.#loader.restore(state)
  }

  recover(head: Head | undefined): OutputBuffer {
    const { queue } = this.#retries
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
    this.health.aside = queue.size
    this.health.recovered(queue.failingSince)
    const watermark = this.reached
    const { stage } = this.#runtime
    if (stage.kind === 'processor' && stage.interval) this.#completion = new Completion(stage.interval, head?.intervals)
    const completion = this.#completion
    this.#clock = new EventClock(
      {
        ...parts,
        completion,
        outputs,
        input: from[0]!,
        environment,
        signal: this.#life.signal,
        full,
        loader: this.#loader
      },
      watermark
    )
    this.#context.watermark = watermark
    this.#context.quiet = quietOf(head, this.inputs, outputs, queue)
    this.#batch?.committed(this.inputs, watermark)
    const { signal, ending, wake } = this.#life
    const shared = { counts: this.counts, health: this.health, retries: this.#retries, batch: this.#batch }
    const all = { ...parts, ...shared, outputs, completion, environment, signal, ending, time: this }
    this.#processing = new RecordProcessing(all)
    const flow = {
      ...all,
      processing: this.#processing,
      inputs: this.inputs,
      fetch: (key: Uint8Array | null) => this.#loader.fetch([key]),
      passed: () => {
        this.dirty = true
        this.uncommitted++
      }
    }
    const { concurrency = 1, batch } = stage.kind === 'processor' ? stage : {}
    const { tracing } = this.#runtime
    if (batch) this.#flow = new BatchProcessing({ ...flow, settings: batch, tracing })
    else if (concurrency === 1) this.#flow = new SequentialProcessing(flow)
    else this.#flow = new ConcurrentProcessing({ ...flow, concurrency, patience: settings.commitInterval, wake })
    return outputs
  }

  snapshot(): ReturnType<Committed['snapshot']> {
    const head = headOf(this.inputs, this.outputs, this.counts, this.watermark, this.#completion, this.#context)
    // What a timer that is due may still read is not gone yet.
    if (!this.#clock.behind) this.#rows.state.sweep(this.#clock.watermark)
    const state = this.#rows.changes(this.#runtime.environment.monotonic())
    const waiting = this.#retries.queue.changes()
    return { head, state: waiting.length > 0 ? [...state, ...waiting] : state, positions: this.positions() }
  }

  /** Last processed, per topic. Where the commit holds positions alone, what waits is not passed. */
  positions(): (TopicPartition & { readonly position: Position })[] {
    const isAlone = this.#retries.queue.size > 0 && this.#runtime.store instanceof GroupStore
    return this.inputs.flatMap(({ bound, partition, position: last }) => {
      const topic = bound.topic.name
      const first = isAlone ? this.#retries.queue.oldestOf(topic) : undefined
      const position = first ? first.before : last
      return position === undefined ? [] : [{ topic, partition, position }]
    })
  }

  applied(): void {
    this.counts.emitted += this.outputs.records.length
    this.#rows.committed()
    this.#retries.queue.committed()
    this.#batch?.committed(this.inputs, this.watermark)
    this.#logic.applied?.()
    this.dirty = false
    this.uncommitted = 0
  }

  beforeAppend(log: TaskLog): Promise<void> | void {
    if (this.#logic.beforeAppend) return this.#processing.flush(log)
  }

  /** Where an input goes on: after its committed position, else where the group stood. */
  startOf(input: PartitionInput): StartAt | 'committed' {
    return input.position === undefined ? (input.start ?? 'committed') : { after: input.position }
  }

  // ---- records ---------------------------------------------------------------------------------------------------

  /** Processes one batch of one input. `enough` is asked after each record: true ends early, the rest comes back. */
  async process(input: PartitionInput, all: InputBatch, enough: () => boolean): Promise<InputBatch | undefined> {
    const [batch, rest] = this.#loader.complete ? [all, undefined] : cutBatch(all)
    const fetching = this.#loader.fetch(batch.records.map(({ key }) => key))
    if (fetching) await fetching
    return joinBatches(await this.#processed(input, batch, enough), rest)
  }

  async #processed(input: PartitionInput, batch: InputBatch, enough: () => boolean): Promise<InputBatch | undefined> {
    if (input.hasStranger(batch)) {
      // All tasks of a stage are announced before its first record: one look is enough (protocol H6).
      await this.#runtime.view.meet(input.bound.topic.name)
      input.learn(this.#runtime.environment, this.#runtime.health.clock)
    }
    const prepared = prepareBatch(input.bound, batch.records)
    if (prepared) await prepared
    const { tracing } = this.#runtime
    // What a batch handler is called with has a span of its own.
    if (!tracing || this.#logic.batch) return this.#flow.take(input, batch, enough)
    const { bound, partition } = input
    const headers = batch.records.map(record => record.headers)
    const work = { task: this.#name.id, topic: bound.topic.name, partition, headers }
    return traced(tracing, work, this.outputs, async () => this.#flow.take(input, batch, enough))
  }

  /** Takes in news of the producers; fires timers if time went on. */
  async learn(): Promise<void> {
    let rose = false
    const { environment, settings, health } = this.#runtime
    for (const input of this.inputs) {
      rose = input.learn(environment, health.clock) || rose
      if (input.passOver(health.clock, this.#name.id, this.counts)) this.dirty = rose = true
      input.tracker.forget(environment.now(), settings.forgetProducersAfter)
    }
    if (rose || this.behind) await this.advance()
    if (!this.#clock.behind) await this.#loader.sweep(this.#clock.watermark)
  }

  /** Takes over what is done, tries again what is due. */
  turn(enough: () => boolean): Promise<void> {
    return this.#flow.turn(enough)
  }

  /** Until the next attempt at a record that was put aside, ms; `undefined` when there is none. */
  get retryIn(): number | undefined {
    return this.#flow.retryIn
  }

  /** No more records are taken. */
  get blocked(): boolean {
    return this.#flow.blocked
  }

  /** Begins nothing more; resolves when nothing is under way. */
  drain(): Promise<void> {
    return this.#flow.drain()
  }

  // ---- time ------------------------------------------------------------------------------------------------------

  get reached(): number {
    let least = this.#retries.queue.oldest?.hold ?? Infinity
    for (const { tracker } of this.inputs) if (tracker.watermark < least) least = tracker.watermark
    return least
  }

  /** Takes the watermark of the inputs, and fires what is due. Synchronous as long as the handlers are. */
  advance(): Promise<void> | undefined {
    const watermark = Math.max(this.reached, this.#clock.watermark)
    if (watermark === this.#clock.watermark && !this.#clock.behind) return undefined
    if (this.#clock.fires(watermark) && !this.#flow.mayFire()) return undefined
    this.dirty = true
    this.#context.watermark = watermark
    return this.#clock.advance(watermark)
  }
}

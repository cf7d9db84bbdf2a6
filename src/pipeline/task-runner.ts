import { delayOf, hasCode } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { sleep } from '../core/environment.ts'
import type { ProducerId } from '../core/stamp.ts'
import type { TaskName } from '../exactly-once/index.ts'
import type { Pulse } from '../health/index.ts'
import type { RecordsReceived, StartAt, TopicPartition } from '../spec/index.ts'
import type { VitalsState } from '../watermark/index.ts'
import { Committer, FencedSignal, isFatal } from './committer.ts'
import type { ProcessorStage, SinkStage } from './definitions.ts'
import { durableProducer, mortalProducer } from './identity.ts'
import { policyOf } from './failure-policy.ts'
import { Gate } from './gate.ts'
import type { Logic } from './logic.ts'
import type { PartitionInput } from './input.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { StreamTask } from './stream-task.ts'
import { taskReport } from './task-report.ts'
import type { VitalsReport } from './vitals-publisher.ts'
import { loadOf } from './watched.ts'
import { Slice } from './slice.ts'
import { Signal, soonest } from '../core/signal.ts'

/** What a task asks of the reader of its stage. */
export interface ReaderControl {
  /** `started` is called before anything from the new place is delivered. */
  seek(place: TopicPartition, at: StartAt | 'committed', started: () => void): Promise<void>
  pause(place: TopicPartition): void
  resume(place: TopicPartition): void
  /** The task has come to its end. */
  finished(): void
  /** For the user's own tools; a store that told the broker itself needs no second word. */
  processed(positions: readonly (TopicPartition & { readonly position: string })[]): void
}

/**
 * One task that the broker assigned to this worker, through as many lives as it takes: acquire, recover, process, commit,
 * until it is released, lost, or a fatal error ends the run.
 */
export class TaskRunner {
  /** Settles when the task has ended: resolves after release or loss, rejects with a fatal error. */
  readonly ended: Promise<void>
  /** Its inputs have ended, and everything is committed and sent. */
  finished: boolean = false
  readonly #runtime: StageRuntime<ProcessorStage | SinkStage>
  readonly #name: TaskName
  readonly #partition: number
  readonly #logic: Logic
  readonly #control: ReaderControl
  readonly #pulse: Pulse
  readonly #wake: Signal
  readonly #abort = new AbortController()
  /** Nothing new is begun, and nothing waited for. */
  readonly #ending = new AbortController()
  #task: StreamTask | undefined
  #committer: Committer | undefined
  #producer: ProducerId
  #releasing = false
  #isCutOff = false
  /** This life has committed something. */
  #gotOn = false
  #turn = 0

  constructor(
    runtime: StageRuntime<ProcessorStage | SinkStage>,
    name: TaskName,
    logic: Logic,
    control: ReaderControl,
    pulse: Pulse
  ) {
    this.#pulse = pulse
    this.#runtime = runtime
    this.#name = name
    this.#partition = name.ordinal
    this.#logic = logic
    this.#control = control
    this.#wake = new Signal(runtime.environment)
    this.#producer = durableProducer(name)
    const stopListening = runtime.view.onChange(() => this.#wake.raise())
    this.ended = this.#run().finally(() => {
      stopListening()
      // The end is said again with every beat: whoever waits for it must hear of it.
      if (!this.finished && !this.#isCutOff) runtime.vitals.forget(this.#producer)
    })
    this.ended.catch(() => {}) // the stage listens, too; it must not be an unhandled rejection before that
  }

  /** Records for this task, in order. Dropped until it has sought: they belong to an earlier life. */
  push(event: RecordsReceived): void {
    const input = this.#task?.inputs.find(candidate => candidate.bound.topic.name === event.topic)
    if (!input?.started) return
    input.push(event.records, event.behind, this.#runtime.environment.monotonic())
    this.#flow(input)
    this.#wake.raise()
  }

  /** Commits what is done and ends. */
  release(): Promise<void> {
    this.#releasing = true
    this.#ending.abort()
    this.#wake.raise()
    return this.ended
  }

  /** The broker does not answer: it ends, and goes on reporting, for nobody else may have it. Gives the producer to forget. */
  cutOff(): string {
    this.#isCutOff = this.#runtime.store.outputs !== 'before'
    this.abandon()
    return this.#producer
  }

  /** It is not ours any more, or there is no time: drop what is not committed. */
  abandon(): void {
    this.#releasing = true
    this.#ending.abort()
    this.#abort.abort()
    this.#committer?.abandon()
    this.#wake.raise()
  }

  async #run(): Promise<void> {
    const { environment } = this.#runtime
    for (let attempt = 1; !this.#releasing; attempt++) {
      const started = environment.monotonic()
      try {
        await this.#live()
      } catch (error) {
        if (this.#abort.signal.aborted || (this.#releasing && hasCode(error, 'aborted'))) break
        // A life that got something done, or went well for a while, starts the count anew.
        if (this.#gotOn || environment.monotonic() - started > 30_000) attempt = 1
        if (isFatal(error) || this.#givesUp(error, attempt)) throw error
        if (error instanceof FencedSignal) this.#runtime.vitals.forget(this.#producer)
        else {
          this.#pulse.failed(error)
          diagnose('task-restarted', { task: this.#name.id, error })
        }
        await sleep(environment, delayOf({ first: 50, most: 5_000 }, attempt, environment), this.#abort.signal).catch(
          () => {}
        )
      }
    }
    diagnose('task-released', { task: this.#name.id, reason: this.#abort.signal.aborted ? 'lost' : 'released' })
  }

  /** A sink that cannot write: there is no one record to park, so it goes on trying unless its policy is to stop. */
  #givesUp(error: unknown, attempt: number): boolean {
    const { retries, then } = policyOf(this.#runtime.stage.failure)
    return hasCode(error, 'handler') && then === 'stop' && attempt > retries
  }

  async #live(): Promise<void> {
    const runtime = this.#runtime
    if (runtime.store.outputs === 'before') this.#producer = mortalProducer(runtime.environment)
    const task = new StreamTask(runtime, this.#name, this.#partition, this.#producer, this.#logic, {
      signal: this.#abort.signal,
      ending: this.#ending.signal,
      wake: () => this.#wake.raise()
    })
    this.#gotOn = false
    let gate: Gate | undefined
    const committer = (this.#committer = new Committer(runtime, this.#name, task))
    committer.onRelayFailure = () => this.#wake.raise()
    try {
      await this.#pulse.during({ doing: 'taking over its state', by: 'outside' }, committer.acquire())
      // Nobody has announced the task of a partition that was added while we run.
      if (runtime.store.outputs === 'before' || this.#partition >= runtime.tasks)
        await runtime.vitals.announce([this.#report(task, 'joining')])
      this.#task = task
      // Before anything is processed: what is told is what is committed.
      this.#tell(task)
      await Promise.all(task.inputs.map(input => this.#start(task, input)))
      this.#pulse.load = () => loadOf(task)
      await this.#loop(task, committer, (gate = new Gate(runtime, this.#name.id, task.inputs)))
    } finally {
      gate?.close()
      this.#pulse.ended()
      this.#task = undefined
      this.#logic.discard?.()
      await committer.close()
      // The identity was of this life only.
      if (runtime.store.outputs === 'before' && !this.finished) runtime.vitals.forget(this.#producer)
    }
  }

  async #start(task: StreamTask, input: PartitionInput): Promise<void> {
    await this.#control.seek(this.#place(input), task.startOf(input), () => (input.started = true))
    // An earlier life may have paused it.
    this.#control.resume(this.#place(input))
  }

  async #loop(task: StreamTask, committer: Committer, gate: Gate): Promise<void> {
    const { settings, environment } = this.#runtime
    let committedAt = environment.monotonic()
    const full = (): boolean => {
      const { bytes, records } = committer.outputs
      return Math.max(task.uncommitted, records.length) >= settings.commitRecords || bytes >= settings.commitBytes
    }
    const due = (): boolean => full() || environment.monotonic() - committedAt >= settings.commitInterval
    const slice = new Slice(environment)
    while (!this.#releasing) {
      if (committer.isCutOff) await committer.assertSending()
      await task.learn()
      if (task.health.hasNews()) this.#runtime.vitals.urge()
      let records = 0
      const enough = (): boolean =>
        full() || this.#releasing || ((++records & 15) === 0 && (slice.spent || (task.dirty && due())))
      await task.turn(enough)
      gate.update()
      const input = task.blocked ? undefined : this.#nextInput(task.inputs)
      const batch = input?.take(gate.most)
      if (input && batch) {
        const rest = await task.process(input, batch, () => enough() || ((records & 15) === 0 && gate.isTooFar(input)))
        gate.took(batch.records.length - (rest?.records.length ?? 0))
        input.putBack(rest)
        this.#flow(input)
      }
      if (task.dirty && due()) {
        await this.#commit(task, committer)
        committedAt = environment.monotonic()
        await slice.yield()
      } else if (task.behind) {
        await slice.yield() // timers by the thousand: others get a turn between them
      } else if (task.blocked || !task.inputs.some(candidate => candidate.ready)) {
        const finished = task.watermark === Infinity && !task.dirty && !task.busy
        if (finished && !this.finished) {
          await committer.drain(false)
          this.finished = true
          this.#tell(task)
          this.#control.finished()
        }
        const commitIn = task.dirty ? committedAt + settings.commitInterval - environment.monotonic() : undefined
        await this.#wake.wait(
          soonest(commitIn, task.retryIn, gate.lookIn, ...task.inputs.map(({ tracker }) => tracker.lookIn))
        )
        slice.begin()
      } else if (slice.spent) await slice.yield()
    }
    if (this.#abort.signal.aborted) return
    await task.drain()
    await committer.drain(task.dirty)
    this.#control.processed(task.positions())
    this.#tell(task)
    // The identity was of this life only: the next one has its own, and nobody must wait for this one.
    const mortal = this.#runtime.store.outputs === 'before'
    if (mortal && !this.finished) this.#runtime.vitals.report(this.#report(task, 'left'))
  }

  async #commit(task: StreamTask, committer: Committer): Promise<void> {
    const positions = task.positions()
    await this.#pulse.during({ doing: 'committing', by: 'outside' }, committer.commit(task.uncommitted))
    this.#gotOn = true
    this.#control.processed(positions)
    this.#tell(task)
  }

  /** The one that is furthest behind in time, in turn where that is not known: a backlog must not starve the others. */
  #nextInput(inputs: readonly PartitionInput[]): PartitionInput | undefined {
    let next: PartitionInput | undefined
    for (let step = 1; step <= inputs.length; step++) {
      const input = inputs[(this.#turn + step) % inputs.length]!
      if (input.ready && (!next || input.tracker.watermark < next.tracker.watermark)) next = input
    }
    if (next) this.#turn = inputs.indexOf(next)
    return next
  }

  /** Back-pressure by bytes, per partition. */
  #flow(input: PartitionInput): void {
    const most = this.#runtime.settings.maxBufferedBytes / this.#runtime.tasks
    if (!input.paused && input.queuedBytes > most) {
      input.paused = true
      this.#control.pause(this.#place(input))
    } else if (input.paused && input.queuedBytes <= most / 2) {
      input.paused = false
      this.#control.resume(this.#place(input))
    }
  }

  #place(input: PartitionInput): TopicPartition {
    return { topic: input.bound.topic.name, partition: input.partition }
  }

  /** To the vitals: only what is committed, so that it stays true after a crash, and only once it has been sent. */
  #tell(task: StreamTask): void {
    const report = this.#report(task, this.finished ? 'closing' : 'active')
    this.#committer?.whenSent(() => this.#runtime.vitals.report(report))
  }

  #report(task: StreamTask, state: VitalsState): VitalsReport {
    const durable = this.#runtime.store.outputs !== 'before'
    const commit = this.#committer?.commitNumber ?? 0
    return taskReport(task, { producer: this.#producer, task: this.#name.id, durable, state, commit }, this.finished)
  }
}

import { classified, delayOf, hasCode, withRetry } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { deadlineIn, sleep } from '../core/environment.ts'
import type { Position } from '../core/record.ts'
import { GroupStore, type CommitStore } from '../exactly-once/index.ts'
import { StreamError } from '../core/errors.ts'
import type { Pulse, StagePulse } from '../health/index.ts'
import type { LogEvent, LogReader, PartitionsRevoked, StartAt, TopicPartition } from '../spec/index.ts'
import type { ProcessorStage, SinkStage } from './definitions.ts'
import { endTask, endWithin } from './end-task.ts'
import { groupName, taskName } from './identity.ts'
import { openGroupReader } from './leased-reader.ts'
import type { Logic } from './logic.ts'
import { Scout } from './scout.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { keepsKeys, otherPartitions } from './stage-shape.ts'
import { standBy } from './stage-store.ts'
import { outletsOf } from './task-health.ts'
import { TaskRunner, type ReaderControl } from './task-runner.ts'
import { watched } from './watched.ts'

type Runtime = StageRuntime<ProcessorStage | SinkStage>

/** `group`: no store; a task commits by the group commit of the stage's own reader. */
export type StageRunnerRuntime = Omit<Runtime, 'store'> & { readonly store: CommitStore | 'group' }

/** How often the group is told what is processed, where a store holds the truth: for the user's own tools, ms. */
const reportInterval = 1_000

/**
 * One processor or sink at this worker: a member of the stage's consumer group that hands partitions to tasks. Only this
 * loop talks to the reader, so that nothing happens to it while it is receiving.
 */
export class StageRunner {
  readonly #base: StageRunnerRuntime
  readonly #logic: () => Logic
  readonly #tasks = new Map<number, TaskRunner>()
  /** Partitions of an index that have arrived, until all topics have sent theirs. */
  readonly #arriving = new Map<number, Set<string>>()
  readonly #fatal: (error: unknown) => void
  readonly #health: StagePulse
  readonly #stop = new AbortController()
  #reader: LogReader | undefined
  #runtime: Runtime | undefined
  #draining = false
  #interrupt: AbortController | undefined
  #requests: (() => Promise<void>)[] = []
  /** Tasks that were taken from us, and are still ending. */
  readonly #leaving = new Set<Promise<void>>()
  /** Producers of tasks that were lost with the connection: they go on reporting. */
  readonly #cutOff = new Set<string>()
  #processed = new Map<string, TopicPartition & { readonly position: Position }>()
  #reportedAt = 0
  #failure: unknown

  constructor(runtime: StageRunnerRuntime, logic: () => Logic) {
    this.#base = runtime
    this.#logic = logic
    this.#health = runtime.health.stage(runtime.stage.name, outletsOf(runtime))
    new Scout(runtime, this.#health).start()
    this.#fatal = error => {
      this.#failure ??= error
      this.#stop.abort()
      this.#interrupt?.abort()
    }
  }

  /** Takes no more records, drains, leaves the group; `run` then resolves. */
  stop(): void {
    this.#stop.abort()
    this.#interrupt?.abort()
  }

  /** Resolves when stopped and drained, or when every input has ended; rejects with the first fatal error. */
  async run(): Promise<void> {
    const { environment, adapter, from, peers } = this.#base
    const { signal } = this.#stop
    const standby = standBy(this.#base)
    // The end is told by the vitals: do not sit out a receive for it.
    const stopListening = peers.onChange(() => {
      if (this.#isFinished()) this.#interrupt?.abort()
    })
    for (let attempt = 0; !signal.aborted;) {
      try {
        if (!this.#reader) await this.#open(signal)
        await this.#turn()
        attempt = 0
        if (this.#isFinished()) break
      } catch (thrown) {
        if (signal.aborted) break
        if (hasCode(thrown, 'aborted')) {
          if (this.#isFinished()) break
          continue
        }
        const topics = from.map(({ topic }) => topic.name)
        const error = classified(adapter, thrown, `reading ${topics.join(', ')}`)
        if (!error.retryable) {
          this.#failure ??= error
          break
        }
        diagnose('receive-retried', { topics, attempt: ++attempt, error })
        this.#health.lost(error)
        await this.#lose()
        await sleep(environment, delayOf({ first: 100, most: 5_000 }, attempt, environment), signal).catch(() => {})
      }
    }
    stopListening()
    await Promise.all([standby?.close(), this.#drain()])
    if (this.#failure) throw this.#failure
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { adapter, environment, pipeline, stage, from, settings, store } = this.#base
    const options = {
      group: groupName(pipeline, stage.name),
      topics: from.map(({ topic }) => topic.name),
      sessionTimeout: settings.sessionTimeout,
      maxBytes: settings.maxBufferedBytes
    }
    const doing = `joining the group of stage '${stage.name}'`
    const onRetry = (_: number, error: unknown): void => this.#health.lost(error)
    this.#reader = await withRetry({ adapter, environment, doing, signal, onRetry }, () =>
      openGroupReader(adapter, environment, () => this.#base.leases(), options, from[0]!.partitions)
    )
    this.#runtime = { ...this.#base, store: store === 'group' ? new GroupStore(this.#reader, adapter.location) : store }
  }

  /** One round: what the tasks asked for, then what the broker has. */
  async #turn(): Promise<void> {
    const reader = this.#reader!
    for (const request of this.#requests.splice(0)) await request()
    this.#report(reader, reportInterval)
    this.#interrupt = new AbortController()
    if (this.#requests.length > 0 || this.#stop.signal.aborted) this.#interrupt.abort()
    let events: readonly LogEvent[]
    try {
      events = await reader.receive({ wait: 500, signal: this.#interrupt.signal })
    } finally {
      this.#interrupt = undefined
    }
    this.#forgetCutOff()
    this.#health.found()
    for (const event of events) {
      if (event.kind === 'records') this.#tasks.get(event.partition)?.push(event)
      else if (event.kind === 'partitions-assigned') this.#assign(event.partitions)
      else {
        const leaving = this.#revoke(event).finally(() => this.#leaving.delete(leaving))
        this.#leaving.add(leaving)
      }
    }
  }

  #assign(partitions: readonly TopicPartition[]): void {
    const { pipeline, stage, from } = this.#base
    for (const { topic, partition } of partitions) {
      const known = from[0]!.partitions
      // The topic has grown under us.
      if (partition >= known && keepsKeys(stage)) {
        const bound = from.find(each => each.topic.name === topic) ?? from[0]!
        return this.#fatal(otherPartitions(pipeline, stage, { ...bound, partitions: partition + 1 }, known))
      }
      const arrived = this.#arriving.get(partition) ?? new Set()
      this.#arriving.set(partition, arrived.add(topic))
      if (arrived.size < from.length) continue
      this.#arriving.delete(partition)
      this.#tasks.get(partition)?.abandon()
      const pulse = this.#health.begin(partition)
      const task = new TaskRunner(
        this.#runtime!,
        taskName(pipeline, stage.name, partition, partition),
        watched(this.#logic(), pulse),
        this.#control(pulse),
        pulse
      )
      this.#tasks.set(partition, task)
      task.ended.catch(this.#fatal).finally(() => this.#health.end(pulse))
    }
  }

  async #revoke(event: PartitionsRevoked): Promise<void> {
    const { environment } = this.#base
    const left = event.deadline === 0 ? 0 : event.deadline - environment.monotonic()
    const deadline = deadlineIn(environment, left)
    const partitions = new Set(event.partitions.map(({ partition }) => partition))
    const ending = [...partitions].flatMap(partition => {
      const task = this.#tasks.get(partition)
      this.#tasks.delete(partition)
      this.#arriving.delete(partition)
      return task ? [task] : []
    })
    if (left <= 0) for (const task of ending) task.abandon()
    await Promise.all(ending.map(task => endTask(task, deadline.reached, environment))).catch(this.#fatal)
    deadline.cancel()
    await this.#reportLast(partitions, left > 0)
    event.release()
  }

  #control(pulse: Pulse): ReaderControl {
    const { adapter } = this.#base
    return {
      seek: (place: TopicPartition, at: StartAt | 'committed', started: () => void) =>
        new Promise((resolve, reject) => {
          const request = async (): Promise<void> => {
            try {
              const reader = this.#reader
              // Asked by a task that is on its way out: what it held went with the connection.
              if (!reader) throw new StreamError('not-owner', `partition ${place.partition} went with the connection`)
              await reader.seek(place, at)
              started() // before the next receive: what it gives belongs to the new place
              resolve()
            } catch (error) {
              // What the vendor's client threw: a task tries again what may pass, and takes anything unknown for fatal.
              reject(classified(adapter, error, `seeking partition ${place.partition} of ${place.topic}`))
            }
          }
          if (this.#draining) return void request()
          this.#requests.push(request)
          this.#interrupt?.abort()
        }),
      pause: place => this.#reader?.pause([place]),
      resume: place => this.#reader?.resume([place]),
      // The end of a task may be the end of the stage: do not sit out a receive for it.
      finished: () => this.#interrupt?.abort(),
      processed: positions => {
        pulse.beat()
        for (const position of positions) this.#processed.set(`${position.partition} ${position.topic}`, position)
        // On a queue this is the acknowledgement: what waits too long for it comes again.
        if (adapter.capabilities.positions === 'none' && this.#reader) this.#report(this.#reader, 0)
      }
    }
  }

  #report(reader: LogReader, interval: number): void {
    const now = this.#base.environment.monotonic()
    if (this.#processed.size === 0 || now - this.#reportedAt < interval) return
    this.#reportedAt = now
    const positions = [...this.#processed.values()]
    this.#processed.clear()
    reader.commit(positions).catch(() => {}) // a courtesy: the truth is in the store
  }

  /** The next owner reports its own; what is not ours any more must not spoil the reports of the rest. */
  async #reportLast(partitions: ReadonlySet<number>, ours: boolean): Promise<void> {
    const positions = [...this.#processed.values()].filter(({ partition }) => partitions.has(partition))
    for (const { partition, topic } of positions) this.#processed.delete(`${partition} ${topic}`)
    if (ours && positions.length > 0) await this.#reader?.commit(positions).catch(() => {})
  }

  /** Every task of the stage, here or elsewhere, has come to the end of its inputs. */
  #isFinished(): boolean {
    const { pipeline, stage, tasks, peers } = this.#base
    for (const task of this.#tasks.values()) if (!task.finished) return false
    for (let partition = 0; partition < tasks; partition++) {
      if (this.#tasks.has(partition)) continue
      if (peers.tasks.get(taskName(pipeline, stage.name, partition, partition).id)?.state !== 'closing') return false
    }
    return true
  }

  /** The connection is gone, and with it the assignment. */
  async #lose(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    for (const task of this.#tasks.values()) this.#cutOff.add(task.cutOff())
    // A task that waits for its seek would never end.
    for (const request of this.#requests.splice(0)) await request()
    const { environment } = this.#base
    const ending = [...this.#tasks.values()].map(task => endTask(task, Promise.resolve(), environment).catch(() => {}))
    await Promise.all(ending)
    this.#tasks.clear()
    this.#arriving.clear()
    await reader?.close().catch(() => {})
  }

  /** The broker answers again, and says whose they are; or we stop. */
  #forgetCutOff(): void {
    for (const producer of this.#cutOff) this.#base.vitals.forget(producer)
    this.#cutOff.clear()
  }

  async #drain(): Promise<void> {
    this.#forgetCutOff()
    const { environment, settings } = this.#base
    // The loop that served them has ended: from here on a seek is carried out where it is asked for.
    this.#draining = true
    for (const request of this.#requests.splice(0)) await request()
    const deadline = deadlineIn(environment, this.#failure ? 0 : settings.drainTimeout)
    const ending = [...this.#tasks.values()].map(task => endTask(task, deadline.reached, environment))
    // A handler of a task that was lost a moment ago has as much time to come back as the others.
    for (const leaving of this.#leaving) ending.push(endWithin(leaving, deadline.reached, environment))
    await Promise.all(ending).catch(error => (this.#failure ??= error))
    deadline.cancel()
    this.#failure ??= this.#health.hanging()
    const positions = [...this.#processed.values()]
    if (this.#reader && positions.length > 0) await this.#reader.commit(positions).catch(() => {})
    await this.#reader?.close().catch(() => {})
    this.#reader = undefined
  }
}

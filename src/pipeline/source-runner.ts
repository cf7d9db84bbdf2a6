import { delayOf, hasCode } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { deadlineIn, sleep } from '../core/environment.ts'
import { messageOf, StreamError } from '../core/errors.ts'
import type { TaskName } from '../exactly-once/index.ts'
import type { OutputVitals, VitalsState } from '../watermark/index.ts'
import { Committer, FencedSignal, isFatal } from './committer.ts'
import type { SourceStage } from './definitions.ts'
import { policyOf } from './logic.ts'
import { durableProducer, mortalProducer } from './identity.ts'
import { SourceTask } from './source-task.ts'
import type { StageRuntime } from './stage-runtime.ts'
import type { VitalsReport } from './vitals-publisher.ts'

/** One split of a source at this worker, from the moment its lease is ours until it ends, is lost, or we stop. */
export class SourceRunner {
  readonly ended: Promise<void>
  finished: boolean = false
  readonly #runtime: StageRuntime<SourceStage>
  readonly #name: TaskName
  readonly #split: string
  readonly #stop = new AbortController()
  readonly #lost = new AbortController()
  #producer = ''

  constructor(runtime: StageRuntime<SourceStage>, name: TaskName, split: string) {
    this.#runtime = runtime
    this.#name = name
    this.#split = split
    this.ended = this.#run()
    this.ended.catch(() => {}) // the stage listens, too
  }

  /** Commits what has been yielded and ends. */
  release(): Promise<void> {
    this.#stop.abort()
    return this.ended
  }

  abandon(): void {
    this.#lost.abort()
    this.#stop.abort()
  }

  async #run(): Promise<void> {
    const { environment } = this.#runtime
    for (let attempt = 1; !this.#stop.signal.aborted && !this.finished; attempt++) {
      const started = environment.monotonic()
      try {
        await this.#live()
      } catch (error) {
        if (this.#lost.signal.aborted) return
        if (isFatal(error) || (hasCode(error, 'handler') && attempt > policyOf(this.#runtime.stage.failure).retries)) throw error
        if (environment.monotonic() - started > 30_000) attempt = 1 // it went well for a while
        if (!(error instanceof FencedSignal)) diagnose('task-restarted', { task: this.#name.id, error })
        await sleep(environment, delayOf({ first: 50, most: 5_000 }, attempt, environment), this.#stop.signal).catch(() => {})
      }
    }
    diagnose('task-released', { task: this.#name.id, reason: this.finished ? 'finished' : 'released' })
  }

  async #live(): Promise<void> {
    const runtime = this.#runtime
    const before = runtime.store.outputs === 'before'
    this.#producer = before ? mortalProducer(runtime.environment) : durableProducer(this.#name)
    const task = new SourceTask(runtime, this.#producer)
    const committer = new Committer(runtime, this.#name, task)
    try {
      await committer.acquire()
      if (before) await runtime.vitals.announce([this.#report(task, 'joining')])
      if (!task.finished) {
        this.#tell(task)
        await this.#read(task, committer)
      }
      if (this.#lost.signal.aborted) return
      await committer.drain(task.dirty)
      this.finished = task.finished
      this.#tell(task)
    } finally {
      await committer.close()
      if (!this.finished) runtime.vitals.forget(this.#producer)
    }
  }

  /** Pulls the user's generator; commits by time, count and bytes, also while the generator is waiting. */
  async #read(task: SourceTask, committer: Committer): Promise<void> {
    const { stage, settings, environment } = this.#runtime
    const { signal } = this.#stop
    const items = stage.options.run({ resume: task.cursor, split: this.#split, signal })
    const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
    const stopped = new Promise<'stopped'>(resolve => signal.addEventListener('abort', () => resolve('stopped'), { once: true }))
    let committedAt = environment.monotonic()
    let waiting: Promise<IteratorResult<unknown>> | undefined
    try {
      while (!signal.aborted) {
        if (!waiting) {
          waiting = Promise.resolve(iterator.next()).catch(error => {
            throw sourceFailed(this.#name.id, error)
          })
          waiting.catch(() => {}) // it may fail during a commit, before anybody looks
        }
        const left = committedAt + settings.commitInterval - environment.monotonic()
        const full = task.uncommitted >= settings.commitRecords || committer.outputs.bytes >= settings.commitBytes
        if (task.dirty && (full || left <= 0)) {
          await committer.commit(task.uncommitted)
          committedAt = environment.monotonic()
          this.#tell(task)
          await environment.turn()
          continue
        }
        const due = deadlineIn(environment, task.dirty ? left : 2 ** 30)
        const next = await Promise.race([waiting, stopped, due.reached])
        due.cancel()
        if (next === undefined) continue
        waiting = undefined
        if (next === 'stopped') break
        if (next.done) return task.end()
        task.take(next.value)
      }
    } finally {
      // Not awaited for ever: a generator that hangs in a request must not hold the drain.
      const returned = Promise.resolve(iterator.return?.()).catch(() => {})
      const patience = deadlineIn(environment, 1_000)
      await Promise.race([returned, patience.reached])
      patience.cancel()
    }
  }

  #tell(task: SourceTask): void {
    this.#runtime.vitals.report(this.#report(task, task.finished ? 'closing' : 'active'))
  }

  #report(task: SourceTask, state: VitalsState): VitalsReport {
    const sequences = task.outputs.sequences()
    const outputs = new Map<string, OutputVitals>()
    for (const { topic } of this.#runtime.to) {
      const last = new Map(Object.entries(sequences[topic.name] ?? {}).map(([partition, sequence]) => [Number(partition), sequence]))
      outputs.set(topic.name, { watermark: state === 'joining' ? -Infinity : task.watermark, last })
    }
    const durable = this.#runtime.store.outputs !== 'before'
    return { producer: this.#producer, task: this.#name.id, durable, state, watermark: task.watermark, outputs, counts: task.counts }
  }
}

// The outside fails now and then; it is asked again from the last committed cursor.
function sourceFailed(task: string, error: unknown): StreamError {
  return new StreamError('handler', `source '${task}' failed: ${messageOf(error)}`, { retryable: true, cause: error })
}

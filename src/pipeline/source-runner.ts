import { delayOf, hasCode } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { deadlineIn, sleep } from '../core/environment.ts'
import { Signal, soonest } from '../core/signal.ts'
import { messageOf, StreamError } from '../core/errors.ts'
import type { TaskName } from '../exactly-once/index.ts'
import type { Pulse } from '../health/index.ts'
import {
  FailureRate,
  findTroubles,
  TroubleBook,
  type OutputVitals,
  type ReportedHealth,
  type VitalsState
} from '../watermark/index.ts'
import { Committer, FencedSignal, isFatal } from './committer.ts'
import type { SourceStage } from './definitions.ts'
import { policyOf } from './failure-policy.ts'
import { durableProducer, mortalProducer } from './identity.ts'
import { Pulled } from './pulled.ts'
import type { Grant } from './rate-limit.ts'
import { SourceTask } from './source-task.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { outletsOf, unsentSince } from './task-health.ts'
import type { VitalsReport } from './vitals-publisher.ts'

/** One split of a source at this worker, from the moment its lease is ours until it ends, is lost, or we stop. */
export class SourceRunner {
  readonly ended: Promise<void>
  finished: boolean = false
  readonly #runtime: StageRuntime<SourceStage>
  readonly #name: TaskName
  readonly #split: string
  readonly #pulse: Pulse
  readonly #stop = new AbortController()
  readonly #lost = new AbortController()
  #committer: Committer | undefined
  #producer = ''
  /** Since when it has been failing and trying again, ms since the epoch. */
  #failingSince: number | undefined
  readonly #lateOut = new FailureRate()
  readonly #book = new TroubleBook()
  #counted = { added: 0, addedLate: 0 }

  constructor(runtime: StageRuntime<SourceStage>, name: TaskName, split: string, pulse: Pulse) {
    this.#pulse = pulse
    this.#runtime = runtime
    this.#name = name
    this.#split = split
    // While it tries again it goes on reporting: it is failing, not gone.
    this.ended = this.#run().finally(() => {
      if (!this.finished) runtime.vitals.forget(this.#producer)
    })
    this.ended.catch(() => {}) // the stage listens, too
  }

  /** Commits what has been yielded and ends. */
  release(): Promise<void> {
    this.#stop.abort()
    return this.ended
  }

  abandon(): void {
    this.#lost.abort()
    this.#committer?.abandon()
    this.#stop.abort()
  }

  async #run(): Promise<void> {
    const { environment } = this.#runtime
    for (let attempt = 1; !this.#stop.signal.aborted && !this.finished; attempt++) {
      const started = environment.monotonic()
      try {
        await this.#live()
      } catch (error) {
        if (this.#lost.signal.aborted) break
        if (isFatal(error) || (hasCode(error, 'handler') && attempt > policyOf(this.#runtime.stage.failure).retries))
          throw error
        if (environment.monotonic() - started > 30_000) attempt = 1 // it went well for a while
        if (error instanceof FencedSignal) this.#runtime.vitals.forget(this.#producer)
        else {
          this.#failingSince ??= environment.now()
          this.#pulse.failed(error)
          this.#runtime.vitals.urge()
          diagnose('task-restarted', { task: this.#name.id, error })
        }
        await sleep(environment, delayOf({ first: 50, most: 5_000 }, attempt, environment), this.#stop.signal).catch(
          () => {}
        )
      }
    }
    diagnose('task-released', { task: this.#name.id, reason: this.finished ? 'finished' : 'released' })
  }

  async #live(): Promise<void> {
    const runtime = this.#runtime
    const before = runtime.store.outputs === 'before'
    this.#producer = before ? mortalProducer(runtime.environment) : durableProducer(this.#name)
    const task = new SourceTask(runtime, this.#name.id, this.#producer)
    const committer = (this.#committer = new Committer(runtime, this.#name, task))
    try {
      await this.#pulse.during({ doing: 'taking over its state', by: 'outside' }, committer.acquire())
      if (before) await runtime.vitals.announce([this.#report(task, 'joining')])
      if (!task.finished) {
        this.#tell(task)
        // It waits for what the outside has: nothing to do is no stall.
        this.#pulse.load = () => ({ queued: false, owing: task.dirty, done: 0, pending: () => 0, places: [] })
        await this.#read(task, committer)
      }
      if (this.#lost.signal.aborted) return
      await committer.drain(task.dirty)
      this.finished = task.finished
      this.#tell(task)
      if (before && !this.finished) runtime.vitals.report(this.#report(task, 'left'))
    } catch (error) {
      if (task.outputs !== undefined) task.endTrace(error)
      throw error
    } finally {
      this.#pulse.ended()
      await committer.close()
      // The identity was of this life only.
      if (before && !this.finished) runtime.vitals.forget(this.#producer)
    }
  }

  /** Pulls the user's generator; commits by time, count and bytes, also while the generator is waiting. */
  async #read(task: SourceTask, committer: Committer): Promise<void> {
    const { settings, environment } = this.#runtime
    const { signal } = this.#stop
    const wake = new Signal(environment)
    const onStop = (): void => wake.raise()
    signal.addEventListener('abort', onStop, { once: true })
    const items = new Pulled(
      () => this.#open(task),
      () => wake.raise()
    )
    committer.onRelayFailure = () => wake.raise()
    const { rate } = this.#runtime.local
    let grant: Grant | undefined
    let committedAt = environment.monotonic()
    const commit = async (): Promise<void> => {
      await this.#pulse.during({ doing: 'committing', by: 'outside' }, committer.commit(task.uncommitted))
      this.#pulse.beat()
      committedAt = environment.monotonic()
      this.#tell(task)
      await environment.turn()
    }
    try {
      while (!signal.aborted) {
        if (committer.isCutOff) await committer.assertSending()
        const left = committedAt + settings.commitInterval - environment.monotonic()
        const full = task.uncommitted >= settings.commitRecords || committer.outputs.bytes >= settings.commitBytes
        if (task.dirty && (full || left <= 0)) await commit()
        if (rate) grant ??= rate.ask()
        const pause = grant ? grant.at - environment.monotonic() : 0
        const next = pause > 0 ? undefined : items.take()
        if (next === undefined) await wake.wait(soonest(task.dirty ? left : undefined, pause > 0 ? pause : undefined))
        else if ('error' in next) {
          // What it gave before is good: the next attempt goes on behind it.
          if (task.dirty) await commit()
          throw sourceFailed(this.#name.id, next.error)
        } else if (next.done) {
          // One that returns because it was told to stop has not come to its end.
          if (!signal.aborted) task.end()
          return
        } else {
          const before = task.uncommitted
          task.take(next.value)
          if (grant) rate!.used(grant, task.uncommitted - before)
          grant = undefined
          this.#failingSince = undefined
        }
      }
    } finally {
      if (grant) rate!.used(grant, 0)
      signal.removeEventListener('abort', onStop)
      // Not awaited for ever: a generator that hangs in a request must not hold the drain.
      const patience = deadlineIn(environment, 1_000)
      await Promise.race([items.close(), patience.reached])
      patience.cancel()
    }
  }

  #open(task: SourceTask): AsyncIterator<unknown> | Iterator<unknown> {
    const items = this.#runtime.stage.options.run({
      resume: task.cursor,
      split: this.#split,
      signal: this.#stop.signal
    })
    return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  }

  /** Only what is committed and sent. */
  #tell(task: SourceTask): void {
    const report = this.#report(task, task.finished ? 'closing' : 'active')
    this.#committer?.whenSent(() => this.#runtime.vitals.report(report))
  }

  #report(task: SourceTask, state: VitalsState): VitalsReport {
    const outputs = new Map<string, OutputVitals>()
    const watermark = state === 'joining' ? -Infinity : state === 'left' ? Infinity : task.watermark
    for (const [topic, written] of task.outputs.vitals()) outputs.set(topic, { watermark, ...written })
    const durable = this.#runtime.store.outputs !== 'before'
    const commit = this.#committer?.commitNumber ?? 0
    return {
      producer: this.#producer,
      task: this.#name.id,
      durable,
      state,
      watermark: task.watermark,
      outputs,
      counts: task.counts,
      commit,
      health: () => this.#health(task)
    }
  }

  #health({ outputs: { added, addedLate } }: SourceTask): ReportedHealth {
    const { environment } = this.#runtime
    const since = this.#failingSince
    const failureRate = since === undefined ? 0 : 1
    // Another life counts from 0 again.
    const last = added < this.#counted.added ? { added: 0, addedLate: 0 } : this.#counted
    this.#lateOut.add(added - last.added, addedLate - last.addedLate, environment.monotonic())
    this.#counted = { added, addedLate }
    const lateRate = this.#lateOut.share(environment.monotonic())
    const moment = { now: environment.now(), monotonic: environment.monotonic() }
    const unsent = unsentSince(outletsOf(this.#runtime), moment)
    const signs = { failingSince: since, failureRate, lateOut: lateRate, unsentSince: unsent }
    const found = findTroubles(this.#name.id, [], new Map(), new Map(), signs, moment)
    return {
      pending: 0,
      failureRate,
      lateRate,
      ...(since !== undefined && { heldBy: { task: this.#name.id, cause: 'failing' as const, since } }),
      ...(unsent !== undefined && { heldBy: { task: this.#name.id, cause: 'cut-off' as const, since: unsent } }),
      upstream: {},
      troubles: this.#book.note(found, moment.now)
    }
  }
}

// The outside fails now and then; it is asked again from the last committed cursor.
function sourceFailed(task: string, error: unknown): StreamError {
  return new StreamError('handler', `source '${task}' failed: ${messageOf(error)}`, { retryable: true, cause: error })
}

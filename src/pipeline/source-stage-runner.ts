import { hasCode } from '../broker/index.ts'
import { deadlineIn, uuidv7 } from '../core/environment.ts'
import { LeaseGroup, type LeaseStore, type TaskName } from '../exactly-once/index.ts'
import type { StagePulse } from '../health/index.ts'
import type { SourceStage } from './definitions.ts'
import { endTask } from './end-task.ts'
import { groupName, splitName } from './identity.ts'
import { SourceRunner } from './source-runner.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { outletsOf } from './task-health.ts'
import { Signal } from '../core/signal.ts'

/**
 * One source at this worker: its splits are leases, shared out among the workers. A lease says when to try; the fence is
 * the commit store's epoch (law 4).
 */
export class SourceStageRunner {
  readonly #runtime: StageRuntime<SourceStage>
  readonly #leases: LeaseStore
  readonly #tasks: ReadonlyMap<string, TaskName>
  readonly #running = new Map<string, SourceRunner>()
  readonly #finished = new Set<string>()
  readonly #wake: Signal
  readonly #health: StagePulse
  #stopping = false
  #failure: unknown

  constructor(runtime: StageRuntime<SourceStage>, leases: LeaseStore, splits: readonly string[]) {
    this.#runtime = runtime
    this.#leases = leases
    this.#wake = new Signal(runtime.environment)
    const { pipeline, stage } = runtime
    this.#health = runtime.health.stage(stage.name, outletsOf(runtime))
    this.#tasks = new Map(splits.map(split => [split, splitName(pipeline, stage.name, split)]))
  }

  stop(): void {
    this.#stopping = true
    this.#wake.raise()
  }

  /** Resolves when stopped and drained, or when every split has ended; rejects with the first fatal error. */
  async run(): Promise<void> {
    const { pipeline, stage, environment, settings, peers } = this.#runtime
    const stopListening = peers.onChange(() => this.#wake.raise())
    const scope = groupName(pipeline, stage.name)
    const group = new LeaseGroup(
      this.#leases,
      environment,
      scope,
      uuidv7(environment),
      settings.sessionTimeout,
      this.#open(),
      {
        taken: split => this.#start(group, split),
        asked: split =>
          void this.#running
            .get(split)
            ?.release()
            .catch(() => {}),
        lost: split => this.#running.get(split)?.abandon(),
        failed: error => this.#fail(error)
      }
    )
    try {
      while (this.#open().length > 0) await this.#wake.wait(undefined)
    } finally {
      stopListening()
      group.setUnits([]) // what is drained and released must not be taken again
      await this.#drain()
      await group.close()
    }
    if (this.#failure) throw this.#failure
  }

  get #ending(): boolean {
    return this.#stopping || this.#failure !== undefined
  }

  /** Splits that have not ended, here or, by their reports, at another worker. */
  #open(): string[] {
    if (this.#ending) return []
    const ended = (split: string, task: TaskName): boolean =>
      this.#finished.has(split) ||
      (!this.#running.has(split) && this.#runtime.peers.tasks.get(task.id)?.state === 'closing')
    return [...this.#tasks].flatMap(([split, task]) => (ended(split, task) ? [] : [split]))
  }

  #start(group: LeaseGroup, split: string): void {
    // Taken in the very round in which we were told to stop.
    if (this.#ending) return void group.release(split)
    const pulse = this.#health.begin(split)
    const runner = new SourceRunner(this.#runtime, this.#tasks.get(split)!, split, pulse)
    this.#running.set(split, runner)
    runner.ended
      .catch(error => this.#fail(error))
      .finally(() => {
        this.#health.end(pulse)
        this.#running.delete(split)
        if (runner.finished) this.#finished.add(split)
        group.setUnits(this.#open()) // first: what has ended must not be taken again
        void group.release(split)
        this.#wake.raise()
      })
  }

  #fail(error: unknown): void {
    if (!hasCode(error, 'aborted')) this.#failure ??= error
    this.#wake.raise()
  }

  async #drain(): Promise<void> {
    const { environment, settings } = this.#runtime
    const deadline = deadlineIn(environment, this.#failure ? 0 : settings.drainTimeout)
    const runners = [...this.#running.values()]
    await Promise.all(runners.map(runner => endTask(runner, deadline.reached, environment))).catch(error =>
      this.#fail(error)
    )
    deadline.cancel()
  }
}

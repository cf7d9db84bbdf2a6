import { hasCode } from '../broker/index.ts'
import { deadlineIn, uuidv7, type Environment } from '../core/environment.ts'
import type { Lease, LeaseStore, TaskName } from '../exactly-once/index.ts'
import type { SourceStage } from './definitions.ts'
import { taskName } from './identity.ts'
import { SourceRunner } from './source-runner.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { Wake } from './wake.ts'

interface Split {
  readonly name: string
  readonly task: TaskName
  runner: SourceRunner | undefined
  /** The lease row that was last seen, and since when it has not changed, monotonic ms. */
  seen: Lease | undefined
  since: number
  finished: boolean
}

/**
 * One source at this worker: takes splits whose lease is free or has stood still, keeps its own leases beating, runs what
 * it holds. A lease says when to try; the fence is the commit store's epoch (law 4).
 */
export class SourceStageRunner {
  readonly #runtime: StageRuntime<SourceStage>
  readonly #leases: LeaseStore
  readonly #environment: Environment
  readonly #owner: string
  readonly #splits: readonly Split[]
  readonly #wake: Wake
  #stopping = false
  #failure: unknown

  constructor(runtime: StageRuntime<SourceStage>, leases: LeaseStore, splits: readonly string[]) {
    this.#runtime = runtime
    this.#leases = leases
    this.#environment = runtime.environment
    this.#owner = uuidv7(runtime.environment)
    this.#wake = new Wake(runtime.environment)
    const { pipeline, stage } = runtime
    this.#splits = splits.map((name, index) => ({
      name,
      task: taskName(pipeline, stage.name, name, index),
      runner: undefined,
      seen: undefined,
      since: 0,
      finished: false
    }))
  }

  stop(): void {
    this.#stopping = true
    this.#wake.now()
  }

  /** Resolves when stopped and drained, or when every split has ended; rejects with the first fatal error. */
  async run(): Promise<void> {
    const { settings, peers } = this.#runtime
    const stopListening = peers.onChange(() => this.#wake.now())
    // Four beats in the time after which others may take over: one lost beat is no reason.
    const beat = settings.sessionTimeout / 4
    try {
      while (!this.#stopping && !this.#failure && !this.#isFinished()) {
        for (const split of this.#splits) await this.#tend(split)
        await this.#wake.wait(this.#isFinished() ? 0 : Math.min(beat, 500))
      }
    } finally {
      stopListening()
      await this.#drain()
    }
    if (this.#failure) throw this.#failure
  }

  async #tend(split: Split): Promise<void> {
    if (split.finished) return
    if (split.runner) {
      if (!(await this.#leases.beat(split.task.id, this.#owner))) split.runner.abandon()
      return
    }
    const lease = await this.#leases.read(split.task.id)
    const now = this.#environment.monotonic()
    if (lease?.owner !== split.seen?.owner || lease?.beat !== split.seen?.beat || split.since === 0) {
      split.seen = lease
      split.since = now
    }
    const free = lease?.owner === undefined
    const stale = now - split.since >= this.#runtime.settings.sessionTimeout
    if ((free || stale) && (await this.#leases.take(split.task.id, this.#owner, lease))) this.#start(split)
  }

  #start(split: Split): void {
    const runner = new SourceRunner(this.#runtime, split.task, split.name)
    split.runner = runner
    runner.ended
      .catch(error => (this.#failure ??= hasCode(error, 'aborted') ? undefined : error))
      .finally(async () => {
        split.runner = undefined
        split.finished = runner.finished
        split.since = 0
        await this.#leases.release(split.task.id, this.#owner).catch(() => {}) // it will expire
        this.#wake.now()
      })
  }

  /** Ended here, or reported as ended by the worker that had it. */
  #isFinished(): boolean {
    return this.#splits.every(
      split => split.finished || (!split.runner && this.#runtime.peers.tasks.get(split.task.id)?.state === 'closing')
    )
  }

  async #drain(): Promise<void> {
    const runners = this.#splits.flatMap(({ runner }) => runner ?? [])
    const deadline = deadlineIn(this.#environment, this.#failure ? 0 : this.#runtime.settings.drainTimeout)
    const release = async (runner: SourceRunner): Promise<void> => {
      await Promise.race([runner.release(), deadline.reached.then(() => runner.abandon())])
      await runner.ended
    }
    await Promise.all(runners.map(release)).catch(error => (this.#failure ??= error))
    deadline.cancel()
    for (const { task } of this.#splits) await this.#leases.release(task.id, this.#owner).catch(() => {})
  }
}

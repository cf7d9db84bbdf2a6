import { Alignment } from '../watermark/index.ts'
import type { Environment } from '../core/environment.ts'
import type { Stage } from './definitions.ts'
import type { PartitionInput } from './input.ts'
import { Rate } from './rate-limit.ts'
import type { StageRuntime } from './stage-runtime.ts'

/** Time between two looks at tasks on other workers, ms. They report once a second. */
const lookEvery = 250
/** Who waits looks so often whether it still must, ms. */
const askEvery = 50

/** The tasks of one stage on this worker, as they see each other. */
export class LocalTasks {
  readonly inputs: Map<string, readonly PartitionInput[]> = new Map()
  /** Of their stage, if it has one. */
  readonly rate: Rate | undefined

  constructor({ every }: Pick<Stage, 'every'>, environment: Environment) {
    this.rate = every === undefined ? undefined : new Rate(every, environment)
  }
}

/**
 * Holds back the inputs of a task that are more than `maxSkew` ahead of the slowest partition of the stage, on this worker or another,
 * that has records waiting. Of other workers it knows by their vitals; while these are lost nobody waits for long.
 */
export class Aligner {
  /** Until the next look, ms; `undefined` while nobody waits. */
  lookIn: number | undefined
  readonly #runtime: StageRuntime
  readonly #task: string
  readonly #stage: string
  readonly #inputs: readonly PartitionInput[]
  readonly #alignments: readonly Alignment[]
  readonly #held: boolean[] = []
  #lookedAt = -Infinity
  /** The least watermark of the tasks on other workers that have something to do. */
  #elsewhere: number | undefined

  constructor(runtime: StageRuntime, task: string, inputs: readonly PartitionInput[]) {
    const { maxSkew } = runtime.settings
    this.#runtime = runtime
    this.#task = task
    this.#stage = task.slice(0, task.lastIndexOf('/') + 1)
    this.#inputs = maxSkew === Infinity ? [] : inputs
    this.#alignments = this.#inputs.map(() => new Alignment(maxSkew))
    if (this.#inputs.length > 0) runtime.local.inputs.set(task, inputs)
  }

  /** Says of each input whether it takes no more for now. */
  update(): void {
    if (this.#inputs.length === 0) return
    const now = this.#runtime.environment.monotonic()
    this.#look(now)
    this.lookIn = undefined
    this.#inputs.forEach((input, index) => {
      input.waits = this.#waits(input, index, now)
      this.#held[index] = input.waits
      if (input.waits) this.lookIn = askEvery
    })
  }

  /** As of the last update. */
  holds(input: PartitionInput): boolean {
    return this.#held[this.#inputs.indexOf(input)] === true
  }

  /** Asked in the middle of a batch: is it too far ahead by now? */
  isTooFar(input: PartitionInput): boolean {
    const index = this.#inputs.indexOf(input)
    return index >= 0 && this.#waits(input, index, this.#runtime.environment.monotonic())
  }

  /** The task ends here: nobody waits for it any more. */
  close(): void {
    const { inputs } = this.#runtime.local
    if (inputs.get(this.#task) === this.#inputs) inputs.delete(this.#task)
    for (const input of this.#inputs) input.waits = false
  }

  #waits(input: PartitionInput, index: number, now: number): boolean {
    let slowest = this.#elsewhere
    for (const inputs of this.#runtime.local.inputs.values())
      for (const other of inputs)
        if (other !== input && other.busy) slowest = Math.min(slowest ?? Infinity, other.tracker.watermark)
    const alignment = this.#alignments[index]!
    alignment.see(slowest, now)
    return alignment.waits(input.tracker.watermark, now)
  }

  #look(now: number): void {
    if (now - this.#lookedAt < lookEvery) return
    this.#lookedAt = now
    this.#elsewhere = undefined
    const { local, peers } = this.#runtime
    for (const [task, { watermark, health, state }] of peers.tasks) {
      if (!task.startsWith(this.#stage) || local.inputs.has(task) || state !== 'active') continue
      if (health && health.pending > 0) this.#elsewhere = Math.min(this.#elsewhere ?? Infinity, watermark)
    }
  }
}

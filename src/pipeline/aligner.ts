import { Alignment } from '../watermark/index.ts'
import type { PartitionInput } from './input.ts'
import type { StageRuntime } from './stage-runtime.ts'

/** Time between two looks at the other tasks of the stage, ms. They report once a second. */
const lookEvery = 250

/**
 * Holds back the inputs of a task that are more than `maxSkew` ahead of the slowest partition of the stage, on this worker or another,
 * that has records waiting. What the others do is known from their vitals; while these are lost nobody waits for long.
 */
export class Aligner {
  /** Until the next look, ms; `undefined` while nobody waits. */
  lookIn: number | undefined
  readonly #runtime: StageRuntime
  readonly #task: string
  readonly #stage: string
  readonly #alignments = new Map<PartitionInput, Alignment>()
  #lookedAt = -Infinity
  /** The least watermark of the other tasks that have something to do. */
  #others: number | undefined

  constructor(runtime: StageRuntime, task: string) {
    this.#runtime = runtime
    this.#task = task
    this.#stage = task.slice(0, task.lastIndexOf('/') + 1)
  }

  /** Says of each input whether it takes no more for now. */
  update(inputs: readonly PartitionInput[]): void {
    const { maxSkew } = this.#runtime.settings
    if (maxSkew === Infinity) return
    const now = this.#runtime.environment.monotonic()
    this.#look(now)
    let anyone = false
    for (const input of inputs) {
      let alignment = this.#alignments.get(input)
      if (!alignment) this.#alignments.set(input, (alignment = new Alignment(maxSkew)))
      let slowest = this.#others
      for (const other of inputs)
        if (other !== input && other.queued) slowest = Math.min(slowest ?? Infinity, other.tracker.watermark)
      alignment.see(slowest, now)
      input.waits = alignment.waits(input.tracker.watermark, now)
      anyone ||= input.waits
    }
    this.lookIn = anyone ? lookEvery : undefined
  }

  /** Asked in the middle of a batch: is it too far ahead by now? */
  isTooFar(input: PartitionInput): boolean {
    const alignment = this.#alignments.get(input)
    return alignment?.waits(input.tracker.watermark, this.#runtime.environment.monotonic()) === true
  }

  #look(now: number): void {
    if (now - this.#lookedAt < lookEvery) return
    this.#lookedAt = now
    this.#others = undefined
    for (const [task, { watermark, health, state }] of this.#runtime.peers.tasks) {
      if (!task.startsWith(this.#stage) || task === this.#task || state !== 'active') continue
      if (health && health.pending > 0) this.#others = Math.min(this.#others ?? Infinity, watermark)
    }
  }
}

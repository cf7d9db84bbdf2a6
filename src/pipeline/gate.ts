import { Aligner } from './aligner.ts'
import type { PartitionInput } from './input.ts'
import type { Grant } from './rate-limit.ts'
import type { StageRuntime } from './stage-runtime.ts'

/** Says when the inputs of a task may go on: for their alignment in event time, and for the rate of the stage. */
export class Gate {
  /** Until the next look, ms; `undefined` while nothing waits here. */
  lookIn: number | undefined
  /** Records that may be taken now. */
  most: number = Infinity
  readonly #runtime: StageRuntime
  readonly #inputs: readonly PartitionInput[]
  readonly #aligner: Aligner
  #grant: Grant | undefined

  constructor(runtime: StageRuntime, task: string, inputs: readonly PartitionInput[]) {
    this.#runtime = runtime
    this.#inputs = inputs
    this.#aligner = new Aligner(runtime, task, inputs)
  }

  /** Says of each input whether it takes no more for now. */
  update(): void {
    this.#aligner.update()
    this.lookIn = this.#aligner.lookIn
    const { rate } = this.#runtime.local
    if (!rate) return
    // Who waits for the others of its stage asks for nothing.
    const wants = this.#inputs.some(input => input.queued && !this.#aligner.holds(input))
    if (wants) this.#grant ??= rate.ask()
    const wait = this.#grant ? this.#grant.at - this.#runtime.environment.monotonic() : 0
    this.most = this.#grant && wait <= 0 ? this.#grant.records : 0
    for (const input of this.#inputs) input.waits = this.most === 0 || this.#aligner.holds(input)
    if (wait > 0) this.lookIn = Math.min(this.lookIn ?? Infinity, wait)
  }

  /** So many were taken. */
  took(records: number): void {
    if (!this.#grant) return
    this.#runtime.local.rate!.used(this.#grant, records)
    this.#grant = undefined
  }

  /** Asked in the middle of a batch: is it too far ahead by now? */
  isTooFar(input: PartitionInput): boolean {
    return this.#aligner.isTooFar(input)
  }

  /** The task ends here: nobody waits for it any more. */
  close(): void {
    this.took(0)
    this.#aligner.close()
    for (const input of this.#inputs) input.waits = false
  }
}

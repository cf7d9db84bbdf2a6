import type { Position } from '../core/record.ts'
import type { PartitionInput } from './input.ts'
import type { Waiting } from './retry-queue.ts'
import type { Work } from './work.ts'

/** Where the task stood at its last commit. */
interface Place {
  readonly reached: number
  readonly before: Position | undefined
}

/** The records of a sink since its last commit: they are handed over, and written when the commit is due. */
export class SinkBatch {
  works: Work[] = []
  readonly #waiting = new Set<Waiting>()
  readonly #places = new Map<PartitionInput, Place>()
  #hold = -Infinity

  /** True when the record, which was put aside before, counts as done only once it is written. */
  add(work: Work): boolean {
    this.works.push(work)
    if (!work.waiting) return false
    this.#waiting.add(work.waiting)
    return true
  }

  /** Is it to be written with the next commit? */
  readonly has = (waiting: Waiting): boolean => this.#waiting.has(waiting)

  /** It is not to be written with this commit. */
  drop(work: Work): void {
    if (work.waiting) this.#waiting.delete(work.waiting)
  }

  /** Those that were put aside before and are written now. */
  takeWritten(): Work[] {
    const written = this.works.filter(({ waiting }) => waiting && this.#waiting.delete(waiting))
    this.works = []
    return written
  }

  /** Nothing has been said of anything behind the last commit: what waits holds the watermark there. */
  placeOf({ input }: Work): Place & { readonly hold: number } {
    const { reached = -Infinity, before } = this.#places.get(input) ?? {}
    return { hold: this.#hold, reached, before }
  }

  /** @param watermark of the task */
  committed(inputs: readonly PartitionInput[], watermark: number): void {
    this.works = []
    this.#waiting.clear()
    this.#hold = watermark
    for (const input of inputs) this.#places.set(input, { reached: input.tracker.watermark, before: input.position })
  }
}

import type { Vitals } from './vitals.ts'

/** A clock that is set by more than this has been set, ms: less is drift. */
const set = 500

/** How the clocks of this process read at one moment. */
interface Moment {
  readonly now: number
  readonly monotonic: number
}

/**
 * How far ahead of ours the clocks of others are, by the time in the last report of each. A report is on its way for a moment, so a
 * clock seems to be behind by that much. It is the last one that counts, because what it says of the clocks further up was measured
 * by the same clock. Pure.
 */
export class Clocks {
  readonly #ahead = new Map<string, number>()
  /** Our clock less time that never jumps. */
  #base: number | undefined

  heard({ task, health, state }: Vitals, moment: Moment): void {
    this.#look(moment)
    if (state === 'left') this.drop(task)
    else if (health) this.#ahead.set(task, Math.round(health.at - moment.now))
  }

  drop(task: string): void {
    this.#ahead.delete(task)
  }

  /** What is read after an interruption is old: it says nothing of the clocks. */
  forget(): void {
    this.#ahead.clear()
  }

  /** `undefined` while it has not been heard. */
  aheadOf(task: string, moment: Moment): number | undefined {
    this.#look(moment)
    return this.#ahead.get(task)
  }

  /** When our own clock is set, those of the others have not moved. */
  #look({ now, monotonic }: Moment): void {
    const base = now - monotonic
    const moved = base - (this.#base ?? base)
    if (this.#base === undefined) this.#base = base
    if (Math.abs(moved) < set) return
    this.#base = base
    for (const [task, ahead] of this.#ahead) this.#ahead.set(task, Math.round(ahead - moved))
  }
}

import type { StateRow } from './row.ts'

/** The slot under which marks are stored with the state: they are one commit with what they stand for. */
export const markSlot = '~marks'

/** How long a mark is kept while its task reads, ms: longer than a queue keeps a delivery for somebody who is gone. */
const kept = 15 * 60_000
/** Most marks of a task (law 8); the oldest go first. */
const most = 500_000

/**
 * Which records of a queue are processed, where no stamp says it: by the identity that the queue gives to each. Only time
 * in which the task lives counts, so that what was processed before a crash is known however long the crash lasts.
 */
export class RecordMarks {
  /** Identity -> when it was marked in this life, monotonic ms; the oldest first. */
  readonly #known = new Map<string, number>()
  /** Identity -> is it set (true) or gone (false) since the last commit. */
  readonly #changes = new Map<string, boolean>()

  has(identity: string): boolean {
    return this.#known.has(identity)
  }

  add(identity: string, now: number): void {
    this.#known.set(identity, now)
    this.#changes.set(identity, true)
  }

  load(row: StateRow, now: number): void {
    this.#known.set(row.key, now)
  }

  /** What the next commit has to write, after everything has been forgotten that may be. */
  changes(now: number): StateRow[] {
    for (const [identity, at] of this.#known) {
      if (at > now - kept && this.#known.size <= most) break
      this.#known.delete(identity)
      this.#changes.set(identity, false)
    }
    return Array.from(this.#changes, ([key, set]) => ({ slot: markSlot, key, value: set ? present : null }))
  }

  committed(): void {
    this.#changes.clear()
  }
}

const present = new Uint8Array(0)

import type { Environment } from '../../core/environment.ts'
import type { AnyAdapter } from '../../spec/index.ts'
import type { Standby, TaskName } from '../store.ts'
import { ChangelogTail, isFresh, type TailEnd } from './broker-tail.ts'

export interface StandbyParts {
  readonly adapter: AnyAdapter
  readonly environment: Environment
  /** Most bytes, about, of what is kept of all tasks together. */
  readonly maxBytes: number
  /** Where a task commits. */
  placeOf(task: TaskName): { readonly topic: string; readonly partition: number }
}

/**
 * Keeps the rows of tasks that are held elsewhere, by following their changelogs: whoever takes such a task over reads the rest only
 * (`docs/decisions/0014`). What finds no room is not kept, and is tried again when some has become free.
 */
export class BrokerStandby implements Standby {
  readonly #parts: StandbyParts
  readonly #tasks = new Map<string, TaskName>()
  readonly #tails = new Map<string, ChangelogTail>()
  /** Owners here of a task: two while one life follows another. */
  readonly #owners = new Map<string, number>()
  readonly #withoutRoom = new Set<string>()
  #closed = false

  constructor(parts: StandbyParts) {
    this.#parts = parts
  }

  open(tasks: readonly TaskName[]): void {
    for (const task of tasks) {
      this.#tasks.set(task.id, task)
      this.#begin(task.id)
    }
  }

  /** Tasks whose changelog has been read to its end, and is followed. */
  get following(): readonly string[] {
    return [...this.#tails].flatMap(([id, tail]) => (tail.follows ? [id] : []))
  }

  /** The task is held here from now on. Gives what is known of it. Call it behind the fence. */
  async take(id: string): Promise<TailEnd | undefined> {
    this.#owners.set(id, (this.#owners.get(id) ?? 0) + 1)
    this.#withoutRoom.delete(id)
    const tail = this.#tails.get(id)
    this.#tails.delete(id)
    const end = await tail?.end()
    this.#useRoom()
    return end
  }

  isFresh(end: TailEnd): boolean {
    return isFresh(end, this.#parts.environment)
  }

  /**
   * An owner here has let go of it: it is read anew, beside everything else. What the owner had in memory is no base: it is decoded, and
   * may be ahead of what was committed.
   *
   * @param from what `take` gave, where it was not taken over after all
   */
  release(id: string, from?: TailEnd): void {
    const owners = (this.#owners.get(id) ?? 1) - 1
    this.#owners.set(id, owners)
    if (owners === 0) this.#begin(id, from)
  }

  async close(): Promise<void> {
    this.#closed = true
    const ending = [...this.#tails.values()].map(tail => tail.close())
    this.#tails.clear()
    await Promise.all(ending)
  }

  get #bytes(): number {
    let bytes = 0
    for (const tail of this.#tails.values()) bytes += tail.bytes
    return bytes
  }

  #begin(id: string, from?: TailEnd): void {
    const task = this.#tasks.get(id)
    if (!task || this.#closed || this.#tails.has(id) || (this.#owners.get(id) ?? 0) > 0) return
    const { adapter, environment, maxBytes, placeOf } = this.#parts
    const hasRoom = (): boolean => {
      if (this.#bytes <= maxBytes) return true
      this.#tails.delete(id)
      this.#withoutRoom.add(id)
      return false
    }
    this.#tails.set(id, new ChangelogTail({ adapter, environment, task: id, hasRoom, ...placeOf(task) }, from))
  }

  #useRoom(): void {
    for (const id of this.#withoutRoom) {
      if (this.#bytes > this.#parts.maxBytes / 2) return
      this.#withoutRoom.delete(id)
      this.#begin(id)
    }
  }
}

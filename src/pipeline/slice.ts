import type { Environment } from '../core/environment.ts'
import { Turns } from '../core/turns.ts'

/** How long a task works before others get a turn, ms: timers, heartbeats and other tasks wait no longer for it. */
const length = 6

/** The time of one who works as long as there is work, and asks now and then whether others are due. */
export class Slice {
  readonly #environment: Environment
  #since: number

  constructor(environment: Environment) {
    this.#environment = environment
    this.#since = environment.monotonic()
  }

  get spent(): boolean {
    return this.#environment.monotonic() - this.#since >= length
  }

  /** It begins anew: others had the loop meanwhile. */
  begin(): void {
    this.#since = this.#environment.monotonic()
  }

  async yield(): Promise<void> {
    await Turns.of(this.#environment).next()
    this.begin()
  }
}

import type { Environment } from '../core/environment.ts'

/** How long a task works before others get a turn, ms: timers, heartbeats and other tasks wait no longer for it. */
const length = 6

/** One queue for all who share an event loop: in each turn of it one of them goes on, however many there are. */
class Turns {
  readonly #environment: Environment
  readonly #waiting: (() => void)[] = []
  #pumping = false

  constructor(environment: Environment) {
    this.#environment = environment
  }

  static of(environment: Environment): Turns {
    let turns = all.get(environment)
    if (!turns) all.set(environment, (turns = new Turns(environment)))
    return turns
  }

  /** Gives up the loop, for others to go on. */
  next(): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      if (!this.#pumping) void this.#pump()
    })
  }

  async #pump(): Promise<void> {
    this.#pumping = true
    while (this.#waiting.length > 0) {
      await this.#environment.turn()
      this.#waiting.shift()!()
    }
    this.#pumping = false
  }
}

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

const all = new WeakMap<Environment, Turns>()

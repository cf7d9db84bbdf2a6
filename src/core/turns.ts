import type { Environment } from './environment.ts'

/** One queue for all who share an event loop and work in pieces: in each turn of the loop one of them goes on, however many there are. */
export class Turns {
  readonly #environment: Environment
  readonly #waiting: (() => void)[] = []
  #pumping = false

  private constructor(environment: Environment) {
    this.#environment = environment
  }

  static of(environment: Environment): Turns {
    let turns = all.get(environment)
    if (!turns) all.set(environment, (turns = new Turns(environment)))
    return turns
  }

  /** Gives up the loop, for all others to go on. */
  next(): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      if (!this.#pumping) void this.#pump()
    })
  }

  /** Gives up the loop to timers and sockets, but to nobody in this queue: for short pieces of what the others wait for. */
  soon(): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.unshift(resolve)
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

const all = new WeakMap<Environment, Turns>()

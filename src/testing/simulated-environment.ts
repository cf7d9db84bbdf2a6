import type { Environment, Timer } from '../core/environment.ts'

export interface SimulationOptions {
  /** Of the dice. Default 1: the same run every time. */
  readonly seed?: number
  /** What the wall clock shows at the start, milliseconds since 1970. Default: 2026-01-01. */
  readonly now?: number
}

interface Pending {
  readonly at: number
  readonly order: number
  readonly task: () => void
}

/** Turns of the event loop without news after which nothing is left to do but to let time pass. */
const quietTurns = 3

/**
 * A clock that a test moves, and dice that fall the same way each time. Time stands still while there is work, and jumps to
 * the next timer when there is none: retries, intervals and timeouts take no real time. Real I/O of a handler is not seen
 * as work: to the simulation it seems to take long.
 *
 * @example
 * const environment = new SimulatedEnvironment({ seed: 7 })
 * const client = await connect({ brokers: { default: memory() }, environment })
 * await environment.run(client.run(app))
 */
export class SimulatedEnvironment implements Environment {
  readonly #start: number
  #clock = 0
  #order = 0
  /** Counts what the code under test asks for. */
  #activity = 0
  #state: number
  /** A heap would be faster; there are a few dozen at a time. */
  #timers: Pending[] = []

  constructor({ seed = 1, now = Date.UTC(2026, 0, 1) }: SimulationOptions = {}) {
    this.#start = now
    this.#state = seed >>> 0
  }

  now(): number {
    return this.#start + this.#clock
  }

  monotonic(): number {
    return this.#clock
  }

  // Mulberry32: 32 bits of state, good enough for dice.
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  timer(delay: number, task: () => void): Timer {
    this.#activity++
    const pending: Pending = { at: this.#clock + Math.max(0, delay), order: this.#order++, task }
    this.#timers.push(pending)
    return {
      cancel: () => {
        const at = this.#timers.indexOf(pending)
        if (at >= 0) this.#timers.splice(at, 1)
      }
    }
  }

  turn(): Promise<void> {
    this.#activity++
    return new Promise(resolve => setImmediate(resolve))
  }

  /** Lets so many ms pass: what falls due on the way runs in its order. */
  async advance(milliseconds: number): Promise<void> {
    const until = this.#clock + milliseconds
    await this.settle()
    while (this.#next() <= until) {
      this.#fire()
      await this.settle()
    }
    this.#clock = until
  }

  /** Lets time pass for as long as it takes the promise to settle, and gives its result. */
  async run<Result>(promise: Promise<Result>): Promise<Result> {
    let settled = false
    const end = (): void => void (settled = true)
    promise.then(end, end)
    while (!settled) {
      await this.settle()
      if (!settled && this.#timers.length > 0) this.#fire()
    }
    return promise
  }

  /** Resolves when all that can be done without letting time pass is done. */
  async settle(): Promise<void> {
    let before: number
    do {
      before = this.#activity
      for (let turn = 0; turn < quietTurns; turn++) await new Promise(resolve => setImmediate(resolve))
    } while (this.#activity !== before)
  }

  #next(): number {
    return this.#timers.reduce((first, { at }) => Math.min(first, at), Infinity)
  }

  #fire(): void {
    let first = 0
    for (const [index, { at, order }] of this.#timers.entries()) {
      const best = this.#timers[first]!
      if (at < best.at || (at === best.at && order < best.order)) first = index
    }
    const [due] = this.#timers.splice(first, 1)
    this.#clock = Math.max(this.#clock, due!.at)
    due!.task()
  }
}

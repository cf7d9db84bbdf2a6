import { memory, type MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Client } from '../../src/client.ts'
import { connect } from '../../src/connect.ts'
import type { Environment, Timer } from '../../src/core/environment.ts'
import type { ClientStore } from '../../src/exactly-once/index.ts'
import type { Pipeline } from '../../src/pipeline/index.ts'

const never = (): Promise<never> => new Promise(() => {})

/** A process with a clock of its own, which may be wrong, and which stops with it. */
class OwnClock implements Environment {
  /** How far ahead it is, ms. */
  ahead = 0
  #stopped = false
  readonly #environment: Environment
  readonly #timers = new Set<Timer>()

  constructor(environment: Environment) {
    this.#environment = environment
  }

  now(): number {
    return this.#environment.now() + this.ahead
  }

  monotonic(): number {
    return this.#environment.monotonic()
  }

  random(): number {
    return this.#environment.random()
  }

  timer(delay: number, task: () => void, background?: boolean): Timer {
    if (this.#stopped) return { cancel: () => {} }
    const timer = this.#environment.timer(
      delay,
      () => {
        this.#timers.delete(timer)
        task()
      },
      background
    )
    this.#timers.add(timer)
    return timer
  }

  async turn(): Promise<void> {
    if (this.#stopped) return never()
    await this.#environment.turn()
    if (this.#stopped) await never()
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) timer.cancel()
  }
}

export interface HopParts {
  readonly name: string
  readonly environment: Environment
  readonly store: ClientStore
  /** Name -> the broker there. */
  readonly brokers: Readonly<Record<string, MemoryBroker>>
  /** Topic -> name of its broker. */
  readonly topics: Readonly<Record<string, { readonly broker: string }>>
}

/** One service of the chain: a process, as far as it fits into this one. */
export class Hop {
  readonly name: string
  readonly clock: OwnClock
  readonly #parts: HopParts
  #client: Client | undefined

  constructor(parts: HopParts) {
    this.name = parts.name
    this.#parts = parts
    this.clock = new OwnClock(parts.environment)
  }

  async run(app: Pipeline): Promise<void> {
    const { name, brokers, store, topics } = this.#parts
    const adapters = Object.entries(brokers).map(
      ([broker, memoryBroker]) => [broker, memory({ broker: memoryBroker, client: name })] as const
    )
    const options = { brokers: Object.fromEntries(adapters), topics, store, environment: this.clock, variables: {} }
    this.#client = await connect(options)
    await this.#client.run(app, { handleSignals: false })
  }

  /** From now on nothing of it acts. */
  kill(): void {
    this.clock.stop()
    for (const { faults } of Object.values(this.#parts.brokers)) faults.disconnect(this.name)
  }

  /** It lives, and some brokers do not answer it; it does not hear them, and they do not hear it. */
  cutOff(from: readonly string[]): void {
    for (const broker of from) this.#parts.brokers[broker]!.faults.disconnect(this.name)
  }
}

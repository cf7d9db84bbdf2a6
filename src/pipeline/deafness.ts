import type { Environment, Timer } from '../core/environment.ts'

/** A broker that has answered with nothing but errors for so long is not heard, ms; */
const failingFor = 1_000
/** nor one that has not answered at all for so long. */
const deafAfter = 3_000

/** Notices that a broker is not heard: it answers with errors, or not at all. */
export class Deafness {
  readonly #environment: Environment
  /** The first of the errors since it last answered, monotonic ms; and whether a call hangs. */
  #failingSince: number | undefined
  #hangingSince: number | undefined

  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** Since when it is not heard, monotonic ms; `undefined` while it is. */
  get since(): number | undefined {
    const since = this.#failingSince
    // One error is nothing: a broker that has moved answers at the next attempt.
    if (since !== undefined && this.#environment.monotonic() - since >= failingFor) return since
    return this.#hangingSince
  }

  failed(): void {
    this.#failingSince ??= this.#environment.monotonic()
  }

  answered(): void {
    this.#failingSince = this.#hangingSince = undefined
  }

  /** A call begins. Two timers: one that is late because this process was busy proves nothing. */
  watch(): Pick<Timer, 'cancel'> {
    const since = this.#environment.monotonic()
    let timer = this.#environment.timer(
      deafAfter - 100,
      () => (timer = this.#environment.timer(100, () => (this.#hangingSince = since), true)),
      true
    )
    return { cancel: () => timer.cancel() }
  }
}

import type { Environment } from '../core/environment.ts'

/** A loop waits here until it is woken or time is up. A wake that comes while nobody waits is kept. */
export class Wake {
  readonly #environment: Environment
  #woken = false
  #resume: (() => void) | undefined

  constructor(environment: Environment) {
    this.#environment = environment
  }

  now(): void {
    if (this.#resume) this.#resume()
    else this.#woken = true
  }

  /** @param delay ms, or `undefined` to wait for a wake alone */
  wait(delay: number | undefined): Promise<void> {
    if (this.#woken) {
      this.#woken = false
      return Promise.resolve()
    }
    return new Promise(resolve => {
      const timer = delay === undefined ? undefined : this.#environment.timer(delay, () => this.#resume?.())
      this.#resume = () => {
        this.#resume = undefined
        timer?.cancel()
        resolve()
      }
    })
  }
}

import { abortedError, type Environment } from './environment.ts'

/** A reader waits here for news. A signal that comes while nobody waits is kept. */
export class Signal {
  readonly #environment: Environment
  #raised = false
  #resume: (() => void) | undefined

  constructor(environment: Environment) {
    this.#environment = environment
  }

  raise(): void {
    if (this.#resume) this.#resume()
    else this.#raised = true
  }

  /** Resolves after `delay` ms (`undefined`: never by itself) or at the signal; rejects with `aborted`. */
  wait(delay: number | undefined, signal?: AbortSignal): Promise<void> {
    if (this.#raised) {
      this.#raised = false
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortedError(signal))
      const timer = delay === undefined ? undefined : this.#environment.timer(delay, () => end())
      const onAbort = (): void => end(abortedError(signal))
      const end = (error?: Error): void => {
        timer?.cancel()
        signal?.removeEventListener('abort', onAbort)
        this.#resume = undefined
        if (error) reject(error)
        else resolve()
      }
      this.#resume = end
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

/** The shortest wait, ms; `undefined` is none. */
export function soonest(...waits: readonly (number | undefined)[]): number | undefined {
  const least = Math.min(...waits.map(wait => wait ?? Infinity))
  return least === Infinity ? undefined : Math.max(0, least)
}

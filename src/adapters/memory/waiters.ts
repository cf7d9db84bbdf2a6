import { abortedError, type Environment } from '../../core/environment.ts'

/**
 * The one pending wait of a reader. `wake` costs a comparison when nobody waits; several wakes in one turn make one
 * wake-up, so that a batch over many partitions is collected as a whole.
 */
export class Waiter {
  #wake: (() => void) | undefined

  wake(): void {
    this.#wake?.()
  }

  /** Resolves when woken or after `delay` ms; rejects with `aborted`. */
  wait(environment: Environment, delay: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortedError(signal))
      const finish = (): void => {
        this.#wake = undefined
        timer?.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        finish()
        reject(abortedError(signal))
      }
      const done = (): void => {
        finish()
        resolve()
      }
      const timer = delay === Infinity ? undefined : environment.timer(delay, done)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#wake = done
    })
  }
}

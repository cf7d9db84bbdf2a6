import type { Environment } from '../../core/environment.ts'

/** True when the promise resolves in time, false when time is up first; rejects as it does. */
export function within(environment: Environment, milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = environment.timer(milliseconds, () => resolve(false))
    promise.then(() => resolve(true), reject).finally(() => timer.cancel())
  })
}

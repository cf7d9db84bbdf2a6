import { abortedError, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'

/** The client's own time-out comes first, where it has one: its error says more. */
const grace = 1_000

/**
 * What a call of the vendor client gives, or `timeout` when it does not come back. The client's time-outs do not cover all that it
 * does: after a lost connection it closes the links of before, a minute each, and whoever wants a link waits for that, deaf to
 * its signal. What comes back later is told to stop, and nobody hears of it.
 */
export function answered<Result>(
  call: (signal: AbortSignal) => Promise<Result>,
  environment: Environment,
  timeout: number,
  signal: AbortSignal | undefined
): Promise<Result> {
  if (signal?.aborted) return Promise.reject(abortedError(signal))
  return new Promise((resolve, reject) => {
    const giveUp = new AbortController()
    const end = (error: StreamError): void => {
      reject(error)
      giveUp.abort()
    }
    const onAbort = (): void => end(abortedError(signal))
    const timer = environment.timer(
      timeout + grace,
      () => {
        const message = `the client gave no answer within ${timeout + grace} ms`
        end(new StreamError('timeout', message, { adapter: 'eventhubs', retryable: true }))
      },
      true
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    call(giveUp.signal)
      .then(resolve, reject)
      .finally(() => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      })
  })
}

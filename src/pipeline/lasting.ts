import { delayOf, hasCode } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { deadlineIn, sleep, unlessAborted, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { RunHealth } from '../health/index.ts'

const backoff = { first: 250, most: 5_000 } as const

/**
 * Begins a run anew when it cannot start because a broker or a store is away, and when rights that it had are refused: the
 * server comes back, a token is renewed, a certificate is replaced, and nobody should have to start the process for it. What
 * no attempt will mend ends it: a configuration that is wrong, and rights that it has never had. Health tells of it meanwhile.
 */
export async function lasting(
  once: () => Promise<void>,
  environment: Environment,
  health: RunHealth,
  signal: AbortSignal | undefined
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once()
    } catch (error) {
      const { phase, interrupted, gotOn } = health
      const isRefused = gotOn && hasCode(error, 'unauthorized')
      const mayPass = StreamError.is(error) && error.retryable && (phase === 'starting' || interrupted)
      if (signal?.aborted || !(isRefused || mayPass)) throw error
      if (phase !== 'starting' && !interrupted) attempt = 1
      if (isRefused || interrupted) {
        health.interrupt(error)
        diagnose('run-interrupted', { pipeline: health.pipeline, error })
      } else {
        health.beginAnew(error)
        diagnose('start-retried', { pipeline: health.pipeline, attempt, error })
      }
      await sleep(environment, delayOf(backoff, attempt, environment), signal).catch(() => {})
      if (signal?.aborted) return
    }
  }
}

interface Starting {
  start(): Promise<void>
  close(): Promise<void>
}

/**
 * Starts a run. Told to stop meanwhile it does not wait for a server that may never come: what is under way is closed, and left
 * when it has not come back after `timeout` ms. @returns false when it was stopped
 */
export async function cameUp(
  run: Starting,
  environment: Environment,
  timeout: number,
  signal: AbortSignal | undefined
): Promise<boolean> {
  const starting = run.start()
  try {
    await unlessAborted(starting, signal)
    return true
  } catch (error) {
    if (!signal?.aborted) throw error
    const closed = run.close().then(() => starting.catch(() => {}).then(() => run.close()))
    closed.catch(() => {})
    const deadline = deadlineIn(environment, timeout)
    await Promise.race([closed, deadline.reached])
    deadline.cancel()
    return false
  }
}

import { delayOf, hasCode } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { sleep, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { RunHealth } from '../health/index.ts'

/**
 * Begins a run anew when rights that it had are refused: they are given back, a token is renewed, a certificate is replaced,
 * and nobody should have to start the process for it. A run that has never got anything done fails at once: there the
 * credentials are wrong. Health tells of it meanwhile.
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
      const isOnTheWay = attempt > 1 && StreamError.is(error) && error.retryable
      if (signal?.aborted || !health.gotOn || !(hasCode(error, 'unauthorized') || isOnTheWay)) throw error
      if (!health.interrupted) attempt = 1
      health.interrupt(error)
      diagnose('run-interrupted', { pipeline: health.pipeline, error })
      await sleep(environment, delayOf({ first: 250, most: 10_000 }, attempt, environment), signal).catch(() => {})
      if (signal?.aborted) return
    }
  }
}

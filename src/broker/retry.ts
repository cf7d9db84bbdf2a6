import { sleep, type Environment } from '../core/environment.ts'
import { asStreamError, StreamError, type ErrorCode } from '../core/errors.ts'
import type { AnyAdapter } from '../spec/index.ts'

/** Waits between attempts: doubling from `first` to `most` ms, each spread over its upper half so that clients part. */
export interface Backoff {
  readonly first: number
  readonly most: number
}

export function delayOf(backoff: Backoff, attempt: number, environment: Environment): number {
  const full = Math.min(backoff.most, backoff.first * 2 ** Math.min(attempt - 1, 30))
  return full * (0.5 + environment.random() / 2)
}

/** What a driver threw, in our words: its code decides, its message is kept. */
export function classified(adapter: AnyAdapter, error: unknown, doing: string): StreamError {
  if (StreamError.is(error)) return error
  const { code, retryable } = adapter.classify(error)
  return asStreamError(error, code, `${adapter.name} (${adapter.location}): ${doing}`, {
    retryable,
    adapter: adapter.name
  })
}

/** Of whoever waits for attempts: ends them, and hears of those that failed. */
export interface Trying {
  readonly signal?: AbortSignal | undefined
  readonly onRetry?: ((attempt: number, error: StreamError) => void) | undefined
}

export interface RetryOptions extends Trying {
  readonly adapter: AnyAdapter
  readonly environment: Environment
  readonly doing: string
  /** Default: for ever, while the error is retryable. */
  readonly attempts?: number
}

const backoff: Backoff = { first: 50, most: 5_000 }

/** Calls until it succeeds, the error is not retryable, or the attempts are spent. Drivers never retry; this does. */
export async function withRetry<Result>(options: RetryOptions, call: () => Promise<Result>): Promise<Result> {
  const { adapter, environment, signal, attempts = Infinity } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (thrown) {
      const error = classified(adapter, thrown, options.doing)
      if (!error.retryable || attempt >= attempts || signal?.aborted) throw error
      options.onRetry?.(attempt, error)
      await sleep(environment, delayOf(backoff, attempt, environment), signal)
    }
  }
}

/** Is it one of these codes? */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): boolean {
  return StreamError.is(error) && codes.includes(error.code)
}

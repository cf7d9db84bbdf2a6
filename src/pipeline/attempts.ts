import { delayOf } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { sleep, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { RawRecord } from '../core/record.ts'
import type { TopicPartition } from '../spec/index.ts'
import type { Policy } from './logic.ts'

export interface Attempts {
  readonly task: string
  readonly policy: Policy
  readonly environment: Environment
  readonly signal: AbortSignal
  readonly place: TopicPartition
  readonly record: RawRecord
}

/**
 * Goes on trying after a first failure. Resolves with `undefined` once an attempt succeeds, else with what makes the
 * record a parked one: the last error and how many attempts there were. Throws when the policy says `stop`.
 */
export async function tryAgain(
  attempts: Attempts,
  first: unknown,
  attempt: () => unknown
): Promise<{ readonly error: unknown; readonly attempts: number } | undefined> {
  const { task, policy, environment, signal, place, record } = attempts
  let error = first
  let count = 1
  for (; count <= policy.retries && !isPoison(error); count++) {
    diagnose('record-retried', { task, ...place, position: record.position, attempt: count, error })
    await sleep(environment, delayOf(policy.backoff, count, environment), signal)
    try {
      await attempt()
      return undefined
    } catch (thrown) {
      error = thrown
    }
  }
  if (policy.then === 'stop') throw stopped(attempts, error, count)
  diagnose('record-parked', { task, ...place, position: record.position, attempts: count, error })
  return { error, attempts: count }
}

// The same bytes will not decode at the next attempt either.
function isPoison(error: unknown): boolean {
  return StreamError.is(error) && ['bad-record', 'bad-schema', 'too-large', 'corrupt'].includes(error.code)
}

function stopped({ task, place, record }: Attempts, error: unknown, count: number): StreamError {
  const where = `${place.topic}/${place.partition} at ${record.position}`
  return new StreamError(
    'handler',
    `task '${task}' failed ${count} times on the record ${where}, and its policy is to stop`,
    { cause: error }
  )
}

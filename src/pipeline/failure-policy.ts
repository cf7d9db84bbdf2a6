import { StreamError } from '../core/errors.ts'
import { causesOf, ownKind, RetryableError, type FailureKind } from '../core/failure.ts'
import { abortedError } from '../core/environment.ts'

/** An error class, or a code: what `error.code` says, of a `StreamError`, of Node or of a vendor's client. */
export type ErrorMatch = string | (abstract new (...given: any[]) => unknown)

/**
 * What happens to a record whose handler throws, whatever the style of the handler and the backend. The kind of an error is
 * what the handler says by its class (`RetryableError`, `PoisonError`, `FatalError`), else what `classify` says, else that of
 * the list it is in, else `poison` for bytes that do not decode and outputs that do not encode, else `retryable`. Causes of an
 * error count as the error itself.
 *
 * @example
 * failure: { retries: 8, backoff: { first: 250, most: 60_000 }, poison: [ZodError, 'EBADMSG'], fatal: ['EACCES'] }
 */
export interface FailurePolicy {
  /** Attempts after the first, of what is retryable. Default 3. `Infinity`: until it works. */
  readonly retries?: number
  /** Waits between attempts, ms: doubled from `first` to `most`, each spread over its upper half. Default 100 to 10,000. */
  readonly backoff?: { readonly first: number; readonly most: number }
  /**
   * What waits with a record that is tried again. `key` (default): the later records of its key, those without a key being one;
   * the other keys go on, and the wait survives a restart. `partition`: everything behind it.
   */
  readonly order?: 'key' | 'partition'
  /** After the last attempt. `park` (default): to `<topic>.parked`, as part of the commit. `stop`: `run` rejects. */
  readonly then?: 'park' | 'stop'
  readonly retryable?: readonly ErrorMatch[]
  readonly poison?: readonly ErrorMatch[]
  readonly fatal?: readonly ErrorMatch[]
  /** `undefined` leaves it to the lists. */
  classify?(error: unknown): FailureKind | undefined
}

/** A policy with everything filled in. */
export interface Policy {
  readonly retries: number
  readonly backoff: { readonly first: number; readonly most: number }
  readonly order: 'key' | 'partition'
  readonly then: 'park' | 'stop'
  kindOf(error: unknown): FailureKind
}

/** @param failure that of a stage */
export function policyOf(failure: FailurePolicy): Policy {
  return {
    retries: failure.retries ?? 3,
    backoff: failure.backoff ?? { first: 100, most: 10_000 },
    order: failure.order ?? 'key',
    then: failure.then ?? 'park',
    kindOf: error => kindOf(failure, error)
  }
}

/** Throws `bad-config`, which names the stage and the option. */
export function checkPolicy(stage: string, failure: FailurePolicy): FailurePolicy {
  const { retries = 0, backoff, order = 'key', then = 'park' } = failure
  const refuse = (what: string, value: unknown): never => {
    throw new StreamError('bad-config', `stage '${stage}': failure.${what}, got ${String(value)}`)
  }
  if (!(retries === Infinity || (Number.isInteger(retries) && retries >= 0)))
    refuse('retries must be a whole number, 0 or more', retries)
  if (backoff && !(backoff.first > 0 && backoff.most >= backoff.first && backoff.most < 2 ** 31))
    refuse('backoff must be milliseconds with 0 < first <= most', `${backoff.first} to ${backoff.most}`)
  if (order !== 'key' && order !== 'partition') refuse("order must be 'key' or 'partition'", order)
  if (then !== 'park' && then !== 'stop') refuse("then must be 'park' or 'stop'", then)
  for (const list of ['retryable', 'poison', 'fatal'] as const)
    for (const match of failure[list] ?? [])
      if (typeof match !== 'string' && typeof match !== 'function')
        refuse(`${list} lists error classes and codes`, typeof match)
  return failure
}

// The same bytes will not decode at the next attempt either.
const poisonous: readonly string[] = ['bad-record', 'bad-schema', 'too-large', 'corrupt']

function kindOf(failure: FailurePolicy, error: unknown): FailureKind {
  for (const cause of causesOf(error)) {
    const own = ownKind(cause)
    if (own) return own
  }
  const said = failure.classify?.(error)
  if (said) return said
  for (const cause of causesOf(error))
    for (const kind of ['fatal', 'poison', 'retryable'] as const)
      if (failure[kind]?.some(match => matches(match, cause))) return kind
  return StreamError.is(error) && poisonous.includes(error.code) ? 'poison' : 'retryable'
}

function matches(match: ErrorMatch, error: unknown): boolean {
  if (typeof match === 'string') return String((error as { code?: unknown } | null)?.code) === match
  return typeof error === 'object' && error !== null && error instanceof match
}

/** How long the handler itself asks to wait, ms. */
export function askedWait(error: unknown): number {
  for (const cause of causesOf(error))
    if (ownKind(cause) === 'retryable') return (cause as Partial<RetryableError>).after ?? 0
  return 0
}

/** What a failure at a record means once the task is told to end: nothing. Throws `aborted`. */
export function assertGoingOn(signal: AbortSignal): void {
  if (signal.aborted) throw abortedError(signal)
}

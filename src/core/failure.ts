/**
 * What kind of failure it is, which says what becomes of the record. `retryable`: the same may work later. `poison`: it never
 * will with this record; others are not to blame. `fatal`: with no record, so the run must stop.
 */
export type FailureKind = 'retryable' | 'poison' | 'fatal'

/** Holds across two copies of this package, which `instanceof` does not. */
const marker: unique symbol = Symbol.for('tidemark.failure') as never

abstract class Failure extends Error {
  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    Object.defineProperty(this, marker, { value: kind })
  }
}

export interface RetryableOptions extends ErrorOptions {
  /** Not before so many ms, as in `Retry-After`. The policy may wait longer. */
  readonly after?: number
}

/**
 * A handler's own word: try this record again later. It says so above everything that the policy of the stage says of kinds.
 *
 * @example
 * if (response.status === 429) throw new RetryableError('too many requests', { after: 30_000 })
 */
export class RetryableError extends Failure {
  override readonly name: string = 'RetryableError'
  readonly after: number | undefined

  constructor(message: string, options?: RetryableOptions) {
    super('retryable', message, options)
    this.after = options?.after
  }
}

/**
 * A handler's own word: no attempt will ever do with this record. It is parked at once.
 *
 * @example
 * if (order.lines.length === 0) throw new PoisonError(`order ${order.id} has no lines`)
 */
export class PoisonError extends Failure {
  override readonly name: string = 'PoisonError'

  constructor(message: string, options?: ErrorOptions) {
    super('poison', message, options)
  }
}

/**
 * A handler's own word: nothing can go on like this, whatever the record. The run rejects, and the record counts as not processed.
 *
 * @example
 * if (response.status === 401) throw new FatalError('the API key was revoked')
 */
export class FatalError extends Failure {
  override readonly name: string = 'FatalError'

  constructor(message: string, options?: ErrorOptions) {
    super('fatal', message, options)
  }
}

/** What an error says of itself; `undefined` for one that says nothing. */
export function ownKind(error: unknown): FailureKind | undefined {
  return typeof error === 'object' && error !== null ? (error as { [marker]?: FailureKind })[marker] : undefined
}

/** How many causes of causes are looked at: a chain may be a ring. */
const deepest = 8

/** An error, its cause, the cause of that. */
export function* causesOf(error: unknown): Generator<unknown, void, undefined> {
  let current = error
  for (let depth = 0; depth < deepest && current !== undefined && current !== null; depth++) {
    yield current
    current = (current as { cause?: unknown }).cause
  }
}

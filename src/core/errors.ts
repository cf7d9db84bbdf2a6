/** The closed set of codes. Programs act on the code, people read the message. */
export type ErrorCode =
  | 'bad-config' // an option is wrong, unknown or missing
  | 'bad-record' // bytes that the codec of the topic refuses, or a value the codec cannot encode
  | 'bad-schema' // a schema is unknown, malformed or incompatible
  | 'unsupported' // the backend declares that it cannot do this
  | 'peer-missing' // the vendor package is not installed
  | 'unknown-topic'
  | 'topic-exists'
  | 'unauthorized'
  | 'too-large'
  | 'throttled'
  | 'connection'
  | 'timeout'
  | 'fenced' // a newer owner took over: this one must stop
  | 'not-owner' // commit, seek or pause for a partition that this member does not hold
  | 'records-lost' // records of a producer are missing, and the topic says to stall
  | 'position-lost' // the position has left the retention of the topic
  | 'unknown-outcome' // the request may or may not have taken effect
  | 'handler' // the user's function threw, and the policy says stop
  | 'corrupt' // stored bytes of ours do not parse
  | 'skipped' // a replay has left the record out
  | 'closed'
  | 'aborted'
  | 'internal'

const marker: unique symbol = Symbol.for('tidemark.StreamError') as never

export interface StreamErrorOptions {
  /** May the same call succeed later, unchanged? Default false. */
  readonly retryable?: boolean
  /** Name of the adapter that met it, `core` otherwise. */
  readonly adapter?: string
  readonly cause?: unknown
  /** Of `bad-config` with several: each of them, as in the message. */
  readonly problems?: readonly string[]
}

/**
 * The one error class. The message says what happened, where, and what to do; it never holds a secret.
 *
 * @example
 * try { await client.run(app) } catch (error) {
 *   if (StreamError.is(error) && error.code === 'unknown-topic') await client.admin.create(trades)
 * }
 */
export class StreamError extends Error {
  override readonly name: string = 'StreamError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly adapter: string
  /** Of `bad-config`, when several things are wrong: a sentence for each. */
  declare readonly problems?: readonly string[]

  constructor(code: ErrorCode, message: string, options: StreamErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.adapter = options.adapter ?? 'core'
    if (options.problems) this.problems = options.problems
    Object.defineProperty(this, marker, { value: true })
  }

  /** Holds across two copies of this package, which `instanceof` does not. */
  static is(error: unknown): error is StreamError {
    return typeof error === 'object' && error !== null && marker in error
  }
}

/** The text of anything thrown, for messages and for headers of parked records. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `error` itself when it is ours, else wrapped with this code. */
export function asStreamError(
  error: unknown,
  code: ErrorCode,
  message: string,
  options: StreamErrorOptions = {}
): StreamError {
  if (StreamError.is(error)) return error
  return new StreamError(code, `${message}: ${messageOf(error)}`, { ...options, cause: error })
}

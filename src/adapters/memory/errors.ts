import { StreamError, type ErrorCode } from '../../core/errors.ts'

/** Everything that this adapter throws is made here, or was given by the test as a fault. */
export function memoryError(code: ErrorCode, message: string, retryable = false): StreamError {
  return new StreamError(code, message, { adapter: 'memory', retryable })
}

export function unknownTopic(topic: string): StreamError {
  return memoryError('unknown-topic', `there is no topic '${topic}' on this memory broker: create it first`)
}

export function closedError(what: string): StreamError {
  return memoryError('closed', `the ${what} is closed`)
}

export function connectionError(client: string): StreamError {
  return memoryError('connection', `client '${client}' has no connection to the memory broker`, true)
}

/** Ours speak for themselves; anything else was thrown by a fault hook of a test. */
export function classify(error: unknown): { readonly code: ErrorCode; readonly retryable: boolean } {
  if (StreamError.is(error)) return { code: error.code, retryable: error.retryable }
  return { code: 'internal', retryable: false }
}

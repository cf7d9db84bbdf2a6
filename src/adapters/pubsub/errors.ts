import { type ErrorCode, StreamError } from '../../core/errors.ts'

export interface Classified {
  readonly code: ErrorCode
  /** May the same call succeed later? */
  readonly retryable: boolean
}

const again = true

/** gRPC status codes: https://grpc.io/docs/guides/status-codes. */
const statuses: Readonly<Record<number, readonly [code: ErrorCode, retryable?: boolean]>> = {
  1: ['connection', again], // CANCELLED, and not by us
  2: ['connection', again], // UNKNOWN: a proxy or a broken stream
  3: ['bad-config'], // INVALID_ARGUMENT
  4: ['timeout', again], // DEADLINE_EXCEEDED
  5: ['unknown-topic'], // NOT_FOUND
  6: ['topic-exists'], // ALREADY_EXISTS
  7: ['unauthorized'], // PERMISSION_DENIED
  8: ['throttled', again], // RESOURCE_EXHAUSTED
  9: ['bad-config'], // FAILED_PRECONDITION: a detached subscription, a topic that takes no messages
  10: ['connection', again], // ABORTED
  11: ['bad-config'], // OUT_OF_RANGE
  12: ['unsupported'], // UNIMPLEMENTED
  13: ['connection', again], // INTERNAL
  14: ['connection', again], // UNAVAILABLE
  15: ['corrupt'], // DATA_LOSS
  16: ['unauthorized'] // UNAUTHENTICATED
}

export const grpc = {
  ok: 0,
  cancelled: 1,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  unimplemented: 12
} as const

const socketCode = /^(ECONN|EPIPE|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)/
const tooLarge = /(payload|request|message).{0,40}(size|large|bytes)|exceeds the (limit|maximum)|too (large|long|big)/i
const noCredentials =
  /could not load the default credentials|unable to detect a project id|invalid_grant|no (access|refresh) token/i

/** The code of anything that this adapter, the client libraries or gRPC threw. */
export function classify(error: unknown): Classified {
  for (const part of chain(error)) if (StreamError.is(part)) return { code: part.code, retryable: part.retryable }
  if (typeof error === 'string' && /client has already been closed/i.test(error))
    return { code: 'closed', retryable: false }
  for (const part of chain(error)) {
    const { code, message } = part as { code?: unknown; message?: unknown }
    const status = statusOf(part)
    if (status === 3 && tooLarge.test(String(message))) return { code: 'too-large', retryable: false }
    const known = status === undefined ? undefined : statuses[status]
    if (known) return { code: known[0], retryable: known[1] ?? false }
    if (socketCode.test(String(code))) return { code: 'connection', retryable: true }
    if (noCredentials.test(String(message))) return { code: 'unauthorized', retryable: false }
  }
  return { code: 'internal', retryable: false }
}

/** The gRPC status of an error, `undefined` when it is none. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, details, metadata } = error as { code?: unknown; details?: unknown; metadata?: unknown }
  if (typeof code !== 'number') return undefined
  return details !== undefined || metadata !== undefined ? code : undefined
}

/** With what was being done, and what to do about it. */
export function pubsubError(error: unknown, doing: string): StreamError {
  if (StreamError.is(error)) return error
  const { code, retryable } = classify(error)
  const said = error instanceof Error ? error.message : String(error)
  const advice = advices[code]
  return new StreamError(code, `${doing}: ${said}${advice ? ` (${advice})` : ''}`, {
    retryable,
    adapter: 'pubsub',
    cause: error
  })
}

const advices: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthorized:
    'check the credentials and the roles pubsub.publisher, pubsub.subscriber and, to create what is missing, pubsub.editor',
  'unknown-topic': 'create it first, or check the project',
  throttled: 'a quota of the project is used up'
}

export function closedError(what: string): StreamError {
  return new StreamError('closed', `the ${what} is closed`, { adapter: 'pubsub' })
}

/** The error and its causes. */
function* chain(error: unknown): Generator<object> {
  const seen = new Set<unknown>()
  for (let part = error; typeof part === 'object' && part !== null && !seen.has(part); part = (part as Error).cause) {
    seen.add(part)
    yield part
  }
}

import { type ErrorCode, messageOf, StreamError } from '../../core/errors.ts'

export interface Classified {
  readonly code: ErrorCode
  /** May the same call succeed later? */
  readonly retryable: boolean
}

const again = true

/** `code` of a `MessagingError`: the vendor's names for AMQP conditions. Source: `@azure/core-amqp`, ConditionErrorNameMapper. */
const messagingCodes: Readonly<Record<string, readonly [code: ErrorCode, retryable?: boolean]>> = {
  MessagingEntityNotFoundError: ['unknown-topic'],
  ServiceCommunicationError: ['unknown-topic'],
  ResourceDeletedError: ['unknown-topic'],
  // Of a partition that the hub does not have.
  ArgumentOutOfRangeError: ['unknown-topic'],
  ArgumentError: ['bad-config'],
  InvalidFieldError: ['bad-config'],
  MessagingEntityDisabledError: ['bad-config'],
  UnauthorizedError: ['unauthorized'],
  PublisherRevokedError: ['unauthorized'],
  MessageTooLargeError: ['too-large'],
  ServerBusyError: ['throttled', again],
  QuotaExceededError: ['throttled', again],
  ReceiverDisconnectedError: ['fenced'],
  OperationTimeoutError: ['timeout', again],
  ServiceUnavailableError: ['timeout', again],
  InternalServerError: ['connection', again],
  OperationCancelledError: ['connection', again],
  ConnectionForcedError: ['connection', again],
  DetachForcedError: ['connection', again],
  FramingError: ['connection', again],
  IllegalStateError: ['connection', again],
  TransferLimitExceededError: ['connection', again],
  SessionWindowViolationError: ['connection', again],
  SenderBusyError: ['connection', again],
  SenderNotReadyError: ['connection', again],
  InsufficientCreditError: ['connection', again],
  SendOperationFailedError: ['connection', again]
}

/** Errors of Node's sockets and certificates. */
const socketCode = /^(ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EADDRNOTAVAIL|UND_ERR)/
const certificateCode = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|HOSTNAME_MISMATCH)/
/** Where the vendor names no code. First match counts. */
const texts: readonly (readonly [pattern: RegExp, code: ErrorCode, retryable?: boolean])[] = [
  [/sequence number .* is invalid/i, 'position-lost'],
  [/status-code: 404|messaging entity .* could not be found/i, 'unknown-topic'],
  [
    /unauthori[sz]ed|ExpiredToken|InvalidSignature|InvalidIssuer|status-code: 401|CredentialUnavailable|Authentication(Required)?Error|AADSTS\d/i,
    'unauthorized'
  ],
  // Of a connection that was lost while something was on its way.
  [/Unknown error encountered|CBS link does not exist|while (closing|removing) the/i, 'connection', again],
  // Of a connection that broke in the middle of a frame: what is left of it is taken for the beginning of the next one.
  [/ProtocolError|Invalid protocol header/, 'connection', again],
  [/throttled|server-busy/i, 'throttled', again],
  [/connection.*(closed|lost|disconnect|terminated)|socket|websocket|idle/i, 'connection', again],
  [/timed? ?out|not able to|Unable to (create|close)/i, 'timeout', again]
]

/** The code of anything that this adapter, its vendor package or Node's sockets threw. */
export function classify(error: unknown): Classified {
  const parts = [...chain(error)]
  for (const part of parts) if (StreamError.is(part)) return { code: part.code, retryable: part.retryable }
  for (const part of parts) if (part['name'] === 'AbortError') return { code: 'aborted', retryable: false }
  for (const part of parts) {
    const code = String(part['code'] ?? '')
    if (code === 'ArgumentError' && texts[0]![0].test(String(part['message'])))
      return { code: 'position-lost', retryable: false }
    const known = Object.hasOwn(messagingCodes, code) ? messagingCodes[code] : undefined
    if (known) return { code: known[0], retryable: known[1] ?? false }
    if (certificateCode.test(code)) return { code: 'unauthorized', retryable: false }
    if (socketCode.test(code)) return { code: 'connection', retryable: true }
  }
  for (const part of parts) {
    const text = `${String(part['name'])} ${String(part['message'] ?? part['description'])}`
    for (const [pattern, code, retryable = false] of texts) if (pattern.test(text)) return { code, retryable }
  }
  // A MessagingError that nobody names: the vendor's own judgement.
  if (parts.some(part => part['name'] === 'MessagingError' && part['retryable'] === true))
    return { code: 'connection', retryable: true }
  return { code: 'internal', retryable: false }
}

/** The vendor's own name for it, `undefined` when there is none. */
export function vendorCode(error: unknown): string | undefined {
  for (const part of chain(error)) if (Object.hasOwn(messagingCodes, String(part['code']))) return String(part['code'])
  return undefined
}

const adviceOf: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthorized:
    'check the credential: sending needs the right Send, reading needs Listen, and tokens and signatures expire',
  throttled:
    'a quota of the namespace or the hub is used up: more throughput units, or fewer readers of a consumer group',
  fenced: 'another reader has this partition under a higher owner level'
}

/** A StreamError that says what was being done, and what to do; one of ours stays as it is. */
export function explained(what: string, error: unknown): StreamError {
  if (StreamError.is(error)) return error
  const { code, retryable } = classify(error)
  const advice = adviceOf[code]
  return new StreamError(code, `${what}: ${textOf(error)}${advice ? ` (${advice})` : ''}`, {
    adapter: 'eventhubs',
    retryable,
    cause: error
  })
}

export function closedError(): StreamError {
  return new StreamError('closed', 'the eventhubs adapter, or this part of it, is closed', { adapter: 'eventhubs' })
}

export function unknownTopic(hub: string, location: string): StreamError {
  return new StreamError('unknown-topic', `there is no event hub '${hub}' on ${location}`, { adapter: 'eventhubs' })
}

function textOf(error: unknown): string {
  const { description } = (error ?? {}) as { description?: unknown }
  const text = messageOf(error)
  if (text === '' && error instanceof AggregateError) return messageOf(error.errors[0])
  return text === '[object Object]' && description !== undefined ? String(description) : text
}

/** The error and its causes, aggregates opened. */
function* chain(error: unknown): Generator<Record<string, unknown>> {
  const seen = new Set<unknown>()
  const open: unknown[] = [error]
  while (open.length > 0) {
    const part = open.shift()
    if (typeof part !== 'object' || part === null || seen.has(part)) continue
    seen.add(part)
    yield part as Record<string, unknown>
    open.push((part as Error).cause, (part as { innerError?: unknown }).innerError)
    const inner = (part as { errors?: unknown }).errors
    if (Array.isArray(inner)) open.push(...inner)
  }
}

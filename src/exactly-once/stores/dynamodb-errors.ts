import { StreamError, type ErrorCode } from '../../core/errors.ts'

type Judged = readonly [code: ErrorCode, retryable: boolean, hint?: string]

const throttled: Judged = ['throttled', true]
const away: Judged = ['connection', true]
const credentials: Judged = [
  'unauthorized',
  false,
  ' (check region and credentials: AWS_ACCESS_KEY_ID, AWS_PROFILE, a role, or option `credentials`)'
]

/** Names of the service's errors, of its gateway's, and of the client's. */
const names: Readonly<Record<string, Judged>> = {
  ProvisionedThroughputExceededException: throttled,
  ThrottlingException: throttled,
  Throttling: throttled,
  RequestLimitExceeded: throttled,
  LimitExceededException: throttled,
  TooManyRequestsException: throttled,
  // Somebody else's transaction holds the item: nothing of ours has happened.
  TransactionConflictException: throttled,
  TransactionInProgressException: throttled,
  InternalServerError: away,
  InternalFailure: away,
  ServiceUnavailable: away,
  ServiceUnavailableException: away,
  ResourceInUseException: away,
  TimeoutError: ['timeout', true],
  RequestTimeout: ['timeout', true],
  RequestTimeoutException: ['timeout', true],
  ReplicatedWriteConflictException: away,
  ResourceNotFoundException: ['bad-config', false, ' (there is no such table; docs/stores.md says how it is made)'],
  ValidationException: ['internal', false],
  AccessDeniedException: ['unauthorized', false, ' (docs/stores.md has the permissions)'],
  UnrecognizedClientException: credentials,
  InvalidSignatureException: credentials,
  IncompleteSignatureException: credentials,
  MissingAuthenticationTokenException: credentials,
  ExpiredTokenException: credentials,
  ExpiredToken: credentials,
  CredentialsProviderError: credentials,
  TokenProviderError: credentials
}

export function nameOf(error: unknown): string {
  return String((error as { readonly name?: unknown } | undefined)?.name ?? '')
}

/** What the client threw, in our words. */
export function translated(error: unknown, location: string, doing: string): StreamError {
  if (StreamError.is(error)) return error
  const [code, retryable, hint = ''] = judged(error)
  const { message } = (error ?? {}) as { readonly message?: string }
  const said = [nameOf(error), message].filter(Boolean).join(', ') || String(error)
  return new StreamError(code, `${location}: ${doing}: ${said}${hint}`, { retryable, cause: error })
}

function judged(error: unknown): Judged {
  const {
    message = '',
    code,
    $metadata
  } = (error ?? {}) as {
    readonly message?: string
    readonly code?: unknown
    readonly $metadata?: { readonly httpStatusCode?: number }
  }
  const name = nameOf(error)
  if (name === 'ValidationException' && /size|too large|exceed/i.test(message)) return ['too-large', false]
  if (name === 'TransactionCanceledException' && wasConflict(error)) return throttled
  // The client learns from it how far the clock of this machine is off.
  if (name === 'InvalidSignatureException' && /expired|not yet current/i.test(message))
    return ['connection', true, ' (the clock of this machine may be wrong)']
  if (Object.hasOwn(names, name)) return names[name]!
  const text = String(code ?? '')
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(text))
    return ['connection', false]
  if (/^(E[A-Z]+|EAI_AGAIN)$/.test(text) || /socket hang up|premature|aborted/i.test(message)) return away
  const status = $metadata?.httpStatusCode ?? 0
  if (status >= 500) return away
  if (status === 429) return throttled
  if (status === 401 || status === 403) return credentials
  // An answer that was cut off does not parse.
  if (error instanceof SyntaxError || status === 200) return away
  return ['internal', false]
}

/** Reasons of a transaction that was cancelled, one for each of its actions; `None` where it had no objection. */
export function reasons(error: unknown): readonly string[] {
  const { CancellationReasons = [] } = (error ?? {}) as { readonly CancellationReasons?: { readonly Code?: string }[] }
  return CancellationReasons.map(({ Code = 'None' }) => Code)
}

/** Did others only stand in the way for a moment? */
function wasConflict(error: unknown): boolean {
  return reasons(error).every(reason =>
    ['None', 'TransactionConflict', 'ThrottlingError', 'ProvisionedThroughputExceeded'].includes(reason)
  )
}

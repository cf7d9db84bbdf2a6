import { type ErrorCode, messageOf, StreamError } from '../../core/errors.ts'

export interface Classified {
  readonly code: ErrorCode
  /** May the same call succeed later? */
  readonly retryable: boolean
}

const again = true

/** Names of the service's errors, of its gateway's, and of the client's. */
const names: Readonly<Record<string, readonly [code: ErrorCode, retryable?: boolean]>> = {
  ResourceNotFoundException: ['unknown-topic'],
  // A stream that is being changed: created, deleted, resharded.
  ResourceInUseException: ['connection', again],
  ProvisionedThroughputExceededException: ['throttled', again],
  LimitExceededException: ['throttled', again],
  KMSThrottlingException: ['throttled', again],
  ThrottlingException: ['throttled', again],
  Throttling: ['throttled', again],
  ThrottledException: ['throttled', again],
  RequestThrottled: ['throttled', again],
  RequestLimitExceeded: ['throttled', again],
  TooManyRequestsException: ['throttled', again],
  AccessDeniedException: ['unauthorized'],
  NotAuthorized: ['unauthorized'],
  UnrecognizedClientException: ['unauthorized'],
  InvalidClientTokenId: ['unauthorized'],
  InvalidSignatureException: ['unauthorized'],
  SignatureDoesNotMatch: ['unauthorized'],
  IncompleteSignature: ['unauthorized'],
  IncompleteSignatureException: ['unauthorized'],
  MissingAuthenticationToken: ['unauthorized'],
  MissingAuthenticationTokenException: ['unauthorized'],
  OptInRequired: ['unauthorized'],
  ExpiredToken: ['unauthorized'],
  ExpiredTokenException: ['unauthorized'],
  RequestExpired: ['unauthorized'],
  CredentialsProviderError: ['unauthorized'],
  TokenProviderError: ['unauthorized'],
  KMSAccessDeniedException: ['unauthorized'],
  KMSDisabledException: ['unauthorized'],
  KMSInvalidStateException: ['unauthorized'],
  KMSNotFoundException: ['unauthorized'],
  KMSOptInRequired: ['unauthorized'],
  InvalidArgumentException: ['bad-config'],
  ValidationException: ['bad-config'],
  UnknownOperationException: ['unsupported'],
  ExpiredIteratorException: ['connection', again],
  InternalFailure: ['connection', again],
  InternalFailureException: ['connection', again],
  InternalServerError: ['connection', again],
  ServiceUnavailable: ['connection', again],
  ServiceUnavailableException: ['connection', again],
  TimeoutError: ['timeout', again],
  RequestTimeout: ['timeout', again],
  RequestTimeoutException: ['timeout', again],
  AbortError: ['aborted']
}

const tooLarge =
  /exceeds? the maximum|less than or equal to (1048576|5242880|10485760)|too large|larger than|size limit/i

/** Errors of Node's sockets and certificates. */
const socketCode =
  /^(ECONN|EPIPE|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EADDRNOTAVAIL|ERR_HTTP2)/
const certificateCode = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|HOSTNAME_MISMATCH)/

/** The code of anything that this adapter, Node's sockets or the AWS client threw. */
export function classify(error: unknown): Classified {
  for (const part of chain(error)) if (StreamError.is(part)) return { code: part.code, retryable: part.retryable }
  for (const part of chain(error)) {
    const known = classifyName(nameOf(part), String(part['message'] ?? ''))
    if (known) return known
  }
  for (const part of chain(error)) {
    const code = String(part['code'] ?? '')
    if (certificateCode.test(code)) return { code: 'unauthorized', retryable: false }
    if (socketCode.test(code)) return { code: 'connection', retryable: true }
  }
  // An answer without a name that we know: its status says whose fault it was.
  const status = Number((error as { $metadata?: { httpStatusCode?: unknown } } | null)?.$metadata?.httpStatusCode)
  if (status >= 500) return { code: 'connection', retryable: true }
  if (status === 429) return { code: 'throttled', retryable: true }
  if (status === 401 || status === 403) return { code: 'unauthorized', retryable: false }
  if (status === 413) return { code: 'too-large', retryable: false }
  return { code: 'internal', retryable: false }
}

/** What an error of that name means, whether it was thrown or is the `ErrorCode` of one record. */
export function classifyName(name: string, message: string): Classified | undefined {
  const known = Object.hasOwn(names, name) ? names[name] : undefined
  if (!known) return undefined
  const [code, retryable = false] = known
  return { code: code === 'bad-config' && tooLarge.test(message) ? 'too-large' : code, retryable }
}

export function nameOf(error: unknown): string {
  const { name, code, Code } = (error ?? {}) as { name?: unknown; code?: unknown; Code?: unknown }
  for (const candidate of [name, code, Code]) {
    const text = String(candidate ?? '')
    if (Object.hasOwn(names, text)) return text
  }
  return String(name ?? '')
}

/** Too many calls for a shard, or for the account. */
export function isThrottle(error: unknown): boolean {
  return classify(error).code === 'throttled'
}

/** A record that `PutRecords` did not take, the others of its request notwithstanding. */
export function refusedRecord(stream: string, name: string, message: string): StreamError {
  const { code, retryable } = classifyName(name, message) ?? { code: 'connection', retryable: true }
  return kinesisError(code, `stream '${stream}' did not take a record: ${name}, ${message}`, retryable)
}

export function unknownStream(stream: string, cause?: unknown): StreamError {
  return kinesisError(
    'unknown-topic',
    `there is no stream '${stream}' in this account and region: create it first, or check region and endpoint`,
    false,
    cause
  )
}

export function noSuchPartition(stream: string, partition: number, count: number): StreamError {
  return kinesisError('unknown-topic', `stream '${stream}' has ${count} partitions, there is no ${partition}`)
}

/** A stream that carries no partition count and is in no option either. */
export function noPartitionCount(stream: string): StreamError {
  return kinesisError(
    'bad-config',
    `stream '${stream}' carries no partition count: set it once, for good, with: aws kinesis add-tags-to-stream --stream-name ${stream} --tags tidemark:partitions=4 (or option 'partitions' where tags may not be written)`
  )
}

export function closedError(): StreamError {
  return kinesisError('closed', 'the kinesis adapter, or this part of it, is closed')
}

export function kinesisError(code: ErrorCode, message: string, retryable = false, cause?: unknown): StreamError {
  return new StreamError(code, message, { retryable, adapter: 'kinesis', cause })
}

/** With a sentence on what to do, where the service's own does not say. */
export function explained(error: unknown, doing: string): unknown {
  if (StreamError.is(error)) return error
  const name = nameOf(error)
  const advice = advices[name]
  if (advice === undefined) return error
  const { code, retryable } = classify(error)
  return kinesisError(code, `${doing}: ${name}, ${messageOf(error)} (${advice})`, retryable, error)
}

const expired =
  'the credentials have expired: give a provider that renews them, as the default one of the AWS client does'
const advices: Readonly<Record<string, string>> = {
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  RequestExpired: 'the clock of this machine may be wrong',
  AccessDeniedException: 'docs/adapters/kinesis.md lists the permissions that are needed',
  UnrecognizedClientException: "check the credentials and the option 'region'",
  CredentialsProviderError:
    "set option 'credentials', or whatever the AWS client looks for: AWS_ACCESS_KEY_ID, AWS_PROFILE, a role"
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
    open.push((part as Error).cause)
    const inner = (part as { errors?: unknown }).errors
    if (Array.isArray(inner)) open.push(...inner)
  }
}

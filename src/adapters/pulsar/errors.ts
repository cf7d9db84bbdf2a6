import { type ErrorCode, StreamError } from '../../core/errors.ts'

export interface Classified {
  readonly code: ErrorCode
  /** May the same call succeed later? */
  readonly retryable: boolean
}

const again = true

/** What Pulsar's web server answers, to an admin request as well as to the upgrade of a WebSocket. */
const statuses: Readonly<Record<number, readonly [code: ErrorCode, retryable?: boolean]>> = {
  400: ['bad-config'],
  401: ['unauthorized'],
  403: ['unauthorized'],
  404: ['unknown-topic'],
  405: ['unsupported'],
  // Another producer has this name: the predecessor of a task, whose socket is not yet closed.
  409: ['connection', again],
  412: ['bad-config'],
  413: ['too-large'],
  429: ['throttled', again],
  // Pulsar's own clients try again after whatever it does not name: a broker without storage nodes says no more than this.
  500: ['connection', again],
  502: ['connection', again],
  503: ['connection', again],
  504: ['timeout', again]
}

/** What the texts of a 500 and of a failed send say: Pulsar's exceptions have no numbers there. First match counts. */
const texts: readonly (readonly [pattern: RegExp, code: ErrorCode, retryable?: boolean])[] = [
  [/quota/i, 'throttled', again],
  [/too ?many ?requests|rate ?limit|throttl|queue ?is ?full/i, 'throttled', again],
  [/message ?(size|too)|too ?(large|big|long)/i, 'too-large'],
  [/not ?authorized|authori[sz]ation|authentication|permission/i, 'unauthorized'],
  [/topic ?terminated|was already terminated/i, 'bad-config'],
  [/incompatible ?schema/i, 'bad-schema'],
  [/invalid ?message/i, 'bad-record'],
  [/not ?(allowed|supported)/i, 'unsupported'],
  [/topic ?(does ?not ?exist|not ?found)|TopicNotFound|namespace not found/i, 'unknown-topic'],
  [/time ?d? ?out/i, 'timeout', again],
  [
    /not ?ready|unavailable|not ?connected|connect|closed|fenced|lookup|unloaded|shutting ?down|disconnect|temporar/i,
    'connection',
    again
  ]
]

/** Errors of Node's sockets and certificates. */
const socketCode = /^(ECONN|EPIPE|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EADDRNOTAVAIL)/
const certificateCode = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|HOSTNAME_MISMATCH)/
/** Error names of the package `pulsar-client`, which puts them into the message. */
const nativeResults: readonly (readonly [pattern: RegExp, code: ErrorCode, retryable?: boolean])[] = [
  [/\bTopicNotFound\b/, 'unknown-topic'],
  [/\b(Authentication|Authorization)Error\b/, 'unauthorized'],
  [/\bMessageTooBig\b/, 'too-large'],
  [
    /\bProducerBlockedQuotaExceeded(Error|Exception)\b|\bTooManyLookupRequestException\b|\bProducerQueueIsFull\b/,
    'throttled',
    again
  ],
  [/\bTimeOut\b/, 'timeout', again],
  [
    /\b(ConnectError|NotConnected|Disconnected|ServiceUnitNotReady|ReadError|ProducerBusy|BrokerMetadataError|BrokerPersistenceError|Retryable)\b/,
    'connection',
    again
  ]
]

/** The code of anything that this adapter, Node's sockets or `pulsar-client` threw. */
export function classify(error: unknown): Classified {
  for (const part of chain(error)) if (StreamError.is(part)) return { code: part.code, retryable: part.retryable }
  for (const part of chain(error)) {
    const code = String(part['code'] ?? '')
    if (certificateCode.test(code)) return { code: 'unauthorized', retryable: false }
    if (socketCode.test(code)) return { code: 'connection', retryable: true }
  }
  for (const part of chain(error))
    for (const [pattern, code, retryable = false] of nativeResults)
      if (/^Failed to |pulsar_result/.test(String(part['message'])) && pattern.test(String(part['message'])))
        return { code, retryable }
  return { code: 'internal', retryable: false }
}

/** What an HTTP status and its text mean. */
export function classifyAnswer(status: number, text: string): Classified {
  const known = statuses[status]
  // 503 is a full backlog as well as a broker that is not ready: the text tells them apart.
  const said = status >= 500 ? classifyText(text) : undefined
  if (said && said.code !== 'internal') return said
  if (known) return { code: known[0], retryable: known[1] ?? false }
  return { code: 'internal', retryable: false }
}

function classifyText(text: string): Classified {
  for (const [pattern, code, retryable = false] of texts) if (pattern.test(text)) return { code, retryable }
  return { code: 'internal', retryable: false }
}

/**
 * What `send-error:N` and its text mean. 3, 4 and 7: the server could not read the message. 8 is everything else.
 * Source: WebSocketError.java of Apache Pulsar 4.0.
 */
export function classifySendError(error: string): Classified {
  const number = Number(/^send-error:(\d+)/.exec(error)?.[1])
  if ([3, 4, 7].includes(number)) return { code: 'bad-record', retryable: false }
  if ([5, 6].includes(number)) return { code: 'unauthorized', retryable: false }
  const said = classifyText(error)
  return said.code === 'internal' ? { code: 'connection', retryable: true } : said
}

/** A StreamError that keeps the HTTP status. */
export class PulsarError extends StreamError {
  /** Of the answer, 0 when there was none. */
  readonly status: number

  constructor({ code, retryable }: Classified, message: string, status = 0, cause?: unknown) {
    super(code, message, { retryable, adapter: 'pulsar', cause })
    this.status = status
  }
}

/** An answer of the web server that is no success. */
export function answerError(what: string, status: number, text: string): PulsarError {
  const said = reasonIn(text)
  const classified = classifyAnswer(status, said)
  const advice = adviceOf[classified.code]
  return new PulsarError(
    classified,
    `${what}: Pulsar answered ${status}${said ? `, ${said}` : ' and no reason: see its log'}${advice ? ` (${advice})` : ''}`,
    status
  )
}

/** A connection that could not be made or broke. */
export function connectionError(what: string, cause: unknown): PulsarError {
  const classified = classify(cause)
  const late = cause instanceof Error && /handshake has timed out/.test(cause.message)
  const known: Classified =
    classified.code === 'internal' ? { code: late ? 'timeout' : 'connection', retryable: true } : classified
  const text =
    cause instanceof Error ? cause.message || String((cause as { code?: unknown }).code ?? cause.name) : String(cause)
  return new PulsarError(known, `${what}: ${text}`, 0, cause)
}

export function closedError(): StreamError {
  return new StreamError('closed', 'the pulsar adapter, or this part of it, is closed', { adapter: 'pulsar' })
}

const adviceOf: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthorized: "check the option 'token' and the permissions of its role on the namespace",
  'unknown-topic': 'create it first, or check tenant and namespace',
  throttled: 'a quota or rate of the namespace is used up'
}

/** The sentence in a JSON answer (`reason`), in a page of Jetty (its title), or in plain text. */
function reasonIn(text: string): string {
  const title = /<title>(?:Error \d+ )?([^]*?)<\/title>/.exec(text)?.[1]
  const plain = title === undefined ? text : unescapeHtml(title)
  const inner = /"(?:reason|errorMsg)"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(plain)?.[1]
  // An exception is there with its stack; the first line says it.
  return (inner || plain)
    .split(/\\n|\n/)[0]!
    .trim()
    .slice(0, 300)
}

function unescapeHtml(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
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

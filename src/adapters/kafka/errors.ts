import { type ErrorCode, messageOf, StreamError } from '../../core/errors.ts'

/**
 * Kafka's error codes, kafkajs's errors and those of Node's sockets, as codes of ours.
 * Source of the numbers: kafka.apache.org/protocol#protocol_error_codes.
 */

export interface Classified {
  readonly code: ErrorCode
  /** May the same call succeed later? */
  readonly retryable: boolean
}

type Row = readonly [type: string, code: ErrorCode, retryable?: boolean]

const again = true

const protocolErrors: Readonly<Record<number, Row>> = {
  [-1]: ['UNKNOWN_SERVER_ERROR', 'internal'],
  1: ['OFFSET_OUT_OF_RANGE', 'position-lost'],
  2: ['CORRUPT_MESSAGE', 'corrupt', again],
  3: ['UNKNOWN_TOPIC_OR_PARTITION', 'unknown-topic'],
  5: ['LEADER_NOT_AVAILABLE', 'connection', again],
  6: ['NOT_LEADER_OR_FOLLOWER', 'connection', again],
  7: ['REQUEST_TIMED_OUT', 'timeout', again],
  8: ['BROKER_NOT_AVAILABLE', 'connection', again],
  9: ['REPLICA_NOT_AVAILABLE', 'connection', again],
  10: ['MESSAGE_TOO_LARGE', 'too-large'],
  12: ['OFFSET_METADATA_TOO_LARGE', 'too-large'],
  13: ['NETWORK_EXCEPTION', 'connection', again],
  14: ['COORDINATOR_LOAD_IN_PROGRESS', 'connection', again],
  15: ['COORDINATOR_NOT_AVAILABLE', 'connection', again],
  16: ['NOT_COORDINATOR', 'connection', again],
  17: ['INVALID_TOPIC_EXCEPTION', 'bad-config'],
  18: ['RECORD_LIST_TOO_LARGE', 'too-large'],
  19: ['NOT_ENOUGH_REPLICAS', 'connection', again],
  20: ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'connection', again],
  21: ['INVALID_REQUIRED_ACKS', 'bad-config'],
  22: ['ILLEGAL_GENERATION', 'not-owner'],
  23: ['INCONSISTENT_GROUP_PROTOCOL', 'bad-config'],
  24: ['INVALID_GROUP_ID', 'bad-config'],
  25: ['UNKNOWN_MEMBER_ID', 'not-owner'],
  26: ['INVALID_SESSION_TIMEOUT', 'bad-config'],
  27: ['REBALANCE_IN_PROGRESS', 'not-owner', again],
  29: ['TOPIC_AUTHORIZATION_FAILED', 'unauthorized'],
  30: ['GROUP_AUTHORIZATION_FAILED', 'unauthorized'],
  31: ['CLUSTER_AUTHORIZATION_FAILED', 'unauthorized'],
  32: ['INVALID_TIMESTAMP', 'bad-record'],
  33: ['UNSUPPORTED_SASL_MECHANISM', 'bad-config'],
  34: ['ILLEGAL_SASL_STATE', 'connection', again],
  35: ['UNSUPPORTED_VERSION', 'unsupported'],
  36: ['TOPIC_ALREADY_EXISTS', 'topic-exists'],
  37: ['INVALID_PARTITIONS', 'bad-config'],
  38: ['INVALID_REPLICATION_FACTOR', 'bad-config'],
  39: ['INVALID_REPLICA_ASSIGNMENT', 'bad-config'],
  40: ['INVALID_CONFIG', 'bad-config'],
  41: ['NOT_CONTROLLER', 'connection', again],
  42: ['INVALID_REQUEST', 'internal'],
  43: ['UNSUPPORTED_FOR_MESSAGE_FORMAT', 'unsupported'],
  44: ['POLICY_VIOLATION', 'bad-config'],
  45: ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'unknown-outcome'],
  47: ['INVALID_PRODUCER_EPOCH', 'fenced'],
  48: ['INVALID_TXN_STATE', 'unknown-outcome'],
  49: ['INVALID_PRODUCER_ID_MAPPING', 'unknown-outcome'],
  50: ['INVALID_TRANSACTION_TIMEOUT', 'bad-config'],
  51: ['CONCURRENT_TRANSACTIONS', 'throttled', again],
  52: ['TRANSACTION_COORDINATOR_FENCED', 'connection', again],
  53: ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'unauthorized'],
  54: ['SECURITY_DISABLED', 'unsupported'],
  55: ['OPERATION_NOT_ATTEMPTED', 'internal'],
  56: ['KAFKA_STORAGE_ERROR', 'connection', again],
  58: ['SASL_AUTHENTICATION_FAILED', 'unauthorized'],
  59: ['UNKNOWN_PRODUCER_ID', 'unknown-outcome'],
  60: ['REASSIGNMENT_IN_PROGRESS', 'throttled', again],
  72: ['LISTENER_NOT_FOUND', 'connection', again],
  73: ['TOPIC_DELETION_DISABLED', 'unsupported'],
  74: ['FENCED_LEADER_EPOCH', 'connection', again],
  75: ['UNKNOWN_LEADER_EPOCH', 'connection', again],
  76: ['UNSUPPORTED_COMPRESSION_TYPE', 'unsupported'],
  78: ['OFFSET_NOT_AVAILABLE', 'connection', again],
  79: ['MEMBER_ID_REQUIRED', 'not-owner', again],
  81: ['GROUP_MAX_SIZE_REACHED', 'bad-config'],
  82: ['FENCED_INSTANCE_ID', 'fenced'],
  87: ['INVALID_RECORD', 'bad-record'],
  88: ['UNSTABLE_OFFSET_COMMIT', 'connection', again],
  89: ['THROTTLING_QUOTA_EXCEEDED', 'throttled', again],
  90: ['PRODUCER_FENCED', 'fenced'],
  100: ['UNKNOWN_TOPIC_ID', 'unknown-topic'],
  120: ['TRANSACTION_ABORTABLE', 'unknown-outcome']
}

/** kafkajs's errors without a protocol code, and the codes of sockets and certificates. */
const otherErrors: Readonly<Record<string, Classified>> = {
  KafkaJSConnectionError: { code: 'connection', retryable: true },
  KafkaJSConnectionClosedError: { code: 'connection', retryable: true },
  KafkaJSBrokerNotFound: { code: 'connection', retryable: true },
  KafkaJSNoBrokerAvailableError: { code: 'connection', retryable: true },
  KafkaJSGroupCoordinatorNotFound: { code: 'connection', retryable: true },
  KafkaJSMetadataNotLoaded: { code: 'connection', retryable: true },
  KafkaJSTopicMetadataNotLoaded: { code: 'connection', retryable: true },
  KafkaJSRequestTimeoutError: { code: 'timeout', retryable: true },
  KafkaJSLockTimeout: { code: 'timeout', retryable: true },
  KafkaJSTimeout: { code: 'timeout', retryable: true },
  KafkaJSSASLAuthenticationError: { code: 'unauthorized', retryable: false },
  KafkaJSOffsetOutOfRange: { code: 'position-lost', retryable: false },
  KafkaJSNotImplemented: { code: 'unsupported', retryable: false },
  KafkaJSServerDoesNotSupportApiKey: { code: 'unsupported', retryable: false }
}

const socketCode = /^(ECONN|EPIPE|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EADDRNOTAVAIL)/
const certificateCode = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|HOSTNAME_MISMATCH)/

/** The number of Kafka's protocol error inside whatever was thrown, its causes included. */
export function protocolCode(error: unknown): number | undefined {
  for (const part of chain(error)) {
    if (typeof part['protocolCode'] === 'number') return part['protocolCode']
    const code = part['code']
    if (typeof code === 'number' && code in protocolErrors) return code
    // kafkajs knows the codes up to 88 and names the others in the text only.
    const unknown = /Unknown error code (\d+)/.exec(String(part['message'] ?? ''))
    if (unknown) return Number(unknown[1])
  }
  return undefined
}

/** The code of anything that kafkajs, Node's sockets or this adapter threw. */
export function classify(error: unknown): Classified {
  for (const part of chain(error)) if (StreamError.is(part)) return { code: part.code, retryable: part.retryable }
  const number = protocolCode(error)
  if (number !== undefined) {
    const [, code, retryable = false] = protocolErrors[number] ?? ['', 'internal']
    return { code, retryable }
  }
  for (const part of chain(error)) {
    const code = String(part['code'] ?? '')
    if (certificateCode.test(code)) return { code: 'unauthorized', retryable: false }
    if (socketCode.test(code)) return { code: 'connection', retryable: true }
  }
  for (const part of chain(error)) {
    const known = otherErrors[String(part['name'])]
    if (known) return known
    // kafkajs throws a bare Error for a broker object that has lost, or not yet made, its connection.
    if (part['message'] === 'Broker not connected') return { code: 'connection', retryable: true }
  }
  return { code: 'internal', retryable: false }
}

/** A code in an answer that this adapter reads itself. */
export function protocolError(number: number, what: string): KafkaError {
  const [type, code, retryable = false] = protocolErrors[number] ?? [`code ${number}`, 'internal' as const]
  return new KafkaError(number, code, `${what}: the broker answered ${type}${advice(number)}`, retryable)
}

/** A StreamError that keeps the number of the protocol. */
export class KafkaError extends StreamError {
  readonly protocolCode: number

  constructor(number: number, code: ErrorCode, message: string, retryable: boolean, cause?: unknown) {
    super(code, message, { retryable, adapter: 'kafka', cause })
    this.protocolCode = number
  }
}

/** `error` as a StreamError that says what was tried. */
export function explain(error: unknown, what: string): StreamError {
  if (StreamError.is(error)) return error
  const { code, retryable } = classify(error)
  const number = protocolCode(error)
  const message = `${what}: ${messageOf(error)}${number === undefined ? '' : advice(number)}`
  if (number !== undefined) return new KafkaError(number, code, message, retryable, error)
  return new StreamError(code, message, { retryable, adapter: 'kafka', cause: error })
}

/** Is the leader of a partition another one by now? Then the metadata must be asked again. */
export function isStaleMetadata(error: unknown): boolean {
  const code = protocolCode(error)
  if (code !== undefined) return [3, 5, 6, 9, 56, 72, 74, 75, 78, 100].includes(code)
  return classify(error).code === 'connection'
}

function advice(number: number): string {
  const text = adviceOf[number]
  return text ? ` (${text})` : ''
}

const adviceOf: Readonly<Record<number, string>> = {
  3: 'no such topic or partition: create it, or check its name',
  10: "the batch is larger than the topic's max.message.bytes",
  23: 'another member of the group uses another assignment protocol: give this pipeline a group of its own',
  26: "sessionTimeout is outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
  32: "the record's time is outside of the topic's message.timestamp.before/after.max.ms",
  38: "set the option 'replicationFactor' to at most the number of brokers",
  87: 'a compacted topic takes only records with a key',
  90: 'a newer producer of this id took over'
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

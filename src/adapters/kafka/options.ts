import { StreamError } from '../../core/errors.ts'
import { type OptionSpec, type OptionTable, parseText, readOptions } from '../../core/options.ts'
import type { KafkaClient, KafkaModule } from './client.ts'
import { type Compression, compressions } from './compression.ts'

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer'
  readonly username?: string
  readonly password?: string
  /** For `oauthbearer`: gives a fresh token whenever one is needed. */
  readonly oauthBearerProvider?: () => Promise<{ readonly value: string }>
}

export interface KafkaOptions {
  /** `host:port` of some brokers; the others are found through them. */
  readonly brokers: readonly string[]
  /** Shown in the broker's logs and quotas. Default `tidemark`. */
  readonly clientId?: string
  /** `true`, or options of `node:tls`: `{ ca, cert, key, servername }`. Default: no TLS. */
  readonly ssl?: boolean | Readonly<Record<string, unknown>>
  readonly sasl?: KafkaSasl
  /** Of the batches written. Default `none`. */
  readonly compression?: Compression
  /** How durable a record is when a send resolves. Default `all`. Transactions always use `all`. */
  readonly acks?: 'all' | 'leader' | 'none'
  /** Ms for one request. Default 30 000. */
  readonly requestTimeout?: number
  /** Ms for opening a socket. Default 5 000. */
  readonly connectionTimeout?: number
  /** Ms that a group waits for a member that does not say goodbye to its partitions. Default 30 000. */
  readonly rebalanceTimeout?: number
  /** Ms between two heartbeats: how fast a member hears of a rebalance. Default 500, at most a third of the session. */
  readonly heartbeatInterval?: number
  /** Ms after which the broker aborts a transaction that does not end. Default 60 000. */
  readonly transactionTimeout?: number
  /** `false` for a server that speaks Kafka's protocol and has no transactions: outputs may repeat then. Default `true`. */
  readonly transactions?: boolean
  /** Copies of a created topic. Default: what the broker is set to. */
  readonly replicationFactor?: number
  /** An instance of kafkajs's `Kafka`, or the module itself. With an instance the connection options are its own. */
  readonly client?: KafkaClient | KafkaModule
}

/** The options as data: read from the environment, checked, and printed in the docs. */
export const kafkaOptions: OptionTable = {
  brokers: { kind: 'strings', doc: 'host:port of some brokers; the others are found through them' },
  clientId: { kind: 'string', doc: "name in the broker's logs and quotas; default tidemark" },
  ssl: { kind: 'any', doc: 'true, or options of node:tls (ca, cert, key, servername); default: no TLS' },
  sasl: {
    kind: 'object',
    doc: 'how to log in',
    inside: {
      mechanism: {
        kind: 'string',
        doc: 'plain, scram-sha-256, scram-sha-512 or oauthbearer',
        values: ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']
      },
      username: { kind: 'string', doc: 'user name' },
      password: { kind: 'string', doc: 'password', secret: true },
      oauthBearerProvider: { kind: 'any', doc: 'function that resolves with { value: token }', secret: true }
    }
  },
  compression: { kind: 'string', doc: 'of the batches written; default none', values: compressions },
  acks: { kind: 'string', doc: 'all, leader or none; default all', values: ['all', 'leader', 'none'] },
  requestTimeout: { kind: 'number', doc: 'ms for one request; default 30000' },
  connectionTimeout: { kind: 'number', doc: 'ms for opening a socket; default 5000' },
  rebalanceTimeout: { kind: 'number', doc: 'ms that a revoked partition may take to be released; default 30000' },
  heartbeatInterval: { kind: 'number', doc: 'ms between heartbeats; default 500, at most a third of the session' },
  transactionTimeout: { kind: 'number', doc: 'ms after which the broker aborts an open transaction; default 60000' },
  transactions: {
    kind: 'boolean',
    doc: 'false for a server that has no transactions: outputs may repeat; default true'
  },
  replicationFactor: { kind: 'number', doc: "copies of a created topic; default: the broker's default" },
  client: { kind: 'any', doc: "an instance of kafkajs's Kafka, or its module" }
}

/** The same with every default filled in. Throws `bad-config`, naming the option and never a secret. */
export interface ReadKafkaOptions extends Required<Omit<KafkaOptions, 'sasl' | 'client'>> {
  readonly sasl: KafkaSasl | undefined
  readonly client: KafkaClient | KafkaModule | undefined
}

export function readKafkaOptions(given: KafkaOptions): ReadKafkaOptions {
  const options = readOptions('kafka', kafkaOptions, given) as unknown as KafkaOptions
  const { client, sasl } = options
  const brokers = options.brokers ?? []
  const hasInstance = client !== undefined && 'consumer' in client
  if (brokers.length === 0 && !hasInstance) throw bad("option 'brokers' is missing: ['localhost:9092']")
  for (const broker of brokers)
    if (!/^[^\s:/@]+:\d{1,5}$/.test(broker)) {
      // It may hold a password.
      const shown = broker.includes('@') ? 'an address with a user' : `'${broker}'`
      throw bad(`option 'brokers' holds ${shown}, which is not host:port`)
    }
  for (const [name, value] of Object.entries(options))
    if (
      typeof value === 'number' &&
      !(Number.isInteger(value) && (value > 0 || (name === 'replicationFactor' && value === -1)))
    )
      throw bad(`option '${name}' must be a whole number above 0, got ${value}`)
  const ssl = readSsl(options.ssl)
  if (sasl) checkSasl(sasl)
  return {
    brokers,
    clientId: options.clientId ?? 'tidemark',
    ssl,
    sasl,
    compression: options.compression ?? 'none',
    acks: options.acks ?? 'all',
    requestTimeout: options.requestTimeout ?? 30_000,
    connectionTimeout: options.connectionTimeout ?? 5_000,
    rebalanceTimeout: options.rebalanceTimeout ?? 30_000,
    heartbeatInterval: options.heartbeatInterval ?? 500,
    transactionTimeout: options.transactionTimeout ?? 60_000,
    transactions: options.transactions ?? true,
    replicationFactor: options.replicationFactor ?? -1,
    client
  }
}

/** The environment can only say it in text. */
function readSsl(ssl: unknown): boolean | Readonly<Record<string, unknown>> {
  if (ssl === undefined || ssl === 'false') return false
  if (ssl === 'true') return true
  if (typeof ssl === 'boolean' || (typeof ssl === 'object' && ssl !== null && !Array.isArray(ssl)))
    return ssl as boolean | Readonly<Record<string, unknown>>
  throw bad("option 'ssl' must be true, false, or an object with options of node:tls")
}

function checkSasl({ mechanism, username, password, oauthBearerProvider }: Partial<KafkaSasl>): void {
  if (!mechanism) throw bad("option 'sasl.mechanism' is missing")
  if (mechanism === 'oauthbearer') {
    if (typeof oauthBearerProvider !== 'function')
      throw bad("'sasl.oauthBearerProvider' must be a function for oauthbearer")
  } else if (!username || !password) throw bad(`'sasl.username' and 'sasl.password' are needed for ${mechanism}`)
}

/**
 * Options of `kafka://host:port,host2:port?clientId=orders&ssl=true&sasl.mechanism=plain&sasl.username=orders`. A port
 * that is left out is 9092. Takes text too, because `URL` itself refuses two hosts with ports. Throws `bad-config` for an
 * unknown parameter, and for a secret: those come as options or from the environment.
 */
export function fromUrl(url: URL | string): KafkaOptions {
  const text = String(url)
  const parts = /^kafka:\/\/([^/?#]*)(\/?)(?:\?([^#]*))?$/.exec(text)
  if (!parts) throw bad('a URL looks like kafka://host:port,host2:port?clientId=orders')
  const authority = parts[1]!
  if (authority.includes('@')) throw bad(`a URL must not hold a user and a password: ${elsewhere}`)
  const brokers = authority.split(',').filter(host => host !== '')
  const options: Record<string, unknown> = {
    brokers: brokers.map(host => (host.includes(':') ? host : `${host}:9092`))
  }
  for (const [name, value] of new URLSearchParams(parts[3] ?? '')) setOption(options, name, value)
  readOptions('kafka', kafkaOptions, options)
  return options as unknown as KafkaOptions
}

const elsewhere =
  "pass option 'sasl.password', or set the environment variable TIDEMARK_BROKERS__DEFAULT__SASL__PASSWORD (DEFAULT being the broker's name)"

function setOption(into: Record<string, unknown>, name: string, value: string): void {
  const [first = '', inner, ...more] = name.split('.')
  const outer = Object.hasOwn(kafkaOptions, first) ? kafkaOptions[first] : undefined
  const spec =
    inner === undefined ? outer : Object.hasOwn(outer?.inside ?? {}, inner) ? outer?.inside?.[inner] : undefined
  if (name === 'password' || spec?.secret) throw bad(`'${name}' is a secret and must not stand in a URL: ${elsewhere}`)
  if (!spec || spec.inside || more.length > 0 || first === 'brokers' || first === 'client')
    throw bad(`unknown parameter '${name}' in the URL; known are ${parameters().join(', ')}`)
  const target = inner === undefined ? into : ((into[first] ??= {}) as Record<string, unknown>)
  target[inner ?? first] = parseText(`kafka: parameter '${name}'`, first === 'ssl' ? flag : spec, value)
}

const flag: OptionSpec = { kind: 'boolean', doc: '' }

function parameters(): string[] {
  return Object.entries(kafkaOptions).flatMap(([name, { inside }]) => {
    if (name === 'brokers' || name === 'client') return []
    if (!inside) return [name]
    return Object.keys(inside).flatMap(inner => (inside[inner]!.secret ? [] : [`${name}.${inner}`]))
  })
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `kafka: ${message}`, { adapter: 'kafka' })
}

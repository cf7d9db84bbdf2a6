import { StreamError } from '../../core/errors.ts'
import { type OptionTable, parseText, readOptions } from '../../core/options.ts'
import type { PubsubClient, PubsubModule } from './client.ts'

export interface PubsubOptions {
  /** Default: the project of the credentials. */
  readonly projectId?: string
  /** `host:port` of an emulator: no encryption, no credentials. */
  readonly emulator?: string
  /** Another endpoint, such as a regional one: `europe-west1-pubsub.googleapis.com:443`. */
  readonly apiEndpoint?: string
  /** Content of a key file: `{ client_email, private_key }`. Default: the application default credentials. */
  readonly credentials?: Readonly<Record<string, unknown>>
  /** Path of a key file. */
  readonly keyFile?: string
  /** How long a delivered message is ours before it is delivered again, ms. 10,000 to 600,000, default 15,000; renewed while it is held, so that it is also the time until another worker gets it after a crash. */
  readonly ackDeadline?: number
  /** How long a new subscription keeps what is not acknowledged, ms. Default 604,800,000 (7 days), at most 31 days. */
  readonly retention?: number
  /**
   * How long a new topic keeps messages by itself, ms. With it, a subscription that is created later starts with what the
   * topic still has. Default: not at all.
   */
  readonly topicRetention?: number
  /** New subscriptions have exactly-once delivery: acknowledgements are confirmed. Default false. */
  readonly exactlyOnce?: boolean
  /** Topics whose messages carry their partition as ordering key; `*` for all. Default `tidemark.vitals`. */
  readonly orderedTopics?: readonly string[]
  /**
   * Topics that are read through one existing subscription each, with nothing created or described: `{ orders: 'orders-sub' }`.
   * Such a topic has one partition.
   */
  readonly subscriptions?: Readonly<Record<string, string>>
  /** For one request, ms. Default 30,000. */
  readonly requestTimeout?: number
  /** An instance of `PubSub` (its own connection options then hold), or the module `@google-cloud/pubsub`. */
  readonly client?: PubsubClient | PubsubModule
}

/** The options as data: read from the environment, checked, and printed in the docs. */
export const pubsubOptions: OptionTable = {
  projectId: { kind: 'string', doc: 'default: the project of the credentials' },
  emulator: { kind: 'string', doc: 'host:port of an emulator: no encryption, no credentials' },
  apiEndpoint: { kind: 'string', doc: 'another endpoint, such as europe-west1-pubsub.googleapis.com:443' },
  credentials: { kind: 'object', doc: 'content of a key file', secret: true },
  keyFile: { kind: 'string', doc: 'path of a key file', secret: true },
  ackDeadline: { kind: 'number', doc: 'ms that a delivered message is ours; 10000 to 600000, default 15000' },
  retention: { kind: 'number', doc: 'ms that a new subscription keeps what is not acknowledged; default 604800000' },
  topicRetention: {
    kind: 'number',
    doc: 'ms that a new topic keeps messages for later subscriptions; default: not at all'
  },
  exactlyOnce: { kind: 'boolean', doc: 'new subscriptions have exactly-once delivery; default false' },
  orderedTopics: {
    kind: 'strings',
    doc: 'topics whose messages carry their partition as ordering key; * for all; default tidemark.vitals'
  },
  subscriptions: {
    kind: 'object',
    doc: 'topics that are read through one existing subscription each: { orders: "orders-sub" }'
  },
  requestTimeout: { kind: 'number', doc: 'ms for one request; default 30000' },
  client: { kind: 'any', doc: 'an instance of PubSub, or the module @google-cloud/pubsub' }
}

/** The same with every default filled in. */
export interface ReadPubsubOptions extends Required<
  Omit<
    PubsubOptions,
    'projectId' | 'emulator' | 'apiEndpoint' | 'credentials' | 'keyFile' | 'topicRetention' | 'client'
  >
> {
  readonly projectId: string | undefined
  readonly emulator: string | undefined
  readonly apiEndpoint: string | undefined
  readonly credentials: Readonly<Record<string, unknown>> | undefined
  readonly keyFile: string | undefined
  readonly topicRetention: number | undefined
  readonly client: PubsubClient | PubsubModule | undefined
}

const minute = 60_000
const day = 24 * 60 * minute

/** Throws `bad-config`, naming the option and never a secret. */
export function readPubsubOptions(given: PubsubOptions): ReadPubsubOptions {
  const options = readOptions('pubsub', pubsubOptions, given) as PubsubOptions
  const { projectId, emulator, apiEndpoint, subscriptions = {} } = options
  if (projectId !== undefined && !/^[A-Za-z0-9][A-Za-z0-9.:_-]*$/.test(projectId))
    throw bad(`option 'projectId' is no name of a project: '${projectId}'`)
  for (const [name, value] of Object.entries({ emulator, apiEndpoint }))
    if (value !== undefined && !/^[^\s/?#@]+$/.test(value)) throw bad(`option '${name}' is not like host:port`)
  if (emulator !== undefined && !/:\d+$/.test(emulator))
    throw bad(`option 'emulator' is not like 127.0.0.1:8085: '${emulator}'`)
  if (emulator !== undefined && apiEndpoint !== undefined)
    throw bad("options 'emulator' and 'apiEndpoint' name two servers: give one")
  if (emulator !== undefined && projectId === undefined)
    throw bad("with an emulator, option 'projectId' is needed: any name will do")
  for (const [topic, subscription] of Object.entries(subscriptions))
    if (typeof subscription !== 'string' || subscription === '')
      throw bad(`option 'subscriptions': '${topic}' must name a subscription`)
  return {
    projectId,
    emulator,
    apiEndpoint,
    credentials: options.credentials,
    keyFile: options.keyFile,
    ackDeadline: within('ackDeadline', options.ackDeadline ?? 15_000, 10_000, 600_000),
    retention: within('retention', options.retention ?? 7 * day, 10 * minute, 31 * day),
    topicRetention: options.topicRetention && within('topicRetention', options.topicRetention, 10 * minute, 31 * day),
    exactlyOnce: options.exactlyOnce ?? false,
    orderedTopics: options.orderedTopics ?? ['tidemark.vitals'],
    subscriptions,
    requestTimeout: within('requestTimeout', options.requestTimeout ?? 30_000, 1, 600_000),
    client: options.client
  }
}

function within(name: string, value: number, least: number, most: number): number {
  if (Number.isFinite(value) && value >= least && value <= most) return value
  throw bad(`option '${name}' must be ${least} to ${most} ms, got ${value}`)
}

/**
 * Options of `pubsub://project?emulator=host:port&exactlyOnce=true`. Throws `bad-config` for an unknown parameter, and for a
 * secret: those come as options or from the environment.
 */
export function fromUrl(url: URL | string): PubsubOptions {
  const parts = /^pubsub:(?:\/\/)?([^/?#@]*)\/?(?:\?([^#]*))?$/.exec(String(url))
  if (!parts) throw bad('a URL looks like pubsub://project?emulator=127.0.0.1:8085')
  const [, projectId = '', query = ''] = parts
  const options: Record<string, unknown> = projectId === '' ? {} : { projectId: decodeURIComponent(projectId) }
  for (const [name, value] of new URLSearchParams(query)) setOption(options, name, value)
  readOptions('pubsub', pubsubOptions, options)
  return options as PubsubOptions
}

const notInUrl = ['projectId', 'credentials', 'keyFile', 'subscriptions', 'client']

function setOption(into: Record<string, unknown>, name: string, value: string): void {
  if (['credentials', 'keyFile', 'password', 'token', 'key'].includes(name))
    throw bad(
      `'${name}' is a secret and must not stand in a URL: pass it as an option, or set the environment variable TIDEMARK_BROKERS__DEFAULT__KEY_FILE (DEFAULT being the broker's name)`
    )
  const spec = Object.hasOwn(pubsubOptions, name) && !notInUrl.includes(name) ? pubsubOptions[name] : undefined
  if (!spec) {
    const known = Object.keys(pubsubOptions).filter(each => !notInUrl.includes(each))
    throw bad(`unknown parameter '${name}' in the URL; known are ${known.join(', ')}`)
  }
  into[name] = parseText(`pubsub: parameter '${name}'`, spec, value)
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `pubsub: ${message}`, { adapter: 'pubsub' })
}

import { type OptionTable, parseText, readOptions } from '../../core/options.ts'
import { StreamError } from '../../core/errors.ts'
import type { KinesisClient } from './client.ts'

export interface KinesisOptions {
  /** Of AWS: `eu-central-1`. Default: what the AWS client finds, such as `AWS_REGION`. */
  readonly region?: string
  /** Where the service is, when it is not AWS's own address of the region: `http://127.0.0.1:4568`. */
  readonly endpoint?: string
  /**
   * Keys or a provider of them, as the AWS client takes them. Default: its own chain (environment, profile, role). An endpoint
   * without TLS is a stand-in: requests to it are signed with keys that mean nothing.
   */
  readonly credentials?: object
  /** Handed to the AWS client as it is: proxies, agents, timeouts. */
  readonly requestHandler?: unknown
  /** An instance of `KinesisClient`. Give it `maxAttempts: 1`: tidemark retries by itself. */
  readonly client?: KinesisClient
  /** Ms for one request. Default 30 000. */
  readonly requestTimeout?: number
  /** Ms between two looks at a shard that has nothing new. Default 250; Kinesis allows five looks per second and shard. */
  readonly pollInterval?: number
  /** Name of a registered consumer: records are pushed to it (enhanced fan-out). Of one process: see the docs. */
  readonly fanOut?: string
  /**
   * `strict` (default): one `PutRecord` for what goes to a partition, in the order that AWS guarantees. `coarse`: one
   * `PutRecords` for many partitions, which AWS orders by arrival, roughly.
   */
  readonly ordering?: 'strict' | 'coarse'
  /** Most bytes of an aggregated record. Default 204 800; a larger record travels alone. */
  readonly aggregateBytes?: number
  /** Partition counts of streams without a tag: `{ clicks: 8 }`. */
  readonly partitions?: Readonly<Record<string, number>>
}

/** The options as data: read from the environment, checked, and printed in the docs. */
export const kinesisOptions: OptionTable = {
  region: { kind: 'string', doc: 'region of AWS; default: what the AWS client finds' },
  endpoint: { kind: 'string', doc: 'address of the service: http://127.0.0.1:4568' },
  credentials: { kind: 'any', doc: 'keys or a provider of them, for the AWS client', secret: true },
  requestHandler: { kind: 'any', doc: 'handed to the AWS client as it is' },
  client: { kind: 'any', doc: 'an instance of KinesisClient' },
  requestTimeout: { kind: 'number', doc: 'ms for one request; default 30000' },
  pollInterval: { kind: 'number', doc: 'ms between two looks at a shard that has nothing new; default 250' },
  fanOut: { kind: 'string', doc: 'name of a registered consumer that records are pushed to' },
  ordering: {
    kind: 'string',
    doc: 'strict: PutRecord, in the order that AWS guarantees; coarse: PutRecords; default strict',
    values: ['strict', 'coarse']
  },
  aggregateBytes: { kind: 'number', doc: 'most bytes of an aggregated record; default 204800' },
  partitions: { kind: 'any', doc: 'partition counts of streams without a tag: { clicks: 8 }' }
}

/** The same with every default filled in. */
export interface ReadKinesisOptions {
  readonly region: string | undefined
  readonly endpoint: string | undefined
  readonly credentials: object | undefined
  readonly requestHandler: unknown
  readonly client: KinesisClient | undefined
  readonly requestTimeout: number
  readonly pollInterval: number
  readonly fanOut: string | undefined
  readonly ordering: 'strict' | 'coarse'
  readonly aggregateBytes: number
  readonly partitions: Readonly<Record<string, number>>
}

/** Throws `bad-config`, naming the option and never a secret. */
export function readKinesisOptions(given: KinesisOptions): ReadKinesisOptions {
  const options = readOptions('kinesis', kinesisOptions, given) as unknown as KinesisOptions
  const { region, endpoint, fanOut, partitions = {} } = options
  if (region !== undefined && !/^[a-z0-9-]+$/.test(region)) throw bad(`option 'region' is none: '${region}'`)
  if (endpoint !== undefined && !/^https?:\/\/[^\s/?#@]+\/?$/.test(endpoint))
    throw bad("option 'endpoint' is not like http://127.0.0.1:4568")
  if (options.credentials !== undefined && !['object', 'function'].includes(typeof options.credentials))
    throw bad("option 'credentials' must be keys or a provider of them, given in code")
  if (fanOut !== undefined && !/^[\w.-]{1,128}$/.test(fanOut)) throw bad(`option 'fanOut' is no name: '${fanOut}'`)
  for (const name of ['requestTimeout', 'pollInterval', 'aggregateBytes'] as const)
    assertWhole(`option '${name}'`, options[name])
  if (typeof partitions !== 'object' || partitions === null) throw bad("option 'partitions' must be like { clicks: 8 }")
  for (const [stream, count] of Object.entries(partitions)) assertWhole(`option 'partitions.${stream}'`, count)
  return {
    region,
    endpoint: endpoint?.replace(/\/$/, ''),
    credentials: options.credentials,
    requestHandler: options.requestHandler,
    client: options.client,
    requestTimeout: options.requestTimeout ?? 30_000,
    pollInterval: options.pollInterval ?? 250,
    fanOut,
    ordering: options.ordering ?? 'strict',
    aggregateBytes: options.aggregateBytes ?? 200 * 1024,
    partitions
  }
}

const form = 'kinesis://eu-central-1?pollInterval=500'
const inUrl = ['endpoint', 'requestTimeout', 'pollInterval', 'fanOut', 'ordering', 'aggregateBytes']

/**
 * Options of `kinesis://eu-central-1?endpoint=http://127.0.0.1:4568`; `kinesis:` alone leaves the region to the AWS client.
 * Throws `bad-config` for an unknown parameter, and for a secret: credentials come as an option or from where the AWS client
 * looks for them.
 */
export function fromUrl(url: URL | string): KinesisOptions {
  const parts = /^kinesis:(?:\/\/([^/?#]*)\/?)?(?:\?([^#]*))?$/.exec(String(url))
  if (!parts) throw bad(`a URL looks like ${form}`)
  const [, authority = '', query = ''] = parts
  if (authority.includes('@')) throw bad(`a URL must not hold credentials: ${elsewhere}`)
  const options: Record<string, unknown> = { ...(authority !== '' && { region: authority }) }
  for (const [name, value] of new URLSearchParams(query)) {
    if (/secret|token|password|credential|accesskey/i.test(name))
      throw bad(`'${name}' is a secret and must not stand in a URL: ${elsewhere}`)
    if (!inUrl.includes(name)) throw bad(`unknown parameter '${name}' in the URL; known are ${inUrl.join(', ')}`)
    options[name] = parseText(`kinesis: parameter '${name}'`, kinesisOptions[name]!, value)
  }
  readKinesisOptions(options)
  return options
}

const elsewhere = "pass option 'credentials', or leave them to the AWS client (AWS_ACCESS_KEY_ID, AWS_PROFILE, a role)"

function assertWhole(what: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value > 0)) return
  throw bad(`${what} must be a whole number above 0, got ${value}`)
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `kinesis: ${message}`, { adapter: 'kinesis' })
}

import { StreamError } from '../../core/errors.ts'
import { parseText, readOptions, type OptionTable } from '../../core/options.ts'
import type { DynamodbClient } from './dynamodb-client.ts'

export interface DynamodbOptions {
  /** `dynamodb://eu-central-1/tidemark`: region and table; the options below may follow (`?create=false`). */
  readonly url?: string
  /** The table of ours. Default `tidemark`. */
  readonly table?: string
  /** Default: what the AWS client finds, such as `AWS_REGION`. */
  readonly region?: string
  /** Where the service is, when it is not AWS's own address of the region: `http://127.0.0.1:8000`. */
  readonly endpoint?: string
  /** Create the table, on demand, when it is missing. Default true. */
  readonly create?: boolean
  /** Ms for one request, and for repeating one that is throttled. Default 10 000. */
  readonly requestTimeout?: number
  /**
   * In code: keys or a provider of them, as the AWS client takes them. Default: its own chain (environment, profile, role).
   * An endpoint without TLS is a stand-in: requests to it are signed with keys that mean nothing.
   */
  readonly credentials?: object
  /** In code: an instance of `DynamoDBClient`, such as one that is instrumented. */
  readonly client?: DynamodbClient
}

/** The options as data: checked, read from the URL, and printed in the docs. */
export const dynamodbOptions: OptionTable = {
  url: { kind: 'string', doc: 'dynamodb://region/table' },
  table: { kind: 'string', doc: 'the table of ours; default tidemark' },
  region: { kind: 'string', doc: 'region of AWS; default: what the AWS client finds' },
  endpoint: { kind: 'string', doc: 'address of the service: http://127.0.0.1:8000' },
  create: { kind: 'boolean', doc: 'create the table when it is missing; default true' },
  requestTimeout: { kind: 'number', doc: 'ms for one request, and for repeating one that is throttled; default 10000' },
  credentials: { kind: 'any', doc: 'keys or a provider of them, for the AWS client', secret: true },
  client: { kind: 'any', doc: 'an instance of DynamoDBClient' }
}

export interface ReadDynamodbOptions {
  /** For messages. */
  readonly location: string
  readonly table: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
  readonly create: boolean
  readonly requestTimeout: number
  readonly credentials: object | undefined
  readonly client: DynamodbClient | undefined
}

const where = 'dynamodb store'
const inUrl = ['endpoint', 'create', 'requestTimeout']

/** Fills in every default. Throws `bad-config`, naming the option and never a secret. */
export function readDynamodbOptions(given: DynamodbOptions): ReadDynamodbOptions {
  const own = given.url === undefined ? {} : fromUrl(given.url)
  const options = readOptions(where, dynamodbOptions, { ...own, ...given }) as unknown as DynamodbOptions
  const { table = 'tidemark', region, endpoint, requestTimeout = 10_000 } = options
  if (!/^[\w.-]{3,255}$/.test(table)) throw bad(`option 'table' is no name of a table: '${table}'`)
  if (region !== undefined && !/^[a-z0-9-]+$/.test(region)) throw bad(`option 'region' is none: '${region}'`)
  if (endpoint !== undefined && !/^https?:\/\/[^\s/?#@]+\/?$/.test(endpoint))
    throw bad("option 'endpoint' is not like http://127.0.0.1:8000")
  if (!(Number.isInteger(requestTimeout) && requestTimeout > 0))
    throw bad(`option 'requestTimeout' must be a whole number above 0; got ${requestTimeout}`)
  return {
    location: `dynamodb://${region ?? ''}/${table}`,
    table,
    region,
    endpoint: endpoint?.replace(/\/$/, ''),
    create: options.create ?? true,
    requestTimeout,
    credentials: options.credentials,
    client: options.client
  }
}

function fromUrl(url: unknown): Record<string, unknown> {
  const parts = typeof url === 'string' ? /^dynamodb:(?:\/\/([^/?#]*)(?:\/([^/?#]*))?)?(?:\?([^#]*))?$/.exec(url) : null
  if (!parts) throw bad("option 'url' must be dynamodb://region/table")
  const [, authority = '', table = '', query = ''] = parts
  if (authority.includes('@')) throw bad(`the URL must not hold credentials: ${elsewhere}`)
  const options: Record<string, unknown> = {
    ...(authority !== '' && { region: authority }),
    ...(table !== '' && { table })
  }
  for (const [name, value] of new URLSearchParams(query)) {
    if (/secret|token|password|credential|accesskey/i.test(name))
      throw bad(`'${name}' is a secret and must not stand in the URL: ${elsewhere}`)
    if (!inUrl.includes(name)) throw bad(`the URL has '${name}', which is none of ${inUrl.join(', ')}`)
    options[name] = parseText(`${where}: '${name}'`, dynamodbOptions[name]!, value)
  }
  return options
}

const elsewhere = "give option 'credentials', or leave them to the AWS client (AWS_ACCESS_KEY_ID, AWS_PROFILE, a role)"

function bad(what: string): StreamError {
  return new StreamError('bad-config', `${where}: ${what}`)
}

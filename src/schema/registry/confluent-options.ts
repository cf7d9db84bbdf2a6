import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { HeaderSource } from './http.ts'

export interface ConfluentRegistryOptions {
  /**
   * `https://registry.example:8081`; several of one cluster are tried in turn. Apicurio has its API under
   * `/apis/ccompat/v7`. No query, no credentials.
   */
  readonly url: string | readonly string[]
  /** `{ authorization: 'Bearer …' }`, or a function that makes them for each request. */
  readonly headers?: HeaderSource
  /** For `authorization: Basic`; on Confluent Cloud, key and secret. */
  readonly basic?: { readonly username: string; readonly password: string }
  /** Options of `node:tls` for `https:`: `ca`, `cert`, `key`, `servername` and the like. */
  readonly tls?: Readonly<Record<string, unknown>>
  /** Milliseconds for one attempt. Default 10,000. */
  readonly timeout?: number
  /** Of a request, with growing pauses. Default 3. What fails then is `connection`. */
  readonly attempts?: number
  /**
   * What becomes of records whose schema is not known while the registry cannot be reached. `'wait'`, the default: their
   * batch is tried again until it can. `'park'`: they are parked after `attempts`. Known schemas go on in both cases.
   */
  readonly unreachable?: 'wait' | 'park'
  /** Schemas that are remembered. Default 1,000. */
  readonly cacheSize?: number
  /** Time for timeouts and pauses. Default: the real one. */
  readonly environment?: Environment
}

export function parseUrl(text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new StreamError('bad-config', "confluentRegistry: option 'url' is not a URL")
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new StreamError(
      'bad-config',
      `confluentRegistry: option 'url' begins with http: or https:, not ${url.protocol}`
    )
  if (url.username !== '' || url.password !== '' || url.search !== '')
    throw new StreamError(
      'bad-config',
      "confluentRegistry: option 'url' holds credentials or a query, which end up in logs: use the options 'basic' or 'headers'"
    )
  return url
}

export function headersOf({ headers = {}, basic }: ConfluentRegistryOptions): HeaderSource {
  if (!basic) return headers
  const credentials = Buffer.from(`${basic.username}:${basic.password}`, 'utf8').toString('base64')
  const own = { authorization: `Basic ${credentials}` }
  return typeof headers === 'function' ? async () => ({ ...own, ...(await headers()) }) : { ...own, ...headers }
}

const optionNames: readonly (keyof ConfluentRegistryOptions)[] = [
  'url',
  'headers',
  'basic',
  'tls',
  'timeout',
  'attempts',
  'unreachable',
  'cacheSize',
  'environment'
]

export function checkOptions(options: ConfluentRegistryOptions): void {
  const refuse = (message: string): never => {
    throw new StreamError('bad-config', `confluentRegistry: ${message}`)
  }
  for (const name of Object.keys(options))
    if (!(optionNames as readonly string[]).includes(name))
      refuse(`unknown option '${name}'; known are ${optionNames.join(', ')}`)
  const { url, timeout, attempts, cacheSize, unreachable } = options
  if ([url].flat().length === 0) refuse("option 'url' names no server")
  for (const [name, value] of Object.entries({ timeout, attempts, cacheSize }))
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      refuse(`option '${name}' must be a whole number from 1`)
  if (unreachable !== undefined && unreachable !== 'wait' && unreachable !== 'park')
    refuse("option 'unreachable' must be 'wait' or 'park'")
}

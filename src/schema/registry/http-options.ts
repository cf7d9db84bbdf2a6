import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { HeaderSource } from './http.ts'

/** Options of every registry that is asked over HTTP. */
export interface HttpRegistryOptions {
  /** `{ authorization: 'Bearer …' }`, or a function that makes them for each request. */
  readonly headers?: HeaderSource
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

const httpOptionNames: readonly (keyof HttpRegistryOptions)[] = [
  'headers',
  'tls',
  'timeout',
  'attempts',
  'unreachable',
  'cacheSize',
  'environment'
]

/** Throws `bad-config`. `own`: the names of the options that only this registry has. */
export function checkHttpOptions(registry: string, options: HttpRegistryOptions, own: readonly string[]): void {
  const refuse = (message: string): never => {
    throw new StreamError('bad-config', `${registry}: ${message}`)
  }
  const known = [...own, ...httpOptionNames]
  for (const name of Object.keys(options))
    if (!known.includes(name)) refuse(`unknown option '${name}'; known are ${known.join(', ')}`)
  const { timeout, attempts, cacheSize, unreachable } = options
  for (const [name, value] of Object.entries({ timeout, attempts, cacheSize }))
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      refuse(`option '${name}' must be a whole number from 1`)
  if (unreachable !== undefined && unreachable !== 'wait' && unreachable !== 'park')
    refuse("option 'unreachable' must be 'wait' or 'park'")
}

/** Throws `bad-config`. */
export function parseUrl(registry: string, text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new StreamError('bad-config', `${registry}: option 'url' is not a URL`)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new StreamError('bad-config', `${registry}: option 'url' begins with http: or https:, not ${url.protocol}`)
  if (url.username !== '' || url.password !== '' || url.search !== '')
    throw new StreamError(
      'bad-config',
      `${registry}: option 'url' holds credentials or a query, which end up in logs: use the options for them`
    )
  return url
}

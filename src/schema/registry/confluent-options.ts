import { StreamError } from '../../core/errors.ts'
import { checkHttpOptions, type HttpRegistryOptions } from './http-options.ts'
import type { HeaderSource } from './http.ts'

export interface ConfluentRegistryOptions extends HttpRegistryOptions {
  /**
   * `https://registry.example:8081`; several of one cluster are tried in turn. Apicurio has its API under
   * `/apis/ccompat/v7`. No query, no credentials.
   */
  readonly url: string | readonly string[]
  /** For `authorization: Basic`; on Confluent Cloud, key and secret. */
  readonly basic?: { readonly username: string; readonly password: string }
  /**
   * Where records carry the id of their schema. `'payload'`, the default: in front of it. `'headers'`: in the header
   * `__value_schema_id` (or `__key_schema_id`), as the header serializers of Confluent's newer clients do, and in the payload
   * nothing is added; records of both forms are read then.
   */
  readonly ids?: 'payload' | 'headers'
}

export function headersOf({ headers = {}, basic }: ConfluentRegistryOptions): HeaderSource {
  if (!basic) return headers
  const credentials = Buffer.from(`${basic.username}:${basic.password}`, 'utf8').toString('base64')
  const own = { authorization: `Basic ${credentials}` }
  return typeof headers === 'function' ? async () => ({ ...own, ...(await headers()) }) : { ...own, ...headers }
}

export function checkOptions(options: ConfluentRegistryOptions): void {
  checkHttpOptions('confluentRegistry', options, ['url', 'basic', 'ids'])
  const { url, ids } = options
  if ([url].flat().length === 0) throw new StreamError('bad-config', "confluentRegistry: option 'url' names no server")
  if (ids !== undefined && ids !== 'payload' && ids !== 'headers')
    throw new StreamError('bad-config', "confluentRegistry: option 'ids' must be 'payload' or 'headers'")
}

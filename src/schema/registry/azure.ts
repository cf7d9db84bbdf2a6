import { systemEnvironment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaRegistry } from '../../core/registry.ts'
import { recordName, topicName } from '../subjects.ts'
import { azureFraming, azureHeaders } from './azure-ids.ts'
import { schemaCache } from './cache.ts'
import { checkVersions } from './check-versions.ts'
import { canonicalText, parseCompatibility, type Compatibility, type SchemaText } from './compatibility.ts'
import { createHttp, type Answer } from './http.ts'
import { checkHttpOptions, parseUrl, type HttpRegistryOptions } from './http-options.ts'

/** A `TokenCredential` of `@azure/core-auth`, such as `DefaultAzureCredential` of `@azure/identity`. */
export interface AzureTokenSource {
  getToken(scope: string): Promise<{ readonly token: string } | null>
}

export interface AzureRegistryOptions extends HttpRegistryOptions {
  /** The namespace of Event Hubs: `https://orders.servicebus.windows.net`. */
  readonly url: string
  /** The schema group, which is there. */
  readonly group: string
  /** Who asks. It is asked for a token before each request, and keeps them itself. */
  readonly credential?: AzureTokenSource
  /** What is checked before a schema is registered; the group has a rule of its own, which no API tells. Default `backward`. */
  readonly compatibility?: Compatibility
}

const scope = 'https://eventhubs.azure.net/.default'
const apiVersion = 'api-version=2023-07-01'
const formats: Partial<Record<RegisteredSchema['type'], string>> = { AVRO: 'Avro', JSON: 'Json' }

/**
 * Azure Schema Registry (of a namespace of Event Hubs), with its own way to say the id: the content type
 * `avro/binary+<id>` of each record, and nothing in the payload. Clients of Azure read records of ours, and the reverse. A
 * subject is a schema of the group; by default it is named after the record, as those clients do.
 *
 * Errors: `bad-config` here; `connection` (retryable), `unauthorized`, `bad-schema`, `unsupported` (Protobuf, references).
 *
 * @example
 * const registry = azureRegistry({
 *   url: 'https://orders.servicebus.windows.net',
 *   group: 'orders',
 *   credential: new DefaultAzureCredential()
 * })
 */
export function azureRegistry(options: AzureRegistryOptions): SchemaRegistry {
  checkHttpOptions('azureRegistry', options, ['url', 'group', 'credential', 'compatibility'])
  const { group, credential, compatibility = 'backward', environment = systemEnvironment } = options
  if (typeof group !== 'string' || group === '')
    throw new StreamError('bad-config', "azureRegistry: option 'group' is the name of a schema group")
  parseCompatibility(compatibility)
  const { timeout = 10_000, attempts = 3, tls, headers = {} } = options
  const url = parseUrl('azureRegistry', options.url)
  const name = `Azure schema group ${group} of ${url.host}`
  const authorized = async (): Promise<Record<string, string>> => {
    const given = typeof headers === 'function' ? await headers() : headers
    const token = await credential?.getToken(scope)
    return { ...(token && { authorization: `Bearer ${token.token}` }), ...given }
  }
  const mediaType = 'application/json'
  const http = createHttp({ name, urls: [url], headers: authorized, tls, timeout, attempts, environment, mediaType })
  const cache = schemaCache<RegisteredSchema>(options.cacheSize ?? 1_000, options.unreachable)
  const path = (subject: string, rest = ''): string =>
    `/$schemaGroups/${encodeURIComponent(group)}/schemas/${encodeURIComponent(subject)}${rest}?${apiVersion}`
  const refused = (doing: string, answer: Answer): StreamError => {
    const { error } = (answer.body ?? {}) as { error?: { message?: unknown } }
    const said = typeof error?.message === 'string' ? `, ${error.message.slice(0, 500)}` : ''
    const code = answer.status >= 400 && answer.status < 500 ? 'bad-schema' : 'internal'
    return new StreamError(code, `${name}: ${doing}: ${answer.status}${said}`)
  }
  /** Azure has one text for one schema, and no other way to ask for it. */
  const contentOf = (schema: SchemaText): readonly [body: string, mediaType: string] => {
    const format = formats[schema.type]
    if (!format || schema.references)
      throw new StreamError(
        'unsupported',
        `${name} takes Avro and JSON Schema, ${format ? 'without references' : `not ${schema.type}`}`
      )
    return [schema.schema, `application/json; serialization=${format}`]
  }
  const identified = (schema: SchemaText, answer: Answer): RegisteredSchema => ({
    ...schema,
    id: String(answer.headers['schema-id']),
    version: Number(answer.headers['schema-version'])
  })
  const versionsOf = async (subject: string): Promise<readonly number[]> => {
    const answer = await http.request('GET', path(subject, '/versions'))
    if (answer.status === 404) return []
    const { Value, value = Value } = (answer.body ?? {}) as { Value?: unknown; value?: unknown }
    if (answer.status !== 200 || !Array.isArray(value)) throw refused(`subject '${subject}'`, answer)
    return (value as number[]).toSorted((left, right) => left - right)
  }
  const versionOf = async (subject: string, version: number): Promise<RegisteredSchema | undefined> => {
    const answer = await http.request('GET', path(subject, `/versions/${version}`))
    return answer.status === 404 ? undefined : parse(`version ${version} of subject '${subject}'`, answer)
  }
  const parse = (doing: string, answer: Answer): RegisteredSchema => {
    const format = /serialization=(\w+)/i.exec(answer.headers['content-type'] ?? '')?.[1]?.toLowerCase()
    const type = format === 'avro' ? 'AVRO' : format === 'json' ? 'JSON' : undefined
    if (answer.status !== 200) throw refused(doing, answer)
    if (!type) throw new StreamError('bad-schema', `${name}: ${doing}: its format is neither Avro nor JSON`)
    return identified({ type, schema: answer.text }, answer)
  }

  const registry: SchemaRegistry = {
    name,
    framing: azureFraming,
    headers: azureHeaders,
    subject: context => (context.record === undefined ? topicName(context) : recordName(context)),
    byId: id =>
      cache.get(String(id), async () =>
        parse(
          `schema ${id}`,
          await http.request('GET', `/$schemaGroups/$schemas/${encodeURIComponent(String(id))}?${apiVersion}`)
        )
      ),
    async latest(subject) {
      const latest = (await versionsOf(subject)).at(-1)
      return latest === undefined ? undefined : versionOf(subject, latest)
    },
    async lookup(subject, schema) {
      const answer = await http.request('POST', path(`${subject}`, ':get-id'), ...contentOf(schema))
      if (answer.status === 404) return undefined
      if (answer.status !== 204 && answer.status !== 200) throw refused(`subject '${subject}'`, answer)
      return identified(schema, answer)
    },
    async register(subject, schema) {
      const content = contentOf(schema)
      const known = await registry.lookup!(subject, schema)
      if (known) return known
      const broken = await registry.check(subject, schema)
      if (broken.length > 0)
        throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${broken.join('\n- ')}`)
      const answer = await http.request('PUT', path(subject), ...content)
      if (answer.status !== 204 && answer.status !== 200)
        throw refused(`subject '${subject}' refuses the schema`, answer)
      const registered = identified(schema, answer)
      cache.set(String(registered.id), registered)
      return registered
    },
    async check(subject, schema) {
      contentOf(schema)
      canonicalText(schema, true)
      const numbers = await versionsOf(subject)
      return checkVersions(compatibility, schema, numbers.at(-1) ?? 0, async version =>
        numbers.includes(version) ? versionOf(subject, version) : undefined
      )
    },
    close: async () => http.close()
  }
  return registry
}

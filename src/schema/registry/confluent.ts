import { systemEnvironment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema } from '../../core/registry.ts'
import { schemaCache } from './cache.ts'
import {
  brokenRules,
  prepareTypes,
  parseCompatibility,
  type Compatibility,
  type ResolvedText,
  type SchemaText
} from './compatibility.ts'
import { inParallel } from '../in-parallel.ts'
import { createApi } from './confluent-api.ts'
import { confluentHeaders, eitherFraming } from './confluent-ids.ts'
import { checkOptions, headersOf, type ConfluentRegistryOptions } from './confluent-options.ts'
import { createHttp } from './http.ts'
import { parseUrl } from './http-options.ts'
import type { ManagedRegistry } from './managed.ts'
import { dependenciesOf } from './references.ts'

/** Requests under way at one time for one question. */
const parallel = 8

/**
 * A schema registry with the REST API of Confluent's: Confluent itself, Apicurio, Karapace, Redpanda.
 *
 * Errors: `bad-config` here; `connection` (retryable), `unauthorized`, `bad-schema`.
 *
 * @example
 * const registry = confluentRegistry({ url: process.env.REGISTRY!, basic: { username, password } })
 * const client = await connect({ brokers: { default: 'kafka://…' }, registry })
 */
export function confluentRegistry(options: ConfluentRegistryOptions): ManagedRegistry {
  checkOptions(options)
  const urls = [options.url].flat().map(text => parseUrl('confluentRegistry', text))
  const name = `schema registry ${urls.map(({ host }) => host).join(', ')}`
  const environment = options.environment ?? systemEnvironment
  const { timeout = 10_000, attempts = 3, tls } = options
  const http = createHttp({ name, urls, headers: headersOf(options), tls, timeout, attempts, environment })
  const cache = schemaCache<RegisteredSchema>(options.cacheSize ?? 1_000, options.unreachable)
  const api = createApi(name, http)

  const inHeaders = options.ids === 'headers'
  const registry: ManagedRegistry = {
    name,
    ...(inHeaders && { framing: eitherFraming, headers: confluentHeaders() }),
    byId: id => cache.get(`id ${id}`, () => api.byId(id)),
    version: (subject, version) => cache.get(`version ${version} ${subject}`, () => api.version(subject, version)),
    latest: subject => api.find(subject, 'latest'),
    async lookup(subject, schema) {
      const found = await api.lookup(subject, schema)
      if (!found) return undefined
      const { guid, ...registered } = found
      return inHeaders && guid !== undefined ? { ...registered, id: guid } : registered
    },
    async register(subject, schema) {
      const answer = await api.register(subject, schema)
      if (answer !== 'incompatible') {
        const registered = { ...schema, id: inHeaders ? (answer.guid ?? answer.id) : answer.id }
        cache.set(`id ${registered.id}`, registered)
        return registered
      }
      const broken = await registry.check(subject, schema)
      const sentences = broken.length > 0 ? broken : ['it breaks the compatibility rule of the subject']
      throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${sentences.join('\n- ')}`)
    },
    async check(subject, schema) {
      const level = await registry.compatibility(subject)
      const answer = await api.check(subject, schema, level)
      if (answer.compatible) return []
      // What the registry says is short, and of each kind another; the same rules say which field and what to do.
      const own = await ownSentences(registry, level, subject, schema)
      return own.length > 0 ? own : answer.messages
    },
    subjects: () => api.subjects(),
    async versions(subject) {
      const numbers = await api.versions(subject)
      return inParallel(numbers, parallel, async version => ({
        ...(await registry.version(subject, version)),
        version
      }))
    },
    compatibility: subject => api.compatibility(subject),
    setCompatibility: (level, subject) => api.setCompatibility(parseCompatibility(level), subject),
    close: async () => http.close()
  }
  return registry
}

async function ownSentences(
  registry: ManagedRegistry,
  level: Compatibility,
  subject: string,
  schema: SchemaText
): Promise<readonly string[]> {
  const latest = level.endsWith('-transitive') ? undefined : await registry.latest(subject)
  const versions = latest ? [{ version: 0, ...latest }] : await registry.versions(subject)
  const resolve = async <Text extends SchemaText>(text: Text): Promise<Text & ResolvedText> => ({
    ...text,
    dependencies: await dependenciesOf(text, registry)
  })
  await prepareTypes(schema)
  try {
    return brokenRules(level, await resolve(schema), await Promise.all(versions.map(resolve)))
  } catch (error) {
    // A schema that another tool registered under other rules, a peer that is not installed: the registry's word is enough.
    if (StreamError.is(error)) return []
    throw error
  }
}

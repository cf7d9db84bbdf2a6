import { systemEnvironment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { headerText } from '../../core/record.ts'
import type { RegisteredSchema, SchemaHeaders, SchemaId, SchemaRegistry } from '../../core/registry.ts'
import { nativeTexts } from '../protobuf/native.ts'
import { loadBufbuild, loadParser } from '../protobuf/peer.ts'
import { schemaCache } from './cache.ts'
import { checkVersions } from './check-versions.ts'
import {
  canonicalText,
  parseCompatibility,
  type Compatibility,
  type ResolvedText,
  type SchemaText
} from './compatibility.ts'
import { createHttp, type Answer } from './http.ts'
import { checkHttpOptions, parseUrl, type HttpRegistryOptions } from './http-options.ts'
import { textFraming } from './text-framing.ts'

export interface PulsarRegistryOptions extends HttpRegistryOptions {
  /** The web service of the cluster: `http://127.0.0.1:8080`, `https://pulsar.example:8443`. */
  readonly url: string
  /** Default `public/default`. */
  readonly namespace?: string
  /** A token of a role that may administrate the namespace. */
  readonly token?: string
  /**
   * Records that say no version: those of Pulsar's own clients, whose version is metadata that tidemark is not shown. `'refuse'`, the
   * default; `'own'`: they are read as if written with the topic's own schema, as Pulsar's clients do with records without one.
   */
  readonly unversioned?: 'refuse' | 'own'
}

/** The rule of a namespace without one, as long as the broker is not configured otherwise. */
const brokerDefault: Compatibility = 'full'

/** The property that says the version, as `<namespace>/<topic>@<version>`. The broker's own field cannot be written from outside. */
const property = 'tidemark-schema'

/**
 * The registry inside Pulsar: one subject per topic, named as the topic, whose schema all clients of that topic share, with the
 * broker's own compatibility check. Payloads are Avro, or a Protobuf message (what Pulsar calls `PROTOBUF_NATIVE`), and nothing else,
 * as Pulsar's clients write and read them; the version stands in a property of the record.
 *
 * What Pulsar calls JSON and PROTOBUF are other formats than those of `json()` and `protobuf()`. Keys have no schema there.
 *
 * Errors: `bad-config` here; `connection` (retryable), `unauthorized`, `bad-schema`, `unsupported`.
 *
 * @example
 * const registry = pulsarRegistry({ url: 'http://127.0.0.1:8080', namespace: 'public/default' })
 */
export function pulsarRegistry(options: PulsarRegistryOptions): SchemaRegistry {
  checkHttpOptions('pulsarRegistry', options, ['url', 'namespace', 'token', 'unversioned'])
  const { namespace = 'public/default', token, unversioned = 'refuse', environment = systemEnvironment } = options
  if (!/^[^/]+\/[^/]+$/.test(namespace))
    throw new StreamError('bad-config', "pulsarRegistry: option 'namespace' is '<tenant>/<namespace>'")
  if (unversioned !== 'refuse' && unversioned !== 'own')
    throw new StreamError('bad-config', "pulsarRegistry: option 'unversioned' must be 'refuse' or 'own'")
  const { timeout = 10_000, attempts = 3, tls, headers = {} } = options
  const url = parseUrl('pulsarRegistry', options.url)
  const name = `schemas of Pulsar ${url.host}, namespace ${namespace}`
  const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const authorized = async (): Promise<Record<string, string>> => ({
    ...bearer,
    ...(typeof headers === 'function' ? await headers() : headers)
  })
  const mediaType = 'application/json'
  const http = createHttp({ name, urls: [url], headers: authorized, tls, timeout, attempts, environment, mediaType })
  const cache = schemaCache<RegisteredSchema>(options.cacheSize ?? 1_000, options.unreachable)
  const refused = (doing: string, { status, body, text }: Answer): StreamError => {
    const { reason } = (body ?? {}) as { reason?: unknown }
    const said = (typeof reason === 'string' ? reason : text).slice(0, 500)
    return new StreamError(
      status >= 400 && status < 500 ? 'bad-schema' : 'internal',
      `${name}: ${doing}: ${status} ${said}`
    )
  }
  const pathOf = (topic: string): string => `/admin/v2/schemas/${pathText(topic)}`
  const fullName = (subject: string): string => `${namespace}/${subject}`
  const payloadOf = ({ type, schema, references }: SchemaText): object => {
    if (toPulsar[type] && !references) return { type: toPulsar[type], schema, properties: {} }
    throw new StreamError('unsupported', `${name}: only Avro and Protobuf, without references, are kept there`)
  }
  const fetched = async (topic: string, version?: string): Promise<RegisteredSchema | undefined> => {
    const answer = await http.request('GET', `${pathOf(topic)}/schema${version === undefined ? '' : `/${version}`}`)
    const doing = `the schema of '${topic}'`
    if (answer.status === 404) return undefined
    const { type, data, version: number } = (answer.body ?? {}) as Record<string, unknown>
    if (answer.status !== 200 || typeof data !== 'string') throw refused(doing, answer)
    const kept = fromPulsar[String(type)]
    if (kept) return identified({ type: kept, schema: data }, topic, Number(number))
    throw new StreamError('bad-schema', `${name}: ${doing} is of type ${String(type)}, not AVRO or PROTOBUF_NATIVE`)
  }

  /** That of the namespace, for the sentences: the broker decides when a schema is registered. */
  const level = async (): Promise<Compatibility> => {
    const answer = await http.request('GET', `/admin/v2/namespaces/${pathText(namespace)}/schemaCompatibilityStrategy`)
    const strategy = String(answer.body).toLowerCase().replace('_', '-')
    if (strategy === 'always-compatible') return 'none'
    return /^(backward|forward|full)(-transitive)?$/.test(strategy) ? parseCompatibility(strategy) : brokerDefault
  }

  const registry: SchemaRegistry = {
    name,
    framing: textFraming,
    headers: pulsarHeaders(unversioned),
    messages: 'root',
    subject: ({ topic, part }) => {
      if (part === 'value') return topic
      throw new StreamError(
        'unsupported',
        `${name}: a topic has one schema, that of its values: give keys another codec, or avro(schema, { id: false })`
      )
    },
    byId: id =>
      cache.get(String(id), async () => {
        const [, topic, version] = /^([^@]+\/[^@]+\/[^@]+)@(\d+)$/.exec(String(id)) ?? []
        const found = topic === undefined ? undefined : await fetched(topic, version)
        if (found) return found
        throw new StreamError('bad-schema', `${name} holds no schema '${id}'`)
      }),
    latest: subject => fetched(fullName(subject)),
    async lookup(subject, schema) {
      const answer = await http.request('POST', `${pathOf(fullName(subject))}/version`, payloadOf(schema))
      if (answer.status === 404) return undefined
      const { version } = (answer.body ?? {}) as { version?: unknown }
      if (answer.status !== 200 || typeof version !== 'number') throw refused(`subject '${subject}'`, answer)
      if (version >= 0) return identified(schema, fullName(subject), version)
      // It asks for the very same text; other clients write the same schema in another way.
      const latest = await fetched(fullName(subject))
      if (latest?.type !== schema.type) return undefined
      const [theirs, ours] = [await texts(latest), await texts(schema)]
      return canonicalText(theirs, false) === canonicalText(ours, false) ? latest : undefined
    },
    async register(subject, schema) {
      const payload = payloadOf(schema)
      canonicalText(await texts(schema), true)
      const topic = fullName(subject)
      const answer = await http.request('POST', `${pathOf(topic)}/schema`, payload)
      if (answer.status === 409) {
        const broken = await registry.check(subject, schema)
        const sentences = broken.length > 0 ? broken : [`the broker says that it breaks the rule of '${topic}'`]
        throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${sentences.join('\n- ')}`)
      }
      if (answer.status !== 200) throw refused(`subject '${subject}' refuses the schema`, answer)
      const { version } = (answer.body as { version?: { version?: unknown } } | null)?.version ?? {}
      if (typeof version !== 'number') throw refused(`subject '${subject}' does not say what it has taken`, answer)
      const registered = identified(schema, topic, version)
      cache.set(registered.id as string, registered)
      return registered
    },
    async check(subject, schema) {
      payloadOf(schema)
      const own = await texts(schema)
      canonicalText(own, true)
      const topic = fullName(subject)
      const latest = (await fetched(topic))?.version ?? -1
      // Versions count from 0 there.
      return checkVersions(await level(), own, latest + 1, async version => {
        const found = await fetched(topic, String(version - 1))
        return found && texts(found)
      })
    },
    close: async () => http.close()
  }
  return registry
}

const toPulsar: Partial<Record<RegisteredSchema['type'], string>> = { AVRO: 'AVRO', PROTOBUF: 'PROTOBUF_NATIVE' }
const fromPulsar: Readonly<Record<string, RegisteredSchema['type']>> = { AVRO: 'AVRO', PROTOBUF_NATIVE: 'PROTOBUF' }

/** What is compared. */
async function texts(schema: SchemaText): Promise<ResolvedText> {
  if (schema.type !== 'PROTOBUF') return schema
  await loadParser()
  const { schema: text, dependencies } = nativeTexts(await loadBufbuild(), schema.schema)
  return { type: 'PROTOBUF', schema: text, dependencies }
}

function identified(schema: SchemaText, topic: string, version: number): RegisteredSchema {
  return { type: schema.type, schema: schema.schema, id: `${topic}@${version}`, version }
}

export function pulsarHeaders(unversioned: 'refuse' | 'own'): SchemaHeaders {
  return {
    place: `property '${property}'`,
    write: ({ id }) => ({ [property]: Buffer.from(String(id)) }),
    read: (headers): SchemaId | undefined => headerText(headers, property),
    ...(unversioned === 'own' && { absent: 'own' as const })
  }
}

function pathText(text: string): string {
  return text.split('/').map(encodeURIComponent).join('/')
}

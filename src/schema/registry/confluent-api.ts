import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaId, SchemaReference } from '../../core/registry.ts'
import { parseCompatibility, type Compatibility, type SchemaText } from './compatibility.ts'
import type { Answer, Http } from './http.ts'

/** The requests and answers of the API. Source: Confluent, "Schema Registry API Reference". */
export interface ConfluentApi {
  byId(id: SchemaId): Promise<RegisteredSchema>
  find(subject: string, version: number | 'latest'): Promise<RegisteredSchema | undefined>
  version(subject: string, version: number): Promise<RegisteredSchema>
  lookup(subject: string, schema: SchemaText): Promise<(RegisteredSchema & { readonly guid?: string }) | undefined>
  register(
    subject: string,
    schema: SchemaText
  ): Promise<{ readonly id: number; readonly guid?: string } | 'incompatible'>
  check(
    subject: string,
    schema: SchemaText,
    level: Compatibility
  ): Promise<{ readonly compatible: boolean; readonly messages: readonly string[] }>
  subjects(): Promise<readonly string[]>
  versions(subject: string): Promise<readonly number[]>
  compatibility(subject: string | undefined): Promise<Compatibility>
  setCompatibility(level: Compatibility, subject: string | undefined): Promise<void>
}

export function createApi(name: string, http: Http): ConfluentApi {
  const unexpected = (doing: string, { status, body }: Answer): StreamError =>
    new StreamError(
      status === 409 || status === 422 || status === 404 ? 'bad-schema' : 'internal',
      `${name}: ${doing}: ${status}${messageIn(body)}`
    )
  const path = (subject: string): string => `/subjects/${encodeURIComponent(subject)}`
  const parse = (doing: string, answer: Answer): RegisteredSchema => {
    const parsed = answer.status === 200 ? parseSchema(answer.body) : undefined
    if (parsed) return parsed
    throw unexpected(doing, answer)
  }
  const api: ConfluentApi = {
    async byId(id) {
      const kind = typeof id === 'number' ? 'ids' : 'guids'
      const answer = await http.request('GET', `/schemas/${kind}/${encodeURIComponent(String(id))}`)
      const doing = `schema ${id}`
      if (answer.status !== 200) throw unexpected(doing, answer)
      return parse(doing, { ...answer, body: { ...(answer.body as object), id } })
    },
    async find(subject, version) {
      const answer = await http.request('GET', `${path(subject)}/versions/${version}`)
      return answer.status === 404 ? undefined : parse(`version ${version} of subject '${subject}'`, answer)
    },
    async version(subject, version) {
      const found = await api.find(subject, version)
      if (found) return found
      throw new StreamError('bad-schema', `${name} holds no version ${version} of subject '${subject}'`)
    },
    async lookup(subject, schema) {
      const answer = await http.request('POST', path(subject), wire(schema))
      // 404: not there. Some answer 422 or 409 when the subject is of another type.
      if (answer.status === 404) return undefined
      const { guid } = (answer.body ?? {}) as { guid?: unknown }
      return {
        ...parse(`subject '${subject}'`, answer),
        ...textOf(schema),
        ...(typeof guid === 'string' && { guid })
      }
    },
    async register(subject, schema) {
      const answer = await http.request('POST', `${path(subject)}/versions`, wire(schema))
      if (answer.status === 409) return 'incompatible'
      const { id, guid } = (answer.body ?? {}) as { id?: unknown; guid?: unknown }
      if (answer.status !== 200 || typeof id !== 'number')
        throw unexpected(`subject '${subject}' refuses the schema`, answer)
      return { id, ...(typeof guid === 'string' && { guid }) }
    },
    async check(subject, schema, level) {
      const versions = level.endsWith('-transitive') ? 'versions' : 'versions/latest'
      const answer = await http.request('POST', `/compatibility${path(subject)}/${versions}?verbose=true`, wire(schema))
      if (answer.status === 404) return { compatible: true, messages: [] }
      const { is_compatible: compatible, messages } = (answer.body ?? {}) as {
        is_compatible?: unknown
        messages?: unknown
      }
      if (answer.status !== 200 || typeof compatible !== 'boolean') throw unexpected(`subject '${subject}'`, answer)
      const given = Array.isArray(messages) ? messages.filter(message => typeof message === 'string') : []
      return { compatible, messages: given.length > 0 ? given : [`${name} says that it is incompatible, and no more`] }
    },
    async subjects() {
      const answer = await http.request('GET', '/subjects')
      if (answer.status !== 200 || !Array.isArray(answer.body)) throw unexpected('its subjects', answer)
      return (answer.body as string[]).sort()
    },
    async versions(subject) {
      const answer = await http.request('GET', `${path(subject)}/versions`)
      if (answer.status === 404) throw new StreamError('bad-schema', `${name} holds no subject '${subject}'`)
      if (answer.status !== 200 || !Array.isArray(answer.body)) throw unexpected(`subject '${subject}'`, answer)
      return (answer.body as number[]).sort((left, right) => left - right)
    },
    async compatibility(subject) {
      const own = subject === undefined ? '' : `/${encodeURIComponent(subject)}`
      const answer = await http.request('GET', `/config${own}${own && '?defaultToGlobal=true'}`)
      if (answer.status === 404 && own) return api.compatibility(undefined)
      const { compatibilityLevel, compatibility } = (answer.body ?? {}) as Record<string, unknown>
      const level = compatibilityLevel ?? compatibility
      if (answer.status !== 200 || typeof level !== 'string') throw unexpected('its compatibility', answer)
      return parseCompatibility(level.toLowerCase().replace('_', '-'))
    },
    async setCompatibility(level, subject) {
      const own = subject === undefined ? '' : `/${encodeURIComponent(subject)}`
      const answer = await http.request('PUT', `/config${own}`, {
        compatibility: level.toUpperCase().replace('-', '_')
      })
      if (answer.status !== 200) throw unexpected('set the compatibility', answer)
    }
  }
  return api
}

function wire({ type, schema, references }: SchemaText): object {
  return { schema, ...(type !== 'AVRO' && { schemaType: type }), ...(references && { references }) }
}

/** The text that was asked with, not the one of the registry, which may be another of the same meaning. */
function textOf({ type, schema, references }: SchemaText): SchemaText {
  return { type, schema, ...(references && { references }) }
}

function parseSchema(body: unknown): RegisteredSchema | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { id, schema, schemaType = 'AVRO', references, version } = body as Record<string, unknown>
  if ((typeof id !== 'number' && typeof id !== 'string') || typeof schema !== 'string') return undefined
  if (schemaType !== 'AVRO' && schemaType !== 'JSON' && schemaType !== 'PROTOBUF') return undefined
  const given = Array.isArray(references) ? (references as SchemaReference[]) : []
  return {
    id,
    type: schemaType,
    schema,
    ...(given.length > 0 && {
      references: given.map(({ name, subject, version: of }) => ({ name, subject, version: of }))
    }),
    ...(typeof version === 'number' && { version })
  }
}

function messageIn(body: unknown): string {
  const message = typeof body === 'object' && body !== null ? (body as { message?: unknown }).message : undefined
  return typeof message === 'string' ? `, ${message.slice(0, 500)}` : ''
}

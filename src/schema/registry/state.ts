import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaId } from '../../core/registry.ts'
import { fromText } from '../avro/parse.ts'
import { parseJsonSchema } from '../json/json-schema.ts'
import { brokenRules, canonicalText, type Compatibility, type ResolvedText, type SchemaText } from './compatibility.ts'
import { inOrder } from './references.ts'

/** One version of a subject: numbered from 1, never changed. */
export interface RegisteredVersion extends RegisteredSchema {
  readonly version: number
}

export interface Subject {
  readonly subject: string
  /** Absent: that of the registry holds. */
  readonly compatibility?: Compatibility
  /** Oldest first. */
  readonly versions: readonly RegisteredVersion[]
}

/** All that an embedded registry knows. */
export interface RegistryState {
  readonly compatibility: Compatibility
  readonly subjects: ReadonlyMap<string, Subject>
}

export const emptyState: RegistryState = { compatibility: 'backward', subjects: new Map() }

/** With the schemas that it names. Throws `bad-schema` when one of them is not there. */
export function resolved<Text extends SchemaText>(state: RegistryState, schema: Text): Text & ResolvedText {
  if (!schema.references) return schema
  const dependencies = inOrder(schema, ({ subject, version }) => findVersion(state, subject, version))
  return { ...schema, dependencies }
}

export function findVersion(state: RegistryState, subject: string, version: number): RegisteredVersion | undefined {
  return state.subjects.get(subject)?.versions[version - 1]
}

export function findById(state: RegistryState, id: SchemaId): RegisteredSchema | undefined {
  for (const { versions } of state.subjects.values()) {
    const found = versions.find(version => version.id === id)
    if (found) return plain(found)
  }
  return undefined
}

export function findLatest(state: RegistryState, subject: string): RegisteredSchema | undefined {
  const latest = state.subjects.get(subject)?.versions.at(-1)
  return latest && plain(latest)
}

/** The version of the subject that says the same as `schema`, however it is formatted. */
export function findSame(state: RegistryState, subject: string, schema: SchemaText): RegisteredSchema | undefined {
  const canonical = canonicalText(resolved(state, schema), false)
  const found = state.subjects.get(subject)?.versions.find(version => same(state, version, schema, canonical))
  return found && plain(found)
}

export function checkNext(state: RegistryState, subject: string, schema: SchemaText): string[] {
  const next = resolved(state, schema)
  canonicalText(next, true)
  const known = state.subjects.get(subject)
  if (!known || findSame(state, subject, schema)) return []
  const versions = known.versions.map(version => resolved(state, version))
  return brokenRules(known.compatibility ?? state.compatibility, next, versions)
}

/** The subject with one more version. Throws `bad-schema` with the sentences when a rule forbids it. */
export function addVersion(
  state: RegistryState,
  subject: string,
  schema: SchemaText
): { subject: Subject; added: RegisteredVersion } {
  const broken = checkNext(state, subject, schema)
  if (broken.length > 0)
    throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${broken.join('\n- ')}`)
  const known = state.subjects.get(subject) ?? { subject, versions: [] }
  const added: RegisteredVersion = {
    version: (known.versions.at(-1)?.version ?? 0) + 1,
    id: idFor(state, schema),
    type: schema.type,
    schema: normalText(schema),
    ...(schema.references && { references: schema.references })
  }
  return { subject: { ...known, versions: [...known.versions, added] }, added }
}

/** The text as it is kept: JSON without formatting. */
function normalText({ type, schema }: SchemaText): string {
  if (type === 'PROTOBUF') return schema
  return JSON.stringify(type === 'AVRO' ? fromText(schema) : parseJsonSchema(schema))
}

/** One schema has one id, in whichever subjects it stands. */
function idFor(state: RegistryState, schema: SchemaText): number {
  const canonical = canonicalText(resolved(state, schema), false)
  let highest = 0
  for (const { versions } of state.subjects.values())
    for (const version of versions) {
      if (same(state, version, schema, canonical)) return version.id as number
      highest = Math.max(highest, version.id as number)
    }
  return highest + 1
}

const canonicals = new WeakMap<RegisteredVersion, string>()

function same(state: RegistryState, version: RegisteredVersion, schema: SchemaText, canonical: string): boolean {
  if (version.type !== schema.type) return false
  let known = canonicals.get(version)
  if (known === undefined) canonicals.set(version, (known = canonicalText(resolved(state, version), false)))
  return known === canonical
}

export function plain({ id, type, schema, references, version }: RegisteredVersion): RegisteredSchema {
  return { id, type, schema, version, ...(references && { references }) }
}

/**
 * Two branches of a repository may each have given the next id to another schema: a record would be read with the wrong
 * one.
 */
export function refuseDoubleIds(state: RegistryState, where: string): void {
  const seen = new Map<SchemaId, { subject: string; canonical: string }>()
  for (const { subject, versions } of state.subjects.values())
    for (const version of versions) {
      const canonical = `${version.type} ${canonicalText(resolved(state, version), false)}`
      const other = seen.get(version.id)
      if (other && other.canonical !== canonical)
        throw new StreamError(
          'corrupt',
          `${where}: id ${version.id} is one schema in '${other.subject}' and another in '${subject}'; give the one that no record was written with a free id`
        )
      seen.set(version.id, { subject, canonical })
    }
}

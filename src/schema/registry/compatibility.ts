import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema } from '../../core/registry.ts'
import { canonicalOf } from '../avro/canonical.ts'
import { checkAvro } from '../avro/compatibility.ts'
import type { AvroType } from '../avro/model.ts'
import { parseAvro } from '../avro/parse.ts'
import { checkJsonSchema } from '../json/compatibility.ts'
import { bundle } from '../json/bundle.ts'
import { parseJsonSchema, type JsonSchema } from '../json/json-schema.ts'
import { checkProto } from '../protobuf/compatibility.ts'
import { canonicalProto, parseProto, type ProtoFile } from '../protobuf/parse.ts'
import { hasParser, loadParser } from '../protobuf/peer.ts'
import { sorted } from '../sorted.ts'
import type { Dependency } from './references.ts'

/**
 * What a new version of a subject must keep possible.
 * `backward`: readers of the new schema read records of the last version (upgrade consumers first). `forward`: readers of the
 * last version read records of the new schema (upgrade producers first). `full`: both. With `-transitive`: all
 * versions, not only the last.
 */
export type Compatibility = (typeof compatibilities)[number]

export const compatibilities = [
  'backward',
  'backward-transitive',
  'forward',
  'forward-transitive',
  'full',
  'full-transitive',
  'none'
] as const

export type SchemaText = Omit<RegisteredSchema, 'id'>

/** With the schemas that it names, those that others need first. */
export interface ResolvedText extends SchemaText {
  readonly dependencies?: readonly Dependency[]
}

export interface EarlierVersion extends ResolvedText {
  readonly version: number
}

export function parseCompatibility(value: unknown): Compatibility {
  if ((compatibilities as readonly unknown[]).includes(value)) return value as Compatibility
  throw new StreamError(
    'bad-config',
    `compatibility must be one of ${compatibilities.join(', ')}, got ${JSON.stringify(value)}`
  )
}

/**
 * The form in which schemas are compared, so that formatting does not matter. Throws `bad-schema` when the text is
 * none. A schema about to be registered is parsed strictly, its defaults included.
 */
export function canonicalText(schema: ResolvedText, strict: boolean): string {
  if (schema.type === 'AVRO') return canonicalOf(avroOf(schema, !strict))
  if (schema.type === 'JSON') return JSON.stringify(sorted(jsonOf(schema)))
  // Without the parser, formatting matters: the text is all there is.
  return hasParser() ? canonicalProto(schema.schema, schema.dependencies ?? []) : schema.schema.trim()
}

/**
 * A sentence for each rule of the level that `next` breaks: the field, the rule, the fix. Earlier versions oldest
 * first.
 */
export function brokenRules(level: Compatibility, next: ResolvedText, earlier: readonly EarlierVersion[]): string[] {
  if (level === 'none') return []
  const against = level.endsWith('-transitive') ? earlier : earlier.slice(-1)
  const sentences = against.flatMap(version => {
    if (version.type !== next.type)
      return [`the schema is ${next.type}, version ${version.version} is ${version.type}: use another subject`]
    const asReader = level.startsWith('forward') ? [] : check(next, version, 'reader')
    const asWriter = level.startsWith('backward') ? [] : check(version, next, 'writer')
    return [
      ...asReader.map(({ where, reason, fix }) =>
        sentence(where, reason, `backward: the new schema must read version ${version.version}`, fix)
      ),
      ...asWriter.map(({ where, reason, fix }) =>
        sentence(where, reason, `forward: version ${version.version} must read the new schema`, fix)
      )
    ]
  })
  return [...new Set(sentences)]
}

function sentence(where: string, reason: string, rule: string, fix: string): string {
  return `${where} ${reason} (${rule}); ${fix}`
}

/**
 * The same for schemas at hand, without a registry: a sentence for each rule of `level` that `next` breaks, with the
 * field and the fix. Errors: `bad-schema`, `bad-config`, `peer-missing`.
 *
 * @param earlier the versions before it, oldest first
 */
export async function checkCompatibility(
  level: Compatibility,
  next: SchemaText,
  earlier: readonly SchemaText[]
): Promise<readonly string[]> {
  parseCompatibility(level)
  await prepareTypes(next, ...earlier)
  canonicalText(next, true)
  return brokenRules(
    level,
    next,
    earlier.map((schema, index) => ({ ...schema, version: index + 1 }))
  )
}

/** `role` is the role of the new schema. */
function check(
  reader: ResolvedText,
  writer: ResolvedText,
  role: 'reader' | 'writer'
): { where: string; reason: string; fix: string }[] {
  const problems =
    reader.type === 'AVRO'
      ? checkAvro(avroOf(reader, true), avroOf(writer, true))
      : reader.type === 'JSON'
        ? checkJsonSchema(jsonOf(reader), jsonOf(writer))
        : checkProto(protoOf(reader), protoOf(writer))
  return problems.map(({ where, reason, fixReader, fixWriter }) => ({
    where,
    reason,
    fix: role === 'reader' ? fixReader : fixWriter
  }))
}

function avroOf({ schema, dependencies = [] }: ResolvedText, lenient: boolean): AvroType {
  return parseAvro(schema, { lenient, dependencies })
}

function jsonOf({ schema, dependencies = [] }: ResolvedText): JsonSchema {
  return bundle(parseJsonSchema(schema), dependencies)
}

function protoOf({ schema, dependencies = [] }: ResolvedText): ProtoFile {
  return parseProto(schema, dependencies)
}

/** Loads what comparing these takes, and does nothing when it is not installed: then texts are compared as they are. */
export async function prepareTypes(...schemas: readonly Pick<SchemaText, 'type'>[]): Promise<void> {
  if (hasParser() || !schemas.some(({ type }) => type === 'PROTOBUF')) return
  await loadParser().catch(() => {})
}

import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema } from '../../core/registry.ts'
import { canonicalOf } from '../avro/canonical.ts'
import { checkAvro } from '../avro/compatibility.ts'
import { parseAvro } from '../avro/parse.ts'
import { checkJsonSchema } from '../json/compatibility.ts'
import { parseJsonSchema } from '../json/json-schema.ts'
import { sorted } from '../sorted.ts'

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

export interface EarlierVersion extends SchemaText {
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
export function canonicalText(schema: SchemaText, strict: boolean): string {
  if (schema.type === 'AVRO') return canonicalOf(parseAvro(schema.schema, { lenient: !strict }))
  if (schema.type === 'JSON') return JSON.stringify(sorted(parseJsonSchema(schema.schema)))
  return schema.schema.trim()
}

/**
 * A sentence for each rule of the level that `next` breaks: the field, the rule, the fix. Earlier versions oldest
 * first.
 */
export function brokenRules(level: Compatibility, next: SchemaText, earlier: readonly EarlierVersion[]): string[] {
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

/** `role` is the role of the new schema. */
function check(
  reader: SchemaText,
  writer: SchemaText,
  role: 'reader' | 'writer'
): { where: string; reason: string; fix: string }[] {
  if (reader.type === 'PROTOBUF')
    throw new StreamError(
      'unsupported',
      "an embedded registry does not compare PROTOBUF schemas: set the compatibility of the subject to 'none'"
    )
  const problems =
    reader.type === 'AVRO'
      ? checkAvro(parseAvro(reader.schema, { lenient: true }), parseAvro(writer.schema, { lenient: true }))
      : checkJsonSchema(parseJsonSchema(reader.schema), parseJsonSchema(writer.schema))
  return problems.map(({ where, reason, fixReader, fixWriter }) => ({
    where,
    reason,
    fix: role === 'reader' ? fixReader : fixWriter
  }))
}

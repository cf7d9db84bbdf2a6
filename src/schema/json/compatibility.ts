import type { Problem } from '../avro/compatibility.ts'
import { dereference, isObject, isSchema, type JsonSchema } from './json-schema.ts'
import { sorted } from '../sorted.ts'

/**
 * Reasons to believe that `reader` refuses some value that `writer` allows; empty when it takes them all. Conservative:
 * a keyword that this does not understand must be the same on both sides, or be absent from the reader. One case is
 * left open on purpose: a property that only the reader knows, optional, is allowed although a writer with an open
 * content model might have written something else under that name.
 */
export function checkJsonSchema(reader: JsonSchema, writer: JsonSchema): Problem[] {
  const context: Context = { readerRoot: reader, writerRoot: writer, assumed: new Map() }
  return contains(reader, writer, '', context)
}

interface Context {
  readonly readerRoot: JsonSchema
  readonly writerRoot: JsonSchema
  /** Pairs under way: a recursive schema is compatible if it is everywhere else. */
  readonly assumed: Map<JsonSchema, Set<JsonSchema>>
}

type SchemaObject = Readonly<Record<string, unknown>>

function contains(readerRaw: JsonSchema, writerRaw: JsonSchema, path: string, context: Context): Problem[] {
  const reader = dereference(readerRaw, context.readerRoot)
  const writer = dereference(writerRaw, context.writerRoot)
  if (reader === undefined || writer === undefined)
    return equal(readerRaw, writerRaw)
      ? []
      : [problem(path, 'has a $ref that leads out of the schema, and cannot be compared', 'keep the $ref')]
  if (reader === true || writer === false || takesAll(reader)) return []
  if (reader === false)
    return [problem(path, 'is allowed for the writer and forbidden for the reader', 'allow it', 'leave it out')]
  const assumed = context.assumed.get(reader)
  if (assumed?.has(writer)) return []
  context.assumed.set(reader, new Set(assumed).add(writer))
  const from: SchemaObject = writer === true ? {} : writer
  const branches = branchesOf(from)
  if (branches) return branches.flatMap(branch => contains(reader, branch, path, context))
  const options = branchesOf(reader)
  if (options) {
    if (
      options.some(
        option => contains(option, from, path, { ...context, assumed: new Map(context.assumed) }).length === 0
      )
    )
      return []
    return [
      problem(
        path,
        'may be something that no branch of anyOf / oneOf of the reader takes',
        'keep a branch for it',
        'add a branch only after all readers know it'
      )
    ]
  }
  return [
    ...types(reader, from, path),
    ...values(reader, from, path),
    ...limits(reader, from, path),
    ...properties(reader, from, path, context),
    ...itemsOf(reader, from, path, context),
    ...others(reader, from, path)
  ]
}

function takesAll(reader: JsonSchema): boolean {
  return reader !== false && Object.keys(reader).every(key => annotations.has(key))
}

/** The branches of a schema that is nothing but a choice. */
function branchesOf(schema: SchemaObject): readonly JsonSchema[] | undefined {
  const choice = schema['anyOf'] ?? schema['oneOf']
  if (!Array.isArray(choice) || !choice.every(isSchema)) return undefined
  return Object.keys(schema).every(key => key === 'anyOf' || key === 'oneOf' || annotations.has(key))
    ? choice
    : undefined
}

function types(reader: SchemaObject, writer: SchemaObject, path: string): Problem[] {
  if (reader['type'] === undefined) return []
  const allowed = typesOf(reader)
  const written = typesOf(writer)
  if (written === undefined)
    return writer['enum'] !== undefined || writer['const'] !== undefined
      ? []
      : [
          problem(
            path,
            `has any type for the writer and is ${allowed!.join(' or ')} for the reader`,
            'leave the type out',
            `give it the type ${allowed!.join(' or ')}`
          )
        ]
  const refused = written.filter(
    type => !allowed!.includes(type) && !(type === 'integer' && allowed!.includes('number'))
  )
  if (refused.length === 0) return []
  return [
    problem(
      path,
      `may be ${refused.join(' or ')} for the writer, the reader takes ${allowed!.join(' or ')}`,
      `keep the type ${refused.join(' and ')}`,
      `write only ${allowed!.join(' or ')}`
    )
  ]
}

function typesOf(schema: SchemaObject): readonly string[] | undefined {
  const type = schema['type']
  if (type === undefined) return undefined
  return (Array.isArray(type) ? type : [type]).map(String)
}

function values(reader: SchemaObject, writer: SchemaObject, path: string): Problem[] {
  const allowed = valuesOf(reader)
  if (!allowed) return []
  const written = valuesOf(writer)
  if (!written)
    return [
      problem(
        path,
        'is limited to listed values for the reader and not for the writer',
        'leave enum / const out',
        'list the values'
      )
    ]
  const refused = written.filter(value => !allowed.some(other => equal(value, other)))
  if (refused.length === 0) return []
  return [
    problem(
      path,
      `may be ${refused.map(value => JSON.stringify(value)).join(', ')} for the writer, which the reader refuses`,
      'keep the value in the list',
      'add the value only after all readers know it'
    )
  ]
}

function valuesOf(schema: SchemaObject): readonly unknown[] | undefined {
  if (Array.isArray(schema['enum'])) return schema['enum'] as unknown[]
  return Object.hasOwn(schema, 'const') ? [schema['const']] : undefined
}

const lower = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const upper = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']

function limits(reader: SchemaObject, writer: SchemaObject, path: string): Problem[] {
  return [...lower, ...upper].flatMap(keyword => {
    const limit = reader[keyword]
    if (limit === undefined || equal(limit, writer[keyword])) return []
    const given = writer[keyword]
    const within =
      typeof limit === 'number' &&
      typeof given === 'number' &&
      (lower.includes(keyword) ? given >= limit : given <= limit)
    if (within) return []
    return [
      problem(
        path,
        `has ${keyword} ${String(limit)} for the reader and ${given === undefined ? 'none' : String(given)} for the writer`,
        `do not narrow ${keyword}`,
        `do not widen ${keyword}`
      )
    ]
  })
}

function properties(reader: SchemaObject, writer: SchemaObject, path: string, context: Context): Problem[] {
  const problems: Problem[] = []
  const known = schemasOf(reader)
  const written = schemasOf(writer)
  const always = namesOf(writer['required'])
  for (const name of namesOf(reader['required'])) {
    if (always.includes(name)) continue
    problems.push({
      where: `field '${join(path, name)}'`,
      reason: written.has(name)
        ? 'is optional for the writer and required for the reader'
        : 'is not written, and required by the reader',
      fixReader: 'make it optional, or give it a default in the validator',
      fixWriter: 'keep it required; it can become optional once no reader requires it'
    })
  }
  for (const [name, schema] of written) {
    const counterpart = known.get(name) ?? additional(reader)
    if (counterpart === false)
      problems.push({
        where: `field '${join(path, name)}'`,
        reason: 'is written, and the reader allows no additional properties',
        fixReader: 'keep the property, or allow additional properties',
        fixWriter: 'add it only after the readers allow it'
      })
    else problems.push(...contains(counterpart, schema, join(path, name), context))
  }
  const rest = additional(reader)
  if (rest !== true && mayBeObject(writer))
    problems.push(...contains(rest, additional(writer), join(path, '*'), context))
  return problems
}

function mayBeObject(schema: SchemaObject): boolean {
  const types = typesOf(schema)
  return (types === undefined && !valuesOf(schema)) || types?.includes('object') === true
}

function schemasOf(schema: SchemaObject): Map<string, JsonSchema> {
  const given = schema['properties']
  return new Map(
    isObject(given) ? Object.entries(given).filter((entry): entry is [string, JsonSchema] => isSchema(entry[1])) : []
  )
}

function additional(schema: SchemaObject): JsonSchema {
  const given = schema['additionalProperties']
  return isSchema(given) ? given : true
}

function namesOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}

function itemsOf(reader: SchemaObject, writer: SchemaObject, path: string, context: Context): Problem[] {
  const allowed = reader['items']
  if (!isSchema(allowed)) return []
  const written = writer['items']
  const types = typesOf(writer)
  if (types !== undefined && !types.includes('array')) return []
  return contains(allowed, isSchema(written) ? written : true, `${path}[]`, context)
}

const annotations: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly'
])
const understood: ReadonlySet<string> = new Set([
  ...annotations,
  ...lower,
  ...upper,
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'additionalProperties'
])

/** A keyword beyond these narrows what the reader takes, by how much is unknown. */
function others(reader: SchemaObject, writer: SchemaObject, path: string): Problem[] {
  return Object.keys(reader)
    .filter(keyword => !understood.has(keyword) && !(keyword === 'items' && isSchema(reader['items'])))
    .filter(keyword => !equal(reader[keyword], writer[keyword]))
    .map(keyword =>
      problem(
        path,
        `has '${keyword}' for the reader and ${writer[keyword] === undefined ? 'not' : 'another'} for the writer, which may narrow it`,
        `keep '${keyword}' as it is`
      )
    )
}

function equal(left: unknown, right: unknown): boolean {
  return JSON.stringify(sorted(left)) === JSON.stringify(sorted(right))
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function problem(path: string, reason: string, fixReader: string, fixWriter: string = fixReader): Problem {
  return { where: path === '' ? 'the schema' : `field '${path}'`, reason, fixReader, fixWriter }
}

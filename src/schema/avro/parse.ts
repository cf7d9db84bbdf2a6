import { isMarked } from '../sensitive.ts'
import { StreamError } from '../../core/errors.ts'
import { checkDefault } from './defaults.ts'
import { parseLogical } from './logical-type.ts'
import {
  branchName,
  describe,
  primitiveNames,
  type AvroType,
  type EnumType,
  type Field,
  type FixedType,
  type NamedType,
  type PrimitiveName,
  type RecordType
} from './model.ts'

export interface ParseOptions {
  /**
   * Skips the check of defaults: for the schema of a writer, whose defaults nobody reads, and which another tool with
   * other rules may have registered.
   */
  readonly lenient?: boolean
  /** Schemas whose types this one names, those that others need first. */
  readonly dependencies?: readonly { readonly schema: string }[]
}

/** Nested definitions beyond this are refused: no person writes them, and every walk over a schema is recursive. */
const depthLimit = 64

interface Scope {
  readonly names: Map<string, NamedType>
  readonly namespace: string
  /** Where in the schema, for messages. */
  readonly path: string
  readonly depth: number
  readonly later: (() => void)[]
  readonly lenient: boolean
}

/** Parses a schema from its JSON text or its parsed form. Throws `bad-schema` that names the place. */
export function parseAvro(schema: unknown, options: ParseOptions = {}): AvroType {
  const later: (() => void)[] = []
  const lenient = options.lenient ?? false
  const names = new Map<string, NamedType>()
  for (const dependency of options.dependencies ?? [])
    parse(fromText(dependency.schema), { names, namespace: '', path: '', depth: 0, later: [], lenient: true })
  const type = parse(fromText(schema), { names, namespace: '', path: '', depth: 0, later, lenient })
  // A default may need a type that is defined after it.
  for (const task of later) task()
  refuseEndless(names.values())
  return type
}

/** The JSON of a schema: text is parsed, except for the bare name of a primitive. */
export function fromText(schema: unknown): unknown {
  if (typeof schema !== 'string' || primitiveNames.has(schema)) return schema
  try {
    return JSON.parse(schema) as unknown
  } catch (error) {
    throw new StreamError('bad-schema', 'Avro schema: the text is not JSON', { cause: error })
  }
}

function parse(schema: unknown, scope: Scope): AvroType {
  if (scope.depth > depthLimit) throw bad(scope, `is nested deeper than ${depthLimit}`)
  if (typeof schema === 'string') return reference(schema, scope)
  if (Array.isArray(schema)) return union(schema, scope)
  if (typeof schema !== 'object' || schema === null)
    throw bad(
      scope,
      `expected a type name, an object or a list of types, got ${schema === null ? 'null' : typeof schema}`
    )
  const definition = schema as Readonly<Record<string, unknown>>
  const { type } = definition
  switch (type) {
    case 'record':
    case 'error':
      return record(definition, scope)
    case 'enum':
      return enumeration(definition, scope)
    case 'fixed':
      return fixed(definition, scope)
    case 'array':
      return { kind: 'array', items: parse(definition['items'], inside(scope, 'items')) }
    case 'map':
      return { kind: 'map', values: parse(definition['values'], inside(scope, 'values')) }
  }
  if (typeof type === 'string' && primitiveNames.has(type)) {
    const logical = parseLogical(definition, type)
    return { kind: type as PrimitiveName, ...(logical && { logical }) }
  }
  // `{ "type": { ... } }` and `{ "type": "com.example.Name" }` are a wrapping without meaning.
  if (type !== undefined) return parse(type, inside(scope, ''))
  throw bad(scope, "has no 'type'")
}

function reference(name: string, scope: Scope): AvroType {
  if (primitiveNames.has(name)) return { kind: name as PrimitiveName }
  const found = scope.names.get(qualify(name, scope.namespace)) ?? scope.names.get(name)
  if (found) return found
  throw bad(scope, `unknown type '${name}'; a named type must be defined before it is used`)
}

function union(schemas: readonly unknown[], scope: Scope): AvroType {
  if (schemas.length === 0) throw bad(scope, 'a union needs at least one branch')
  const branches = schemas.map((schema, index) => parse(schema, inside(scope, `[${index}]`)))
  const seen = new Set<string>()
  for (const branch of branches) {
    const name = branchName(branch)
    if (name === 'union') throw bad(scope, 'a union may not hold a union directly')
    if (seen.has(name)) throw bad(scope, `a union may hold ${name} only once`)
    seen.add(name)
  }
  return { kind: 'union', branches }
}

function record(definition: Readonly<Record<string, unknown>>, scope: Scope): RecordType {
  const { name, aliases, namespace } = nameOf(definition, scope)
  const fields: Field[] = []
  const result: RecordType = { kind: 'record', name, aliases, fields }
  scope.names.set(name, result)
  if (!Array.isArray(definition['fields'])) throw bad(scope, `record ${name} needs a list of fields`)
  const taken = new Set<string>()
  for (const [index, raw] of (definition['fields'] as unknown[]).entries()) {
    const field = (raw ?? {}) as Readonly<Record<string, unknown>>
    const fieldName = field['name']
    if (!isName(fieldName)) throw bad(inside(scope, `fields[${index}]`), `of record ${name}: ${nameRule}`)
    // A plain assignment to it would set the prototype of the decoded value.
    if (fieldName === '__proto__') throw bad(scope, `record ${name}: a field may not be called __proto__`)
    if (taken.has(fieldName)) throw bad(scope, `record ${name} has two fields '${fieldName}'`)
    taken.add(fieldName)
    const where: Scope = { ...inside(scope, `${name}.${fieldName}`, true), namespace }
    const type = parse(field['type'], where)
    const parsed: Field = {
      name: fieldName,
      aliases: strings(field['aliases'], where, 'aliases'),
      type,
      ...(field['default'] !== undefined && { default: field['default'] }),
      ...((isMarked(field) || isMarkedType(field['type'])) && { sensitive: true as const })
    }
    fields.push(parsed)
    if (!scope.lenient && parsed.default !== undefined) {
      scope.later.push(() => {
        const problem = checkDefault(type, parsed.default)
        if (problem) throw bad(where, `the default does not fit ${describe(type)}: ${problem}`)
      })
    }
  }
  return result
}

/** The mark may also stand in the definition of the type, where it is not a reference. */
function isMarkedType(type: unknown): boolean {
  return typeof type === 'object' && type !== null && !Array.isArray(type) && isMarked(type as Record<string, unknown>)
}

function enumeration(definition: Readonly<Record<string, unknown>>, scope: Scope): EnumType {
  const { name, aliases } = nameOf(definition, scope)
  const symbols = strings(definition['symbols'], scope, 'symbols')
  if (symbols.length === 0) throw bad(scope, `enum ${name} needs a list of symbols`)
  if (new Set(symbols).size !== symbols.length) throw bad(scope, `enum ${name} holds a symbol twice`)
  if (!symbols.every(isName)) throw bad(scope, `enum ${name}: ${nameRule}`)
  const fallback = definition['default']
  if (fallback !== undefined && !symbols.includes(fallback as string))
    throw bad(scope, `enum ${name}: its default is none of its symbols`)
  const result: EnumType = {
    kind: 'enum',
    name,
    aliases,
    symbols,
    ...(fallback !== undefined && { default: fallback as string })
  }
  scope.names.set(name, result)
  return result
}

function fixed(definition: Readonly<Record<string, unknown>>, scope: Scope): FixedType {
  const { name, aliases } = nameOf(definition, scope)
  const size = definition['size']
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0 || size > 2 ** 31 - 1)
    throw bad(scope, `fixed ${name}: size must be a whole number of bytes`)
  const logical = parseLogical(definition, 'fixed')
  const result: FixedType = { kind: 'fixed', name, aliases, size, ...(logical && { logical }) }
  scope.names.set(name, result)
  return result
}

function nameOf(
  definition: Readonly<Record<string, unknown>>,
  scope: Scope
): { name: string; aliases: string[]; namespace: string } {
  const given = definition['name']
  if (typeof given !== 'string') throw bad(scope, `${String(definition['type'])} needs a name`)
  const named = typeof definition['namespace'] === 'string' ? definition['namespace'] : scope.namespace
  const name = qualify(given, named)
  if (!name.split('.').every(isName)) throw bad(scope, `'${given}': ${nameRule}`)
  if (primitiveNames.has(name)) throw bad(scope, `'${name}' is the name of a primitive`)
  if (scope.names.has(name)) throw bad(scope, `'${name}' is defined twice`)
  const namespace = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : ''
  const aliases = strings(definition['aliases'], scope, 'aliases').map(alias => qualify(alias, namespace))
  return { name, aliases, namespace }
}

function qualify(name: string, namespace: string): string {
  if (name.includes('.')) return name.replace(/^\./, '')
  return namespace === '' ? name : `${namespace}.${name}`
}

function strings(value: unknown, scope: Scope, what: string): string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value as string[]
  throw bad(scope, `${what} must be a list of strings`)
}

const nameRule = 'a name holds letters, digits and _, and does not start with a digit'

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(value)
}

/**
 * So many fields in one value, nested records counted, and no more: thirty records that each hold two of the next have
 * 2^30.
 */
const fieldLimit = 10_000

/**
 * A record that holds itself with no union, array or map between has no finite value; one with too many fields is a
 * trap.
 */
function refuseEndless(named: Iterable<NamedType>): void {
  const open = new Set<RecordType>()
  const done = new Map<RecordType, number>()
  const count = (type: RecordType): number => {
    const known = done.get(type)
    if (known !== undefined) return known
    if (open.has(type))
      throw new StreamError(
        'bad-schema',
        `Avro schema: every ${describe(type)} would hold another one: put a union with null between`
      )
    open.add(type)
    let fields = type.fields.length
    for (const field of type.fields) if (field.type.kind === 'record') fields += count(field.type)
    if (fields > fieldLimit)
      throw new StreamError(
        'bad-schema',
        `Avro schema: ${describe(type)} has more than ${fieldLimit} fields, nested ones counted`
      )
    open.delete(type)
    done.set(type, fields)
    return fields
  }
  for (const type of named) if (type.kind === 'record') count(type)
}

function inside(scope: Scope, step: string, absolute = false): Scope {
  return { ...scope, path: absolute ? step : scope.path + (step === '' ? '' : `/${step}`), depth: scope.depth + 1 }
}

function bad(scope: Scope, message: string): StreamError {
  return new StreamError('bad-schema', `Avro schema${scope.path === '' ? '' : ` at ${scope.path}`}: ${message}`)
}

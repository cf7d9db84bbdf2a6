import { sorted } from '../sorted.ts'
import { logicalOf } from './logical-type.ts'
import type { AvroType, NamedType } from './model.ts'
import { parseAvro } from './parse.ts'

/**
 * The form in which two schemas are compared: one text for all schemas that write the same bytes and read them the same
 * way. It is the Parsing Canonical Form of the specification plus what reading depends on (aliases, defaults, logical
 * types); formatting, `doc`, `order` and attributes that Avro does not know do not count.
 */
export function canonicalAvro(schema: unknown): string {
  return canonicalOf(parseAvro(schema, { lenient: true }))
}

export function canonicalOf(type: AvroType): string {
  return JSON.stringify(toJson(type, new Set(), true, node => node))
}

/**
 * Full names everywhere, one fixed order of attributes. `wrap` sees every definition with the type it came from.
 * References start with a dot: absolute, whatever namespace they stand in.
 */
export function toJson(
  type: AvroType,
  seen: Set<NamedType>,
  defaults: boolean,
  wrap: (node: object, type: AvroType) => object
): unknown {
  const inner = (child: AvroType): unknown => toJson(child, seen, defaults, wrap)
  const logical = logicalOf(type)
  const meaning = logical && {
    logicalType: logical.name,
    ...(logical.precision !== undefined && { precision: logical.precision, scale: logical.scale })
  }
  switch (type.kind) {
    case 'array':
      return wrap({ type: 'array', items: inner(type.items) }, type)
    case 'map':
      return wrap({ type: 'map', values: inner(type.values) }, type)
    case 'union':
      return wrap(type.branches.map(inner), type)
    case 'fixed':
    case 'enum':
    case 'record':
      break
    default:
      return wrap({ type: type.kind, ...meaning }, type)
  }
  if (seen.has(type)) return `.${type.name}`
  seen.add(type)
  const aliases = type.aliases.length > 0 && { aliases: type.aliases.map(alias => `.${alias}`) }
  const head = { type: type.kind, name: `.${type.name}`, ...aliases }
  if (type.kind === 'fixed') return wrap({ ...head, size: type.size, ...meaning }, type)
  if (type.kind === 'enum')
    return wrap({ ...head, symbols: type.symbols, ...(type.default !== undefined && { default: type.default }) }, type)
  const fields = type.fields.map(field => ({
    name: field.name,
    ...(field.aliases.length > 0 && { aliases: field.aliases }),
    type: inner(field.type),
    ...(defaults && field.default !== undefined && { default: sorted(field.default) })
  }))
  return wrap({ ...head, fields }, type)
}

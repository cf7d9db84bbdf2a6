import type { AvroType, Logical } from './model.ts'

/**
 * The logical type of a definition, when it is one of the specification and fits its underlying type. Any other is
 * ignored, as the specification asks.
 */
export function parseLogical(definition: Readonly<Record<string, unknown>>, kind: string): Logical | undefined {
  const name = definition['logicalType']
  if (typeof name !== 'string') return undefined
  if (name === 'decimal' && (kind === 'bytes' || kind === 'fixed')) return decimal(definition, kind)
  if (name === 'uuid' && kind === 'fixed') return definition['size'] === 16 ? { name } : undefined
  if (name === 'duration') return kind === 'fixed' && definition['size'] === 12 ? { name } : undefined
  return underlying[name]?.includes(kind) ? { name } : undefined
}

const underlying: Readonly<Record<string, readonly string[]>> = {
  uuid: ['string'],
  date: ['int'],
  'time-millis': ['int'],
  'time-micros': ['long'],
  'timestamp-millis': ['long'],
  'timestamp-micros': ['long'],
  'timestamp-nanos': ['long'],
  'local-timestamp-millis': ['long'],
  'local-timestamp-micros': ['long'],
  'local-timestamp-nanos': ['long']
}

function decimal(definition: Readonly<Record<string, unknown>>, kind: string): Logical | undefined {
  const precision = definition['precision']
  const scale = definition['scale'] ?? 0
  if (typeof precision !== 'number' || !Number.isInteger(precision) || precision < 1 || precision > 1000)
    return undefined
  if (typeof scale !== 'number' || !Number.isInteger(scale) || scale < 0 || scale > precision) return undefined
  if (kind === 'fixed') {
    const size = definition['size']
    if (typeof size !== 'number' || 10n ** BigInt(precision) - 1n > 2n ** BigInt(Math.max(0, 8 * size - 1)) - 1n)
      return undefined
  }
  return { name: 'decimal', precision, scale }
}

/** How values of the type look in JavaScript. A value is a `Date` for these. */
export function isDate(type: AvroType): boolean {
  const name = logicalOf(type)?.name
  return name === 'date' || name === 'timestamp-millis' || name === 'timestamp-micros'
}

export function logicalOf(type: AvroType): Logical | undefined {
  return 'logical' in type ? type.logical : undefined
}

/**
 * What `typeof` says of a value of the type, with null and arrays apart: a union whose branches all differ in it holds
 * plain values, any other wraps them, as Avro's JSON encoding does.
 */
export function valueKind(type: AvroType, long: 'bigint' | 'number'): string {
  if (isDate(type)) return 'object'
  switch (type.kind) {
    case 'null':
    case 'boolean':
    case 'array':
    case 'union':
      return type.kind
    case 'long':
      return long
    case 'int':
    case 'float':
    case 'double':
      return 'number'
    case 'string':
    case 'enum':
      return 'string'
    case 'bytes':
    case 'fixed':
      return logicalOf(type)?.name === 'decimal' ? 'string' : 'object'
    default:
      return 'object'
  }
}

export function isWrapped(branches: readonly AvroType[], long: 'bigint' | 'number'): boolean {
  return new Set(branches.map(branch => valueKind(branch, long))).size !== branches.length
}

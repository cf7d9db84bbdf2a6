export type PrimitiveName = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string'

/** What a logical type says beyond its underlying type. Only those of the Avro specification that fit are kept. */
export interface Logical {
  readonly name: string
  /** Of `decimal`. */
  readonly precision?: number
  /** Of `decimal`. */
  readonly scale?: number
}

export interface PrimitiveType {
  readonly kind: PrimitiveName
  readonly logical?: Logical
}

export interface ArrayType {
  readonly kind: 'array'
  readonly items: AvroType
}

export interface MapType {
  readonly kind: 'map'
  readonly values: AvroType
}

export interface UnionType {
  readonly kind: 'union'
  readonly branches: readonly AvroType[]
}

export interface FixedType {
  readonly kind: 'fixed'
  /** Full name: namespace and name. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly size: number
  readonly logical?: Logical
}

export interface EnumType {
  readonly kind: 'enum'
  readonly name: string
  readonly aliases: readonly string[]
  readonly symbols: readonly string[]
  readonly default?: string
}

export interface Field {
  readonly name: string
  readonly aliases: readonly string[]
  readonly type: AvroType
  /** As JSON, absent when the field has none. */
  readonly default?: unknown
  /** Nothing of its value may be in a message. */
  readonly sensitive?: true
}

export interface RecordType {
  readonly kind: 'record'
  readonly name: string
  readonly aliases: readonly string[]
  readonly fields: readonly Field[]
}

export type NamedType = FixedType | EnumType | RecordType

/** A parsed schema: names are resolved, so a recursive schema is a graph with a cycle. */
export type AvroType = PrimitiveType | ArrayType | MapType | UnionType | NamedType

export const primitiveNames: ReadonlySet<string> = new Set<PrimitiveName>([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string'
])

export function isNamed(type: AvroType): type is NamedType {
  return type.kind === 'record' || type.kind === 'enum' || type.kind === 'fixed'
}

/** The key of a branch in Avro's JSON encoding, and in our wrapped unions: the full name, else the kind. */
export function branchName(type: AvroType): string {
  return isNamed(type) ? type.name : type.kind
}

/** The name without its namespace. */
export function simpleName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** How a message names a type. */
export function describe(type: AvroType): string {
  if (isNamed(type)) return `${type.kind} ${type.name}`
  if (type.kind === 'union') return `union of ${type.branches.map(branchName).join(', ')}`
  const logical = 'logical' in type ? type.logical : undefined
  return logical ? `${logical.name} (${type.kind})` : type.kind
}

import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import { toJson } from './canonical.ts'
import { logicalOf, isDate, isWrapped } from './logical-type.ts'
import { bigintLong, numberLong, takeLong, type LongTap } from './long.ts'
import type { AvroType, FixedType, UnionType } from './model.ts'
import type { Avsc, AvscResolver, AvscType, AvscTypeClass } from './peer.ts'
import { convertedType, day, decimal, microseconds, milliseconds, plainBytes, plainFixed, scales } from './values.ts'

export interface BuildOptions {
  readonly long: 'bigint' | 'number'
  /** False for the schema of a writer, whose defaults nobody reads. */
  readonly defaults: boolean
}

interface HookOptions {
  readonly registry: object
  readonly namespace?: string
}

/** The package's type for a parsed schema, with values as `AvroValue` describes them. */
export function buildType(avsc: Avsc, root: AvroType, options: BuildOptions): AvscType {
  // The package hands the nodes of the schema back to the hook as they are: that is how each finds its parsed type.
  const types = new Map<object, AvroType>()
  const schema = toJson(root, new Set(), options.defaults, (node, type) => {
    types.set(node, type)
    return node
  })
  const bigints = bigintLong(avsc)
  const numbers = numberLong(avsc)
  const bytes = new (convertedType(avsc, plainBytes))({ type: 'bytes', logicalType: 'bytes' }, {})
  return avsc.Type.forSchema(schema, {
    typeHook: (node: object | string, hookOptions: HookOptions): AvscType | undefined => {
      const type = typeof node === 'string' ? undefined : types.get(node)
      if (!type) return undefined
      if (isDate(type)) return dateType(avsc, type, { bigints, numbers })
      const logical = logicalOf(type)
      switch (type.kind) {
        case 'long':
          return options.long === 'bigint' ? bigints : numbers
        case 'string':
          return new (wellFormedString(avsc))({}, {})
        case 'float':
          return new (promotingLongs(avsc.types.FloatType))({}, {})
        case 'double':
          return new (promotingLongs(avsc.types.DoubleType))({}, {})
        case 'bytes':
          if (logical?.name !== 'decimal') return bytes
          return decimalType(avsc, node as object, hookOptions, logical.precision!, logical.scale!, undefined)
        case 'fixed':
          if (logical?.name === 'decimal')
            return decimalType(avsc, node as object, hookOptions, logical.precision!, logical.scale!, type.size)
          return fixedType(avsc, type, node as object, hookOptions)
        case 'enum':
          return strictEnum(avsc, node as object, hookOptions)
        case 'union':
          return unionType(avsc, type, node as object, hookOptions, options.long)
      }
      return undefined
    }
  })
}

/** How to read what `writer` wrote as `reader`. Throws when it cannot be. */
export function resolverOf(reader: AvscType, writer: AvscType): AvscResolver {
  // The specification compares names without their namespaces.
  return reader.createResolver(writer, { ignoreNamespaces: true })
}

function dateType(
  avsc: Avsc,
  type: AvroType,
  { bigints, numbers }: { readonly bigints: AvscType; readonly numbers: AvscType }
): AvscType {
  const logicalType = logicalOf(type)!.name
  if (logicalType === 'date') return new (convertedType(avsc, day))({ type: 'int', logicalType }, {})
  if (logicalType === 'timestamp-millis')
    return new (convertedType(avsc, milliseconds))({ type: 'long', logicalType }, { typeHook: () => numbers })
  return new (convertedType(avsc, microseconds))({ type: 'long', logicalType }, { typeHook: () => bigints })
}

function decimalType(
  avsc: Avsc,
  node: object,
  options: HookOptions,
  precision: number,
  scale: number,
  size: number | undefined
): AvscType {
  const result: AvscType = new (convertedType(
    avsc,
    decimal(precision, scale, size, writer => reads(result, writer))
  ))({ ...node, logicalType: 'decimal' }, { registry: options.registry, namespace: options.namespace })
  scales.set(result, { precision, scale })
  return result
}

function fixedType(avsc: Avsc, type: FixedType, node: object, options: HookOptions): AvscType {
  const result: AvscType = new (convertedType(
    avsc,
    plainFixed(type.size, writer => reads(result, writer))
  ))({ ...node, logicalType: 'fixed' }, { registry: options.registry, namespace: options.namespace })
  return result
}

/** Do the underlying types fit? */
function reads(reader: AvscType, writer: AvscType): boolean {
  try {
    resolverOf(underlyingOf(reader), underlyingOf(writer))
    return true
  } catch {
    return false
  }
}

function underlyingOf(type: AvscType): AvscType {
  return (type as { underlyingType?: AvscType }).underlyingType ?? type
}

/** A string with half of a surrogate pair has no UTF-8: the package would write bytes that no reader takes. */
function wellFormedString(avsc: Avsc): AvscTypeClass {
  return class WellFormedString extends (avsc.types.StringType as Overridable) {
    override _write(tap: unknown, value: unknown): void {
      if (typeof value === 'string' && !value.isWellFormed()) throw new TypeError('malformed string')
      super._write(tap, value)
    }
    override _check(value: unknown, ...rest: readonly unknown[]): boolean {
      return super._check(typeof value === 'string' && !value.isWellFormed() ? undefined : value, ...rest)
    }
    override _update(resolver: { _read: unknown }, writer: Overridden, options: object): void {
      super._update(resolver, writer, options)
      // Bytes are proven to be bytes, and nothing more.
      if (writer.typeName === 'bytes') resolver._read = (tap: unknown) => textOf(writer._read(tap) as Buffer)
    }
  }
}

function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new StreamError('bad-record', 'bytes that are read as a string are not UTF-8')
}

/** A float or double that reads what was written as `long`: see `numberLong` for what the package makes of it. */
function promotingLongs(Base: AvscTypeClass): AvscTypeClass {
  return class PromotingLongs extends (Base as Overridable) {
    override _update(resolver: { _read: unknown }, writer: Overridden, options: object): void {
      super._update(resolver, writer, options)
      if (writer.typeName === 'long' || writer.typeName === 'abstract:long')
        resolver._read = (tap: LongTap) => Number(takeLong(tap))
    }
  }
}

/** The package looks symbols up in a plain object, where `constructor` is found too. */
function strictEnum(avsc: Avsc, node: object, options: HookOptions): AvscType {
  const type = new avsc.types.EnumType(node, options) as AvscType & { _indices?: object }
  if (type._indices) Object.setPrototypeOf(type._indices, null)
  return type
}

/**
 * A union that reads a branch of the writer with its own branch of the same name first. The package takes the first
 * branch that can read it, so that one added field elsewhere would turn the strings of `['bytes', 'string']` into
 * bytes.
 */
function unionType(
  avsc: Avsc,
  type: UnionType,
  node: object,
  options: HookOptions,
  long: 'bigint' | 'number'
): AvscType {
  const wrapped = isWrapped(type.branches, long)
  const Base = (wrapped ? avsc.types.WrappedUnionType : avsc.types.UnwrappedUnionType) as Overridable
  return new (class extends Base {
    override _update(resolver: { _read: unknown }, writer: AvscType, updateOptions: object): void {
      const branch = this.types.find(candidate => candidate.branchName === writer.branchName) as Overridden | undefined
      let inner: { _read(tap: unknown): unknown } | undefined
      try {
        inner = branch?.createResolver(writer, updateOptions) as typeof inner
      } catch {
        // Then one of the others, or none.
      }
      if (!branch || !inner) return super._update(resolver, writer, updateOptions)
      const exact = inner
      const Branch = wrapped ? branch._branchConstructor : null
      resolver._read = Branch ? (tap: unknown) => new Branch(exact._read(tap)) : (tap: unknown) => exact._read(tap)
    }
  })(node, options)
}

/** What subclasses of the package's types override, besides the documented hooks. */
interface Overridden extends AvscType {
  readonly types: readonly AvscType[]
  readonly _branchConstructor: (new (value: unknown) => object) | null
  _read(tap: unknown): unknown
  _write(tap: unknown, value: unknown): void
  _check(value: unknown, ...rest: readonly unknown[]): boolean
  _update(resolver: object, writer: AvscType, options: object): void
}

type Overridable = new (schema: object, options: object) => Overridden

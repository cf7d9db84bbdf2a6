type Primitive = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string'

/** An Avro schema as a literal: a primitive's name, a definition, or a union. */
export type AvroSchema = Primitive | AvroDefinition | readonly (AvroSchema | string)[]

export interface AvroDefinition {
  readonly type: string | AvroDefinition | readonly (AvroSchema | string)[]
  readonly [attribute: string]: unknown
}

/**
 * The type of the values of an Avro schema that is written as a literal.
 *
 * | Avro | TypeScript |
 * | --- | --- |
 * | `null`, `boolean`, `string` | the same |
 * | `int`, `float`, `double` | `number` |
 * | `long` | `bigint`; `number` with the option `long: 'number'` |
 * | `bytes`, `fixed` | `Uint8Array` |
 * | `enum` | the union of its symbols |
 * | `record`, `map`, `array` | an object, `Record<string, …>`, an array |
 * | a union | the union, when `typeof` tells its branches apart (null and arrays apart); else `{ 'branch name': value }` |
 * | `timestamp-millis`, `timestamp-micros`, `date` | `Date` |
 * | `decimal` | `string` |
 */
export type AvroValue<Schema, Long extends bigint | number = bigint> = ValueOf<Schema, '', Named<Schema, ''>, Long>

/** `Names` is a union of the named definitions, each with its full name and the namespace inside it. */
type ValueOf<Schema, Namespace extends string, Names, Long> = Schema extends string
  ? OfName<Schema, Namespace, Names, Long>
  : Schema extends readonly unknown[]
    ? number extends Schema['length']
      ? unknown
      : OfUnion<Schema, Namespace, Names, Long>
    : Schema extends { readonly type: infer Type }
      ? string extends Type
        ? unknown
        : OfDefinition<Schema, Type, Namespace, Names, Long>
      : unknown

interface Primitives {
  null: null
  boolean: boolean
  int: number
  float: number
  double: number
  bytes: Uint8Array
  string: string
}

type OfName<Name extends string, Namespace extends string, Names, Long> = Name extends keyof Primitives
  ? Primitives[Name]
  : Name extends 'long'
    ? Long
    : string extends Name
      ? unknown
      : OfNamed<Lookup<Name, Namespace, Names>, Names, Long>

/** In its own namespace first, then as a full name. */
type Lookup<Name extends string, Namespace extends string, Names> = [
  Extract<Names, { name: Qualified<Name, Namespace> }>
] extends [never]
  ? Extract<Names, { name: Name }>
  : Extract<Names, { name: Qualified<Name, Namespace> }>

type OfNamed<Found, Names, Long> = Found extends { schema: infer Schema; inside: infer Inside extends string }
  ? Schema extends { readonly type: infer Type }
    ? OfDefinition<Schema, Type, Inside, Names, Long>
    : unknown
  : unknown

type OfDefinition<Schema, Type, Namespace extends string, Names, Long> = Type extends 'record' | 'error'
  ? Schema extends { readonly fields: infer Fields extends readonly unknown[] }
    ? // Written out here, and not under a name of its own: editors and declaration files then show the fields.
      {
        [Each in Fields[number] as NameOf<Each>]: Each extends { readonly type: infer Type }
          ? ValueOf<Type, Inside<Schema, Namespace>, Names, Long>
          : unknown
      }
    : unknown
  : Type extends 'enum'
    ? Schema extends { readonly symbols: readonly (infer Symbol)[] }
      ? Symbol
      : unknown
    : Type extends 'array'
      ? Schema extends { readonly items: infer Items }
        ? ValueOf<Items, Namespace, Names, Long>[]
        : unknown
      : Type extends 'map'
        ? Schema extends { readonly values: infer Values }
          ? { [key: string]: ValueOf<Values, Namespace, Names, Long> }
          : unknown
        : Type extends 'fixed' | 'bytes'
          ? Schema extends { readonly logicalType: 'decimal' }
            ? string
            : Uint8Array
          : Type extends 'int' | 'long'
            ? OfWhole<Schema, Type, Long>
            : ValueOf<Type, Namespace, Names, Long>

type OfWhole<Schema, Type, Long> = Schema extends { readonly logicalType: infer Logical }
  ? [Type, Logical] extends ['int', 'date'] | ['long', 'timestamp-millis' | 'timestamp-micros']
    ? Date
    : OfName<Type & string, '', never, Long>
  : OfName<Type & string, '', never, Long>

type NameOf<Each> = Each extends { readonly name: infer Name extends string } ? Name : never

// Unions: plain when `typeof` tells the branches apart, else wrapped by the names of the branches.

type OfUnion<Branches extends readonly unknown[], Namespace extends string, Names, Long> =
  Repeats<Branches, Namespace, Names, Long> extends true
    ? { [Index in keyof Branches]: Wrapped<Branches[Index], Namespace, Names, Long> }[number]
    : { [Index in keyof Branches]: ValueOf<Branches[Index], Namespace, Names, Long> }[number]

type Repeats<
  Branches extends readonly unknown[],
  Namespace extends string,
  Names,
  Long,
  Seen = never
> = Branches extends readonly [infer First, ...infer Rest]
  ? [Kind<First, Namespace, Names, Long>] extends [Seen]
    ? true
    : Repeats<Rest, Namespace, Names, Long, Seen | Kind<First, Namespace, Names, Long>>
  : false

type Kind<Schema, Namespace extends string, Names, Long> = KindOf<Flat<Schema, Namespace, Names>, Long>

/** A branch as its definition: references resolved, primitives as `{ type }`. */
type Flat<Schema, Namespace extends string, Names> = Schema extends string
  ? Schema extends Primitive
    ? { readonly type: Schema }
    : Lookup<Schema, Namespace, Names> extends { schema: infer Found }
      ? Found
      : { readonly type: 'record' }
  : Schema

type KindOf<Schema, Long> = Schema extends { readonly type: infer Type }
  ? Type extends 'null' | 'boolean' | 'array'
    ? Type
    : Type extends 'string' | 'enum'
      ? 'string'
      : Type extends 'float' | 'double'
        ? 'number'
        : Type extends 'int' | 'long'
          ? OfWhole<Schema, Type, Long> extends infer Value
            ? Value extends Date
              ? 'object'
              : Value extends bigint
                ? 'bigint'
                : 'number'
            : never
          : Type extends 'bytes' | 'fixed'
            ? Schema extends { readonly logicalType: 'decimal' }
              ? 'string'
              : 'object'
            : 'object'
  : never

type Wrapped<Schema, Namespace extends string, Names, Long> =
  Kind<Schema, Namespace, Names, Long> extends 'null'
    ? null
    : { [Name in BranchName<Schema, Namespace, Names>]: ValueOf<Schema, Namespace, Names, Long> }

type BranchName<Schema, Namespace extends string, Names> = Schema extends string
  ? Schema extends Primitive
    ? Schema
    : Lookup<Schema, Namespace, Names> extends { name: infer Name extends string }
      ? Name
      : Schema
  : Schema extends { readonly name: string }
    ? FullName<Schema, Namespace>
    : Schema extends { readonly type: infer Type extends string }
      ? Type
      : never

// Names and namespaces.

/** All named definitions inside a schema. */
type Named<Schema, Namespace extends string> = Schema extends readonly unknown[]
  ? number extends Schema['length']
    ? never
    : { [Index in keyof Schema]: Named<Schema[Index], Namespace> }[number]
  : Schema extends { readonly type: infer Type }
    ? string extends Type
      ? never
      : Type extends 'record' | 'error'
        ?
            | Self<Schema, Namespace>
            | (Schema extends { readonly fields: infer Fields }
                ? NamedInFields<Fields, Inside<Schema, Namespace>>
                : never)
        : Type extends 'enum' | 'fixed'
          ? Self<Schema, Namespace>
          : Type extends 'array'
            ? Schema extends { readonly items: infer Items }
              ? Named<Items, Namespace>
              : never
            : Type extends 'map'
              ? Schema extends { readonly values: infer Values }
                ? Named<Values, Namespace>
                : never
              : Named<Type, Namespace>
    : never

type NamedInFields<Fields, Namespace extends string> = Fields extends readonly unknown[]
  ? {
      [Index in keyof Fields]: Fields[Index] extends { readonly type: infer Type } ? Named<Type, Namespace> : never
    }[number]
  : never

interface Definition<Name, Schema, Inside> {
  name: Name
  schema: Schema
  inside: Inside
}

/** `inside` is the namespace around the definition: a record works out its own from there. */
type Self<Schema, Namespace extends string> = Definition<FullName<Schema, Namespace>, Schema, Namespace>

type FullName<Schema, Namespace extends string> = Schema extends { readonly name: infer Name extends string }
  ? Schema extends { readonly namespace: infer Own extends string }
    ? Qualified<Name, Own>
    : Qualified<Name, Namespace>
  : never

type Qualified<Name extends string, Namespace extends string> = Name extends `.${infer Absolute}`
  ? Absolute
  : Name extends `${string}.${string}`
    ? Name
    : Namespace extends ''
      ? Name
      : `${Namespace}.${Name}`

/** The namespace inside a record: that of its full name. */
type Inside<Schema, Namespace extends string> = Parent<FullName<Schema, Namespace>>

type Parent<Name extends string> = Name extends `${infer Head}.${infer Tail}`
  ? Tail extends `${string}.${string}`
    ? `${Head}.${Parent<Tail>}`
    : Head
  : ''

import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { z } from 'zod'
import type { Codec, ValueOf } from '../../src/core/codec.ts'
import { text } from '../../src/core/codec.ts'
import { topic } from '../../src/core/topic.ts'
import {
  avro,
  avroFile,
  json,
  type AvroFile,
  type AvroSchema,
  type AvroValue,
  type StandardSchema
} from '../../src/schema/index.ts'

// Checked by tsc alone: a line that compiles and should not, or the reverse, fails the type check.

type Same<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false
const is = <_Proof extends true>(): void => {}

// Records, primitives, natural values.

const trade = avro({
  type: 'record',
  name: 'Trade',
  namespace: 'com.example',
  fields: [
    { name: 'id', type: { type: 'string', logicalType: 'uuid' } },
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'count', type: 'int' },
    { name: 'price', type: 'double' },
    { name: 'live', type: 'boolean' },
    { name: 'raw', type: 'bytes' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'other', type: 'Side' },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'exactly', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'on', type: { type: 'int', logicalType: 'date' } },
    { name: 'maybe', type: ['null', { type: 'long', logicalType: 'timestamp-millis' }] },
    { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 16 } },
    { name: 'tags', type: { type: 'array', items: 'string' } },
    { name: 'extra', type: { type: 'map', values: ['null', 'int'] } },
    { name: 'nested', type: { type: 'record', name: 'Nested', fields: [{ name: 'side', type: 'com.example.Side' }] } }
  ]
})
interface Trade {
  id: string
  symbol: string
  cents: bigint
  count: number
  price: number
  live: boolean
  raw: Uint8Array
  side: 'BUY' | 'SELL'
  other: 'BUY' | 'SELL'
  note: string | null
  at: Date
  exactly: Date
  on: Date
  maybe: Date | null
  fee: string
  hash: Uint8Array
  tags: string[]
  extra: { [key: string]: number | null }
  nested: { side: 'BUY' | 'SELL' }
}
type Flatten<T> = { [Key in keyof T]: T[Key] }
is<Same<Flatten<ValueOf<typeof trade>>, Flatten<Trade>>>()

// Long as number.

const counted = avro({ type: 'record', name: 'Counted', fields: [{ name: 'n', type: 'long' }] }, { long: 'number' })
is<Same<ValueOf<typeof counted>, { n: number }>>()
const plain = avro('long')
is<Same<ValueOf<typeof plain>, bigint>>()

// Unions: plain when typeof tells the branches apart, else wrapped by branch name.

is<Same<AvroValue<['null', 'int', 'string', 'boolean']>, number | string | boolean | null>>()
is<Same<AvroValue<['int', 'long']>, number | bigint>>()
is<Same<AvroValue<['int', 'long'], number>, { int: number } | { long: number }>>()
is<Same<AvroValue<['null', 'int', 'double']>, { int: number } | { double: number } | null>>()
const shapes = avro([
  { type: 'record', name: 'Circle', namespace: 'shapes', fields: [{ name: 'radius', type: 'double' }] },
  { type: 'record', name: 'Square', namespace: 'shapes', fields: [{ name: 'side', type: 'double' }] }
])
is<Same<ValueOf<typeof shapes>, { 'shapes.Circle': { radius: number } } | { 'shapes.Square': { side: number } }>>()

// Recursion.

const tree = avro({
  type: 'record',
  name: 'Tree',
  fields: [
    { name: 'value', type: 'int' },
    { name: 'next', type: ['null', 'Tree'] },
    { name: 'children', type: { type: 'array', items: 'Tree' } }
  ]
})
const leaf: ValueOf<typeof tree> = { value: 1, next: null, children: [] }
tree.encode({ value: 2, next: leaf, children: [leaf, { value: 3, next: null, children: [leaf] }] })
// @ts-expect-error the value of a nested tree is a number
tree.encode({ value: 2, next: null, children: [{ value: 'three', next: null, children: [] }] })

// A wrong value does not compile.

const one = avro({ type: 'record', name: 'One', fields: [{ name: 'cents', type: 'long' }] })
one.encode({ cents: 1n })
// @ts-expect-error long is a bigint
one.encode({ cents: 1 })
// @ts-expect-error a field is missing
one.encode({})
// @ts-expect-error there is no such option
avro({ type: 'string' }, { subjekt: 'x' })

// `as const`, and through a topic.

const schema = { type: 'record', name: 'Price', fields: [{ name: 'cents', type: 'long' }] } as const
is<Same<AvroValue<typeof schema>, { cents: bigint }>>()
const prices = topic('prices', { key: text, value: avro(schema), eventTime: price => Number(price.cents) })
is<Same<ValueOf<(typeof prices)['value']>, { cents: bigint }>>()

// Schemas that are not literals: the type is promised, or unknown.

const promised: Codec<{ cents: bigint }> = avro<{ cents: bigint }>('{"type":"record","name":"Price","fields":[]}')
const promisedText: Codec<string> = avro<string>('"string"')
const fromJson = avro({ type: 'record', name: 'Any', fields: [] } as object)
is<Same<ValueOf<typeof fromJson>, unknown>>()
const loose = avro({ type: 'record', name: 'Any', fields: [] } as AvroSchema)
is<Same<ValueOf<typeof loose>, unknown>>()
void [promised, promisedText]

// Marks of fields change no type, and files have the type of their schema.

const marked = avro({
  type: 'record',
  name: 'Marked',
  fields: [{ name: 'card', type: 'string', sensitive: true, 'confluent:tags': ['PII'] }]
})
is<Same<ValueOf<typeof marked>, { card: string }>>()
const rows = avroFile({ type: 'record', name: 'Row', fields: [{ name: 'n', type: 'long' }] })
is<Same<typeof rows, AvroFile<{ n: bigint }>>>()
const counts = avroFile({ type: 'array', items: 'long' }, { long: 'number', compression: 'deflate' })
is<Same<typeof counts, AvroFile<number[]>>>()
// @ts-expect-error a value that does not fit
rows.write([{ n: 1 }])

// JSON.

const order = json(z.object({ id: z.string(), cents: z.number(), note: z.string().optional() }))
is<Same<ValueOf<typeof order>, { id: string; cents: number; note?: string | undefined }>>()
const dated = json(z.object({ at: z.coerce.date() }))
is<Same<ValueOf<typeof dated>, { at: Date }>>()
// @ts-expect-error a transform gives what it does not take
json(z.string().transform(Number))
// @ts-expect-error not a validator
json({ type: 'object' })

// Our copy of Standard Schema is the standard.

const ours = (schema: StandardSchemaV1<string, string>): StandardSchema<string, string> => schema
const theirs = (schema: StandardSchema<string, string>): StandardSchemaV1<string, string> => schema
const described: StandardJSONSchemaV1<string, string> = z.string()
void [ours, theirs, described]

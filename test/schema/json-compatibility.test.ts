import { expect, test } from 'vitest'
import { checkJsonSchema } from '../../src/schema/json/compatibility.ts'
import type { JsonSchema } from '../../src/schema/json/json-schema.ts'

const why = (reader: JsonSchema, writer: JsonSchema): string[] =>
  checkJsonSchema(reader, writer).map(({ where, reason }) => `${where} ${reason}`)
const object = (properties: Record<string, unknown>, more: object = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...more
})
const string = { type: 'string' }

test('types', () => {
  expect(why({ type: 'number' }, { type: 'integer' })).toEqual([])
  expect(why({ type: ['string', 'null'] }, string)).toEqual([])
  expect(why({ type: 'integer' }, { type: 'number' })).toEqual([
    'the schema may be number for the writer, the reader takes integer'
  ])
  expect(why(string, { type: ['string', 'null'] })).toEqual([
    'the schema may be null for the writer, the reader takes string'
  ])
  expect(why(string, {})).toEqual(['the schema has any type for the writer and is string for the reader'])
  expect(why({}, string)).toEqual([])
  expect(why(false, string)).toHaveLength(1)
  expect(why(true, string)).toEqual([])
  expect(why(string, false)).toEqual([])
})

test('properties and required', () => {
  const reader = object({ a: string }, { required: ['a'] })
  expect(why(reader, reader)).toEqual([])
  expect(why(reader, object({ a: string }))).toEqual([
    "field 'a' is optional for the writer and required for the reader"
  ])
  expect(why(reader, object({}))).toEqual(["field 'a' is not written, and required by the reader"])
  expect(why(object({ a: string }), object({}))).toEqual([])
  expect(why(object({}), reader)).toEqual([])
  expect(why(object({}, { additionalProperties: false }), reader)).toEqual([
    "field 'a' is written, and the reader allows no additional properties",
    "field '*' is allowed for the writer and forbidden for the reader"
  ])
  expect(why(object({ a: { type: 'number' } }), reader)).toEqual([
    "field 'a' may be string for the writer, the reader takes number"
  ])
  expect(why(object({ o: object({ a: { type: 'number' } }) }), object({ o: reader }))).toEqual([
    "field 'o.a' may be string for the writer, the reader takes number"
  ])
  expect(why(object({}, { additionalProperties: { type: 'number' } }), reader)).toContain(
    "field 'a' may be string for the writer, the reader takes number"
  )
  expect(why(object({ a: string }, { additionalProperties: false }), object({ a: string }))).toEqual([
    "field '*' is allowed for the writer and forbidden for the reader"
  ])
})

test('items, values, limits', () => {
  const list = (items: unknown): JsonSchema => ({ type: 'array', items })
  expect(why(list({ type: 'number' }), list({ type: 'integer' }))).toEqual([])
  expect(why(object({ l: list(string) }), object({ l: list({ type: 'number' }) }))).toEqual([
    "field 'l[]' may be number for the writer, the reader takes string"
  ])
  expect(why({ enum: ['a', 'b'] }, { enum: ['a'] })).toEqual([])
  expect(why({ enum: ['a'] }, { enum: ['a', 'b'] })).toEqual([
    'the schema may be "b" for the writer, which the reader refuses'
  ])
  expect(why({ const: 'a' }, string)).toEqual([
    'the schema is limited to listed values for the reader and not for the writer'
  ])
  expect(why({ type: 'number', minimum: 0 }, { type: 'number', minimum: 1 })).toEqual([])
  expect(why({ type: 'number', minimum: 1 }, { type: 'number', minimum: 0 })).toEqual([
    'the schema has minimum 1 for the reader and 0 for the writer'
  ])
  expect(why({ ...string, maxLength: 3 }, string)).toEqual([
    'the schema has maxLength 3 for the reader and none for the writer'
  ])
})

test('what is not understood may not narrow', () => {
  expect(why({ ...string, pattern: '^a' }, { ...string, pattern: '^a' })).toEqual([])
  expect(why(string, { ...string, pattern: '^a' })).toEqual([])
  expect(why({ ...string, pattern: '^b' }, { ...string, pattern: '^a' })).toEqual([
    "the schema has 'pattern' for the reader and another for the writer, which may narrow it"
  ])
  expect(why({ ...string, format: 'date' }, string)).toEqual([
    "the schema has 'format' for the reader and not for the writer, which may narrow it"
  ])
  expect(why({ ...string, title: 'x', description: 'y' }, string)).toEqual([])
})

test('choices', () => {
  expect(why({ anyOf: [string, { type: 'null' }] }, string)).toEqual([])
  expect(why({ anyOf: [string, { type: 'null' }] }, { anyOf: [{ type: 'null' }, string] })).toEqual([])
  expect(why(string, { anyOf: [string, { type: 'null' }] })).toEqual([
    'the schema may be null for the writer, the reader takes string'
  ])
  expect(why({ anyOf: [string, { type: 'null' }] }, { type: 'number' })).toEqual([
    'the schema may be something that no branch of anyOf / oneOf of the reader takes'
  ])
})

test('references, also to itself', () => {
  const tree = (type: string): JsonSchema => ({
    $ref: '#/$defs/Tree',
    $defs: { Tree: { type: 'object', properties: { value: { type }, next: { $ref: '#/$defs/Tree' } } } }
  })
  expect(why(tree('number'), tree('integer'))).toEqual([])
  expect(why(tree('integer'), tree('number'))).toEqual([
    "field 'value' may be number for the writer, the reader takes integer"
  ])
  expect(why({ $ref: 'other.json' }, { $ref: 'other.json' })).toEqual([])
  expect(why({ $ref: 'other.json' }, string)).toHaveLength(1)
  expect(why({ $ref: '#' }, { $ref: '#' })).toEqual([])
})

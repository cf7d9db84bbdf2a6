import { expect, test } from 'vitest'
import { avro, jsonSchema, memoryRegistry, recordName } from '../../src/schema/index.ts'
import { bound, failure, hex } from './support.ts'

interface Order {
  id: string
  legs?: { cents: number }[]
}
const order = {
  title: 'Order',
  type: 'object',
  required: ['id'],
  properties: {
    id: { type: 'string', minLength: 1 },
    legs: { type: 'array', items: { type: 'object', required: ['cents'], properties: { cents: { type: 'integer' } } } }
  },
  additionalProperties: false
}

test('checked when written and when read; plain without a registry, framed with one', async () => {
  const plain = await bound(jsonSchema<Order>(order))
  expect(Buffer.from(plain.encode({ id: 'a' })).toString()).toBe('{"id":"a"}')
  const registry = memoryRegistry()
  const codec = await bound(jsonSchema<Order>(order, { subject: recordName }), registry)
  const bytes = codec.encode({ id: 'a', legs: [{ cents: 5 }] })
  expect(Buffer.from(bytes).subarray(0, 5)).toEqual(hex('00 00000001'))
  expect(codec.decode(bytes)).toEqual({ id: 'a', legs: [{ cents: 5 }] })
  expect(codec.decode(Buffer.from('{"id":"b"}'))).toEqual({ id: 'b' })
  expect(await registry.latest('Order')).toMatchObject({ type: 'JSON' })
})

test.each<[unknown, string]>([
  [{}, 'the whole value: required id'],
  [{ id: 5 }, "'id': type string"],
  [{ id: 'secret', legs: [{ cents: 1 }, { cents: 'secret' }] }, "'legs.1.cents': type integer"],
  [{ id: '' }, "'id': minLength 1"],
  [{ id: 'a', secret: 1 }, 'the whole value: additionalProperties'],
  [null, 'the whole value: type object']
])('refused, without the value: %j', async (value, sentence) => {
  const codec = await bound(jsonSchema<Order>(order))
  const error = await failure('bad-record', () => codec.encode(value as Order))
  expect(error.message).toBe(`the value does not fit its schema: ${sentence}`)
  expect((await failure('bad-record', () => codec.decode(Buffer.from(JSON.stringify(value))))).message).toBe(
    error.message
  )
})

test('ids: unknown, or of another type', async () => {
  const registry = memoryRegistry()
  const codec = await bound(jsonSchema<Order>(order), registry)
  const other = (await bound(avro('string'), registry, 'others')).encode('x')
  const unknown = Buffer.concat([hex('00 00000063'), Buffer.from('{"id":"a"}')])
  await codec.prepare!([other, unknown])
  expect((await failure('bad-schema', () => codec.decode(other))).message).toContain('is AVRO, expected JSON')
  expect((await failure('bad-schema', () => codec.decode(unknown))).message).toContain('no schema has id 99')
})

test('references, formats, drafts', async () => {
  const registry = memoryRegistry()
  const leg = { type: 'object', required: ['cents'], properties: { cents: { type: 'integer' } } }
  const whole = { type: 'object', properties: { leg: { $ref: 'leg.json' }, day: { type: 'string', format: 'day' } } }
  const options = {
    references: [{ subject: 'leg', name: 'leg.json', schema: leg }],
    formats: { day: /^\d{4}-\d\d-\d\d$/ }
  }
  const codec = await bound(jsonSchema<{ leg?: { cents: number }; day?: string }>(whole, options), registry)
  expect(codec.decode(codec.encode({ leg: { cents: 1 }, day: '2024-01-31' }))).toEqual({
    leg: { cents: 1 },
    day: '2024-01-31'
  })
  await failure('bad-record', () => codec.encode({ leg: {} as never }))
  expect((await failure('bad-record', () => codec.encode({ day: 'secret' }))).message).toContain("'day': format day")
  expect(await registry.latest('trades-value')).toMatchObject({
    references: [{ name: 'leg.json', subject: 'leg', version: 1 }]
  })
  // The rule sees through the reference.
  await registry.setCompatibility('none', 'leg')
  await registry.register('leg', {
    type: 'JSON',
    schema: JSON.stringify({ ...leg, properties: { cents: { type: 'string' } } })
  })
  const next = {
    type: 'JSON' as const,
    schema: JSON.stringify(whole),
    references: [{ name: 'leg.json', subject: 'leg', version: 2 }]
  }
  expect((await registry.check('trades-value', next))[0]).toContain(
    "field 'leg.cents' may be integer for the writer, the reader takes string"
  )
  for (const $schema of [
    'http://json-schema.org/draft-07/schema#',
    'https://json-schema.org/draft/2019-09/schema',
    'https://json-schema.org/draft/2020-12/schema'
  ])
    expect((await bound(jsonSchema<number>({ $schema, type: 'number' }))).decode(Buffer.from('5'))).toBe(5)
  const tuple = await bound(
    jsonSchema({ $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [{ type: 'string' }] })
  )
  await failure('bad-record', () => tuple.encode([5]))
})

test('schemas that are none, and options', async () => {
  for (const schema of ['{', '[]', '5']) await failure('bad-schema', () => jsonSchema(schema))
  await failure('bad-schema', () => bound(jsonSchema({ type: 'nope' })))
  await failure('bad-schema', () => bound(jsonSchema({ $ref: 'elsewhere.json' })))
  await failure('bad-config', () => jsonSchema({}, { nope: 1 } as never))
  await failure('bad-config', () => jsonSchema({}).encode(1))
})

test('nesting that would fill the stack is refused', async () => {
  const codec = await bound(
    jsonSchema({ $ref: '#/$defs/list', $defs: { list: { type: 'array', items: { $ref: '#/$defs/list' } } } })
  )
  const depth = 200_000
  await failure('bad-record', () => codec.decode(Buffer.from('['.repeat(depth) + ']'.repeat(depth))))
})

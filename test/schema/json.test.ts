import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { text } from '../../src/core/codec.ts'
import { topic } from '../../src/core/topic.ts'
import { json, memoryRegistry, type StandardSchema } from '../../src/schema/index.ts'
import { bound, failure, hex } from './support.ts'

const order = z.object({
  id: z.string(),
  cents: z.number().min(0),
  legs: z.array(z.object({ price: z.number() })).default([])
})

/** A validator by hand, to show any outcome. */
const custom = (validate: StandardSchema<unknown, any>['~standard']['validate']): StandardSchema<any, any> => ({
  '~standard': { version: 1, vendor: 'custom', validate }
})

test('values are checked when written and when read', async () => {
  const codec = json(order)
  expect(codec.decode(codec.encode({ id: 'é', cents: 1, legs: [{ price: 2 }] }))).toEqual({
    id: 'é',
    cents: 1,
    legs: [{ price: 2 }]
  })
  expect(codec.decode(Buffer.from('{"id":"x","cents":1,"more":true}'))).toEqual({ id: 'x', cents: 1, legs: [] })
  await failure('bad-record', () => codec.encode({ id: 'x', cents: -1, legs: [] }))
  await failure('bad-record', () => codec.decode(Buffer.from('{"id":"x"}')))
  expect(topic('orders', { key: text, value: codec }).value).toBe(codec)
})

test('messages name the place and the rule, never the value', async () => {
  const codec = json(order)
  const refusal = async (value: unknown): Promise<string> =>
    (await failure('bad-record', () => codec.encode(value as never))).message
  expect(await refusal({ id: 's3cret', cents: 's3cret', legs: [] })).toBe(
    "the value does not fit its schema: 'cents': expected number, got string"
  )
  expect(await refusal({ id: 'x', cents: 1, legs: [{ price: 1 }, { price: 's3cret' }] })).toContain(
    "'legs[1].price': expected number, got string"
  )
  expect(await refusal({ id: 'x', cents: -5, legs: [] })).toBe(
    "the value does not fit its schema: 'cents': too_small, got number"
  )
  expect(await refusal('s3cret')).toBe(
    'the value does not fit its schema: the whole value: expected object, got string'
  )
  expect(await refusal({ legs: 4 })).toContain("'id': expected string, got nothing")
  const many = json(z.array(z.number()))
  expect(
    (await failure('bad-record', () => many.encode(Array.from({ length: 9 }, () => 's3cret') as never))).message
  ).toContain(' and 6 more')
  // Some validators quote the value in their messages.
  const quoting = json(
    custom(() => ({ issues: [{ message: 'must be a number (was "s3cret")', path: [{ key: 'a' }, 'b', Symbol('c')] }] }))
  )
  const error = await failure('bad-record', () => quoting.encode({ a: { b: 's3cret' } }))
  expect(error.message).toBe("the value does not fit its schema: 'a.b.Symbol(c)', got nothing")
  const strict = json(z.strictObject({}))
  expect((await failure('bad-record', () => strict.encode({ s3cret: 1 } as never))).message).not.toContain('s3cret')
  for (const bytes of ['{"s3cret', '', 's3cret', '\ufeff{}']) {
    const unparsed = await failure('bad-record', () => codec.decode(Buffer.from(bytes)))
    expect(unparsed.message + String(unparsed.cause)).not.toContain('s3cret')
  }
})

test('malformed UTF-8 is refused, a written replacement character is not', async () => {
  const codec = json(z.string())
  await failure('bad-record', () => codec.decode(Buffer.concat([hex('22 c3 28'), hex('22')])))
  expect(codec.decode(codec.encode('\ufffd'))).toBe('\ufffd')
})

test('what JSON cannot hold is refused', async () => {
  const any = json(z.any())
  const endless: Record<string, unknown> = {}
  endless['self'] = endless
  for (const value of [undefined, () => {}, 1n, endless]) await failure('bad-record', () => any.encode(value))
})

test('nesting as deep as the bytes allow is a record, good or bad, not a crash', async () => {
  interface Nested {
    a?: Nested | undefined
  }
  const nested: z.ZodType<Nested> = z.object({
    get a(): z.ZodOptional<z.ZodType<Nested>> {
      return z.optional(nested)
    }
  }) as never
  const codec = json(nested)
  const depth = 50_000
  await failure('bad-record', () => codec.decode(Buffer.from('{"a":'.repeat(depth) + '{}' + '}'.repeat(depth))))
})

test('an asynchronous validator is refused, and its failure does not end the process', async () => {
  const later = json(z.string().refine(async () => Promise.resolve(true)))
  expect((await failure('bad-config', () => later.encode('x'))).message).toContain('asynchronously')
  const failing = json(custom(() => Promise.reject(new Error('unheard'))))
  await failure('bad-config', () => failing.decode(Buffer.from('1')))
  // A check that throws for one value is that value's fault.
  const touchy = json(
    z.string().refine(value => {
      if (value === 's3cret') throw new Error(value)
      return true
    })
  )
  touchy.encode('x')
  expect((await failure('bad-record', () => touchy.encode('s3cret'))).message).not.toContain('s3cret')
  await new Promise(resolve => setImmediate(resolve))
})

test('what is no validator is refused', async () => {
  await failure('bad-config', () => json({ type: 'object' } as never))
  await failure('bad-config', () => json(undefined as never))
  await failure('bad-config', () => json(z.string(), { register: false } as never))
})

describe('with a registry', () => {
  test('the schema is registered, and both kinds of bytes are read', async () => {
    const registry = memoryRegistry()
    const codec = await bound(json(order), registry, 'orders')
    const [version] = await registry.versions('orders-value')
    expect(version).toMatchObject({ id: 1, type: 'JSON' })
    expect(JSON.parse(version!.schema)).toMatchObject({
      type: 'object',
      properties: { id: { type: 'string' } },
      required: ['id', 'cents']
    })
    const bytes = codec.encode({ id: 'x', cents: 1, legs: [] })
    expect(bytes.subarray(0, 5)).toEqual(hex('00 00000001'))
    const plain = json(order)
    for (const reader of [codec, plain]) {
      expect(reader.decode(bytes)).toEqual({ id: 'x', cents: 1, legs: [] })
      expect(reader.decode(plain.encode({ id: 'x', cents: 1, legs: [] }))).toEqual({ id: 'x', cents: 1, legs: [] })
    }
    await failure('bad-record', () => codec.decode(hex('00 00000001')))
    await failure('bad-record', () => codec.decode(hex('00 0000')))
  })

  test('plain JSON without a JSON Schema form, without a registry, and when asked for', async () => {
    const registry = memoryRegistry()
    const codecs = [
      await bound(json(custom(value => ({ value }))), registry),
      await bound(json(z.object({})), undefined),
      await bound(json(z.object({}), { id: false }), registry)
    ]
    for (const codec of codecs) expect(Buffer.from(codec.encode({})).toString()).toBe('{}')
    expect(await registry.subjects()).toEqual([])
  })

  test('an incompatible change, and a schema that JSON Schema cannot say, are refused at start', async () => {
    const registry = memoryRegistry()
    await bound(json(z.object({ a: z.string() }), { subject: 'mine' }), registry)
    await bound(json(z.object({ a: z.string(), b: z.string().optional() }), { subject: 'mine' }), registry)
    const refused = await failure('bad-schema', () =>
      bound(json(z.object({ a: z.string(), c: z.string() }), { subject: 'mine' }), registry)
    )
    expect(refused.message).toContain(
      "field 'c' is not written, and required by the reader (backward: the new schema must read version 2); make it optional, or give it a default in the validator"
    )
    expect((await failure('bad-schema', () => bound(json(z.object({ a: z.bigint() })), registry))).message).toContain(
      '{ id: false }'
    )
  })
})

import { create } from '@bufbuild/protobuf'
import { fileDesc, messageDesc } from '@bufbuild/protobuf/codegenv2'
import { FieldDescriptorProtoSchema, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { toBinary } from '@bufbuild/protobuf'
import { randomUUID } from 'node:crypto'
import { expect, inject, test } from 'vitest'
import { z } from 'zod'
import { bytes, connect, optional, pipeline, processor, text, topic, type Codec } from '../../src/index.ts'
import { without } from '../../src/core/redact.ts'
import { avro, json, jsonSchema, memoryRegistry, protobuf } from '../../src/schema/index.ts'
import { bound, failure } from './support.ts'

// Fields that a schema marks: nothing of them is in what is stored of an error, whoever has put it there.

const card = '4111-1111-1111-1111'
const pin = '7'
const holder = { name: 'Grace "H" Hopper', born: new Date(86_400_000), keys: { 'key-of-hers': Buffer.from('hush') } }
const person = {
  type: 'record',
  name: 'Person',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'born', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'keys', type: { type: 'map', values: 'bytes' } }
  ]
}
const schema = {
  type: 'record',
  name: 'Payment',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'card', type: 'string', sensitive: true },
    { name: 'pin', type: { type: 'int', 'x-sensitive': true } },
    { name: 'holder', type: ['null', person], 'confluent:tags': ['PII'] },
    { name: 'cents', type: 'long' }
  ]
}
const value = { id: 'payment-1', card, pin: 7, holder, cents: 12_345n }

test('what is marked is found in a value, in the forms in which a message may show it', async () => {
  const codec = await bound(avro<typeof value>(schema), memoryRegistry())
  const secrets = codec.secretsIn!(value)
  for (const form of [card, pin, holder.name, 'Grace \\"H\\" Hopper', 'key-of-hers', 'hush', '68757368', 'aHVzaA=='])
    expect(secrets).toContain(form)
  for (const form of ['1970-01-02T00:00:00.000Z', '86400000']) expect(secrets).toContain(form)
  for (const form of ['payment-1', '12345']) expect(secrets).not.toContain(form)
  const nobody = await bound(avro({ ...schema, fields: [{ name: 'id', type: 'string' }] } as object), memoryRegistry())
  expect(nobody.secretsIn).toBeUndefined()
})

test('a short one is struck out where it stands alone', () => {
  expect(without('pin 7 of 17, 7.5 and 7', ['7'])).toBe('pin *** of 17, 7.5 and ***')
  expect(without('a+b and a+bc', ['a+b'])).toBe('*** and a+bc')
  expect(without('12345678 and 1234', ['1234', '12345678'])).toBe('*** and ***')
})

test.each<[string, () => Codec<any>, unknown]>([
  [
    'avro, recursive',
    () =>
      avro({
        type: 'record',
        name: 'N',
        fields: [
          { name: 'secret', type: ['null', 'string'], sensitive: true },
          { name: 'next', type: ['null', 'N'] }
        ]
      } as object),
    { secret: null, next: { secret: card, next: null } }
  ],
  [
    'avro, a wrapped union',
    () =>
      avro([
        { type: 'record', name: 'A', fields: [{ name: 'x', type: 'string', sensitive: true }] },
        { type: 'record', name: 'B', fields: [{ name: 'y', type: 'int' }] }
      ] as object),
    { A: { x: card } }
  ],
  [
    'JSON Schema',
    () =>
      jsonSchema({
        type: 'object',
        properties: { list: { type: 'array', items: { $ref: '#/$defs/p' } } },
        $defs: { p: { type: 'object', properties: { x: { type: 'string', writeOnly: true } } } }
      }),
    { list: [{ x: 'plain' }, { x: card }] }
  ],
  [
    'JSON Schema, any name',
    () =>
      jsonSchema(
        {
          anyOf: [{ type: 'object', additionalProperties: { type: 'string', format: 'password' } }, { type: 'null' }]
        },
        { formats: { password: () => true } }
      ),
    { any: card }
  ],
  ['zod', () => json(z.object({ x: z.string().meta({ sensitive: true }), y: z.number() })), { x: card, y: 1 }]
])('%s', async (_, make, marked) => {
  const codec = await bound(make(), memoryRegistry())
  expect(codec.secretsIn!(codec.decode(codec.encode(marked)))).toContain(card)
})

test('protobuf: debug_redact', async () => {
  const label = { optional: 1, repeated: 3 }
  const file = create(FileDescriptorProtoSchema, {
    name: 'p.proto',
    syntax: 'proto3',
    messageType: [
      {
        name: 'P',
        field: [
          { name: 'card', number: 1, type: 9, label: label.optional, jsonName: 'card', options: { debugRedact: true } },
          { name: 'id', number: 2, type: 9, label: label.optional, jsonName: 'id' },
          { name: 'more', number: 3, type: 11, typeName: '.P', label: label.repeated, jsonName: 'more' },
          {
            name: 'either',
            number: 4,
            type: 9,
            label: label.optional,
            jsonName: 'either',
            oneofIndex: 0,
            options: { debugRedact: true }
          },
          { name: 'or', number: 5, type: 5, label: label.optional, jsonName: 'or', oneofIndex: 0 }
        ].map(field => create(FieldDescriptorProtoSchema, field as never)),
        oneofDecl: [{ name: 'choice' }]
      }
    ]
  })
  const described = fileDesc(Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString('base64'))
  const schema = messageDesc(described, 0)
  const codec = (await bound(protobuf<any>(schema as never), memoryRegistry())) as Codec<any>
  const message = create(schema, {
    id: 'plain',
    more: [{ card }],
    choice: { case: 'either', value: 'hidden-choice' }
  } as never)
  const secrets = codec.secretsIn!(codec.decode(codec.encode(message)))
  expect(secrets).toEqual(expect.arrayContaining([card, 'hidden-choice']))
  expect(secrets).not.toContain('plain')
})

test('names inside of what is marked are not shown either', async () => {
  const codec = await bound(avro<any>(schema), memoryRegistry())
  const wrong = { ...value, holder: { ...holder, keys: { 'key-of-hers': 'no bytes' } } }
  const message = (await failure('bad-record', () => codec.encode(wrong))).message
  expect(message).toContain("'holder'")
  expect(message).not.toContain('key-of-hers')
  const checked = await bound(
    jsonSchema<any>({
      type: 'object',
      properties: { keys: { 'x-sensitive': true, type: 'object', additionalProperties: { type: 'string' } } }
    }),
    memoryRegistry()
  )
  const refused = (await failure('bad-record', () => checked.encode({ keys: { 'key-of-hers': 1 } }))).message
  expect(refused).toContain("'keys': type string")
  expect(refused).not.toContain('key-of-hers')
  const standard = await bound(
    json(z.object({ keys: z.record(z.string(), z.string()).meta({ sensitive: true }) })),
    memoryRegistry()
  )
  const other = (await failure('bad-record', () => standard.encode({ keys: { 'key-of-hers': 1 } } as never))).message
  expect(other).toContain("'keys'")
  expect(other).not.toContain('key-of-hers')
})

test.skipIf(!inject('backends').includes('memory'))(
  'a handler that puts values into its error: what is parked shows what is not marked, and nothing else',
  async () => {
    const payments = topic(`p-${randomUUID()}`, {
      key: avro({
        type: 'record',
        name: 'Key',
        fields: [{ name: 'email', type: 'string', sensitive: true }]
      } as object) as Codec<{ email: string }>,
      value: avro<typeof value>(schema),
      partitions: 1
    })
    const parked = topic(`${payments.name}.parked`, { key: optional(bytes), value: optional(bytes), partitions: 1 })
    const fails = processor({
      name: 'fails',
      from: payments,
      to: topic(`o-${randomUUID()}`, { key: text, value: text, partitions: 1 }),
      failure: { retries: 0 },
      process({ key, value }) {
        const { holder, cents } = value
        throw new Error(
          `no funds on ${value.card} of ${holder.name} (${key.email}, ${holder.born.toISOString()}), pin ${value.pin}: ${cents} of ${JSON.stringify({ ...value, cents: 0 })}`,
          { cause: new Error(`declined: ${value.card}`) }
        )
      }
    })
    await using client = await connect({
      brokers: { default: 'memory:' },
      store: 'memory:',
      registry: memoryRegistry(),
      variables: {}
    })
    await client.admin.ensure(parked)
    const stop = new AbortController()
    const running = client.run(pipeline(`app-${randomUUID()}`, [fails]), { signal: stop.signal, handleSignals: false })
    running.catch(() => {})
    await expect.poll(() => client.admin.describe(payments)).toBeDefined()
    await using producer = await client.producer(payments)
    await producer.send({ key: { email: 'grace@example.com' }, value })
    for await (const record of client.consumer(parked, { group: 'g' })) {
      const all = Object.values(record.headers)
        .map(header => Buffer.from(header).toString())
        .join('\n')
      expect(all).toContain('no funds on ***')
      expect(all).toContain('12345')
      for (const planted of [card, 'Hopper', 'grace@example.com', '1970-01-02', 'key-of-hers', 'pin 7', '"pin":7'])
        expect(all).not.toContain(planted)
      break
    }
    stop.abort()
    await running
  },
  60_000
)

import { randomUUID } from 'node:crypto'
import { create, equals } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Codec } from '../../src/core/codec.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { avro, confluentRegistry, jsonSchema, protobuf, type ManagedRegistry } from '../../src/schema/index.ts'
import { missingPython } from '../support/python.ts'
import { anySchema, isPlain } from './any-schema.ts'
import { anyValue } from './any-value.ts'
import { TradeSchema, type Trade } from './generated/trade_pb.js'
import { answers, base64, interopPython, tradeSchema } from './interop-python.ts'
import { bound } from './support.ts'

// Payloads of ours are read by the clients of others and written again by them, and read again here: 10,000 values a format.

const count = 10_000
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const server = inject('apicurio')
const running = server.state === 'running'
const url = running ? server.url : ''
const reason = await missingPython()
const topic = (): string => `t-${randomUUID()}`
const samples = <Value>(values: fc.Arbitrary<Value>, size = count): Value[] =>
  fc.sample(values, { seed, numRuns: size })

/** Values of each kind; floats that are exact, so that they compare. */
const tenFields = {
  type: 'record',
  name: 'Ten',
  namespace: 'com.example',
  fields: [
    { name: 'id', type: { type: 'string', logicalType: 'uuid' } },
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'count', type: 'int' },
    { name: 'price', type: 'double' },
    { name: 'live', type: 'boolean' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'tags', type: { type: 'map', values: { type: 'array', items: 'bytes' } } },
    { name: 'on', type: { type: 'int', logicalType: 'date' } }
  ]
} as const

const ten = fc.record(
  {
    id: fc.uuid(),
    symbol: fc.string({ unit: 'grapheme' }),
    cents: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    count: fc.integer(),
    price: fc.double({ noNaN: true }),
    live: fc.boolean(),
    side: fc.constantFrom('BUY', 'SELL'),
    note: fc.option(fc.string()),
    at: fc.date({ noInvalidDate: true, min: new Date('1970-01-01'), max: new Date('2200-01-01') }),
    fee: fc.bigInt({ min: -999_999_999n, max: 999_999_999n }).map(cents => {
      const digits = (cents < 0n ? -cents : cents).toString().padStart(3, '0')
      return `${cents < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`
    }),
    tags: fc.dictionary(
      fc.string().filter(key => key !== '__proto__'),
      fc.array(
        fc.uint8Array().map(bytes => Buffer.from(bytes)),
        { maxLength: 3 }
      ),
      { maxKeys: 3, noNullPrototype: true }
    ),
    on: fc.integer({ min: 0, max: 80_000 }).map(day => new Date(day * 86_400_000))
  },
  { noNullPrototype: true }
)

describe.skipIf(reason !== undefined)(
  `with the clients of Python, seed ${seed}${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    let python: string
    beforeAll(async () => void (python = await interopPython()), 400_000)

    const roundTrip = async (words: readonly string[], lines: readonly string[]): Promise<Buffer[]> =>
      (await answers(python, words, lines)).map(([payload]) => payload!)

    test(`fastavro: ${count} values of random schemas, the same bytes both ways`, async () => {
      const schemas = samples(
        anySchema(3).filter(schema => isPlain(schema) && typeof schema === 'object'),
        count / 20
      )
      const sent: { payload: string; schema: unknown }[] = []
      for (const schema of schemas) {
        const codec = await bound(avro<unknown>(schema as object, { id: false }))
        for (const value of samples(anyValue(parseAvro(schema)), 20))
          sent.push({ schema, payload: base64(codec.encode(value)) })
      }
      const back = await roundTrip(
        ['fastavro'],
        sent.map(each => JSON.stringify(each))
      )
      expect(back).toHaveLength(sent.length)
      const different = back.filter((bytes, index) => base64(bytes) !== sent[index]!.payload)
      expect(different).toEqual([])
    }, 120_000)

    describe.runIf(running)('and a registry', () => {
      let registry: ManagedRegistry
      beforeAll(() => void (registry = confluentRegistry({ url })))
      afterAll(() => registry.close!())

      const compare = async <Value>(
        codec: Codec<Value>,
        words: readonly string[],
        schema: unknown,
        values: readonly Value[],
        same: (left: Value, right: Value) => boolean
      ): Promise<void> => {
        const back = await roundTrip(
          [words[0]!, url, ...words.slice(1)],
          [JSON.stringify(schema), ...values.map(value => base64(codec.encode(value)))]
        )
        expect(back).toHaveLength(values.length)
        await codec.prepare?.(back)
        const different = back.filter((bytes, index) => !same(codec.decode(bytes), values[index]!))
        expect(different.map(base64)).toEqual([])
      }

      test(`confluent-kafka, Avro: ${count} values`, async () => {
        const name = topic()
        const codec = await bound(avro(tenFields), registry, name)
        const same = (left: unknown, right: unknown): boolean => {
          expect(left).toEqual(right)
          return true
        }
        await compare(codec as Codec<unknown>, ['avro', name], JSON.stringify(tenFields), samples(ten), same)
      }, 180_000)

      test(`confluent-kafka, JSON Schema: ${count} values`, async () => {
        const name = topic()
        const schema = {
          $schema: 'http://json-schema.org/draft-07/schema#',
          title: 'Order',
          type: 'object',
          required: ['id'],
          properties: {
            id: { type: 'string' },
            cents: { type: 'integer' },
            legs: { type: 'array', items: { type: 'object', properties: { price: { type: 'number' } } } }
          }
        }
        const values = fc.record(
          {
            id: fc.string({ unit: 'grapheme' }),
            cents: fc.maxSafeInteger(),
            legs: fc.array(
              fc.record(
                { price: fc.double({ noNaN: true, noDefaultInfinity: true }).map(price => price + 0) },
                { noNullPrototype: true }
              ),
              { maxLength: 3 }
            )
          },
          { requiredKeys: ['id'], noNullPrototype: true }
        )
        const codec = await bound(jsonSchema<unknown>(schema), registry, name)
        const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right)
        await compare(codec, ['json', name], JSON.stringify(schema), samples(values), same)
      }, 180_000)

      const trades = fc
        .record({
          symbol: fc.string({ unit: 'grapheme' }),
          cents: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
          side: fc.constantFrom(0, 1, 2),
          at: fc.record({
            seconds: fc.bigInt({ min: 0n, max: 4_000_000_000n }),
            nanos: fc.integer({ min: 0, max: 999_999_999 })
          }),
          legs: fc.array(
            fc.record({
              price: fc.double({ noNaN: true }),
              steps: fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
            }),
            { maxLength: 3 }
          ),
          counts: fc.dictionary(
            fc.string().filter(key => key !== '__proto__'),
            fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
            { maxKeys: 3, noNullPrototype: true }
          ),
          settlement: fc.oneof(
            fc.record({ case: fc.constant('cash' as const), value: fc.string() }),
            fc.record({ case: fc.constant('party' as const), value: fc.record({ name: fc.string() }) })
          ),
          raw: fc.uint8Array(),
          live: fc.boolean()
        })
        .map(value => create(TradeSchema, value as object))

      test.each([true, false])(
        `confluent-kafka, Protobuf: ${count} values, its schema the latest of ours: %s`,
        async latest => {
          const name = topic()
          // The registry does not translate between texts and descriptors, and their client takes descriptors.
          const codec = await bound(protobuf<Trade>(TradeSchema, { registerAs: 'descriptor' }), registry, name)
          await compare(codec, ['protobuf', name], { ...tradeSchema, latest }, samples(trades), (left, right) =>
            equals(TradeSchema, left, right)
          )
        },
        180_000
      )
    })
  }
)

describe.runIf(running)('with other clients of Node', () => {
  let registry: ManagedRegistry
  beforeAll(() => void (registry = confluentRegistry({ url })))
  afterAll(() => registry.close!())
  const simple = {
    type: 'record',
    name: 'Simple',
    fields: [
      { name: 'id', type: 'string' },
      { name: 'count', type: 'int' },
      { name: 'price', type: 'double' },
      { name: 'note', type: ['null', 'string'], default: null }
    ]
  } as const
  const values = samples(
    fc.record(
      { id: fc.string(), count: fc.integer(), price: fc.double({ noNaN: true }), note: fc.option(fc.string()) },
      { noNullPrototype: true }
    )
  )

  test(`@kafkajs/confluent-schema-registry: ${count} values`, async () => {
    const { SchemaRegistry } = await import('@kafkajs/confluent-schema-registry')
    const theirs = new SchemaRegistry({ host: url })
    const name = topic()
    const codec = await bound(avro(simple), registry, name)
    const id = (await registry.latest(`${name}-value`))!.id as number
    for (const value of values) {
      const bytes = codec.encode(value)
      // Their values are instances of a class.
      expect({ ...(await theirs.decode(Buffer.from(bytes))) }).toEqual(value)
      const other = await theirs.encode(id, value)
      await codec.prepare!([other])
      expect(codec.decode(other)).toEqual(value)
    }
  }, 60_000)

  test(`@confluentinc/schemaregistry: ${count} values`, async () => {
    const { AvroDeserializer, AvroSerializer, SchemaRegistryClient, SerdeType } =
      await import('@confluentinc/schemaregistry')
    const client = new SchemaRegistryClient({ baseURLs: [url] })
    const name = topic()
    const codec = await bound(avro(simple), registry, name)
    const write = new AvroSerializer(client, SerdeType.VALUE, { autoRegisterSchemas: false, useLatestVersion: true })
    const read = new AvroDeserializer(client, SerdeType.VALUE, {})
    for (const value of values) {
      const bytes = codec.encode(value)
      expect({ ...(await read.deserialize(name, Buffer.from(bytes))) }).toEqual(value)
      const other = await write.serialize(name, value)
      await codec.prepare!([other])
      expect(codec.decode(other)).toEqual(value)
    }
  }, 60_000)
})

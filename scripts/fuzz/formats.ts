import { createHash } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { DurationSchema, StructSchema, type Duration, type Struct } from '@bufbuild/protobuf/wkt'
import { z } from 'zod'
import type { Codec } from '../../src/core/codec.ts'
import type { Headers } from '../../src/core/record.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { SchemaId, SchemaRegistry } from '../../src/core/registry.ts'
import { azureFraming, azureHeaders } from '../../src/schema/registry/azure-ids.ts'
import { confluentHeaders, eitherFraming } from '../../src/schema/registry/confluent-ids.ts'
import { glueFraming } from '../../src/schema/registry/glue-framing.ts'
import { pubsubHeaders } from '../../src/schema/registry/pubsub.ts'
import { pulsarHeaders } from '../../src/schema/registry/pulsar.ts'
import { textFraming } from '../../src/schema/registry/text-framing.ts'
import { avro, avroFile, json, jsonSchema, memoryRegistry, protobuf } from '../../src/schema/index.ts'
import { TradeSchema, type Trade } from '../../test/schema/generated/trade_pb.js'

/** Something to feed with spoiled bytes, and payloads that it takes. */
export interface Format {
  readonly name: string
  readonly payloads: readonly Buffer[]
  /** What stands beside them in their records. */
  readonly headers?: Headers
  /** Reads them as a consumer would. Resolves, or rejects with a cause. */
  read(bytes: Buffer, headers: Headers): Promise<void>
  /** Codes of what is refused; all else is a crash. */
  readonly refusals: readonly ErrorCode[]
}

const flat = {
  type: 'record',
  name: 'Flat',
  fields: [
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 3 } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
    { name: 'note', type: ['null', 'string'], default: null }
  ]
} as const

const tree = {
  type: 'record',
  name: 'Tree',
  fields: [
    { name: 'value', type: ['null', 'int', 'string', { type: 'array', items: 'null' }] },
    { name: 'children', type: { type: 'array', items: 'Tree' } },
    { name: 'named', type: { type: 'map', values: ['null', 'Tree'] } }
  ]
} as const

/** What `Flat` was before: records of it are read through a resolver. */
const older = {
  ...flat,
  fields: [
    { name: 'cents', type: 'int' },
    ...flat.fields.filter(({ name }) => name !== 'cents'),
    { name: 'gone', type: 'double' }
  ]
}

const orderSchema = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string' }, legs: { type: 'array', items: { $ref: '#' } } }
}

/** All formats on one registry, so that ids of each are known to the others. */
export async function openFormats(): Promise<readonly Format[]> {
  const registry = memoryRegistry()
  const leaf = { value: 5, children: [], named: {} }
  const deep = (depth: number): unknown =>
    depth === 0 ? leaf : { value: 'x', children: [deep(depth - 1)], named: { a: null } }
  const flatValue = {
    symbol: 'ABC',
    cents: 2n ** 40n,
    side: 'BUY',
    at: new Date(1e12),
    fee: '-12.345',
    hash: Buffer.from('abcd'),
    note: 'n'
  }
  const trade = create(TradeSchema, {
    symbol: 'ABC',
    cents: 5n,
    legs: [{ price: 1, steps: [1n] }],
    counts: { a: 1n },
    settlement: { case: 'party', value: { name: 'x', agent: { name: 'y' } } }
  }) as Trade
  const struct = create(StructSchema, { fields: { a: { kind: { case: 'stringValue', value: 'x' } } } })
  const order = { id: 'a', legs: [{ id: 'b', legs: [] }] }
  const zod = z.object({ id: z.string(), legs: z.array(z.object({ id: z.string() })).optional() })
  const oldFlat = await open('old', avro(older as object), registry, [{ ...flatValue, cents: 7, gone: 1.5 }])
  const besideConfluent = { ...registry, framing: eitherFraming, headers: confluentHeaders() }
  const azure = withIds(registry, { framing: azureFraming, headers: azureHeaders }, hexOf)
  const glue = withIds(registry, { framing: glueFraming, messages: 'position' }, uuidOf)
  const pubsub = withIds(
    registry,
    { framing: textFraming, headers: pubsubHeaders, messages: 'only' },
    subject => `${subject}@1`
  )
  const pulsar = withIds(
    registry,
    { framing: textFraming, headers: pulsarHeaders('own') },
    subject => `public/default/${subject}@1`
  )
  const duration = create(DurationSchema, { seconds: 5n, nanos: 7 })
  const formats = [
    await open('avro', avro(flat), registry, [flatValue, { ...flatValue, note: null }]),
    await open('avro, recursive', avro(tree as object), registry, [leaf, deep(4), deep(40)]),
    await open('avro, id in a header', avro(flat), besideConfluent, [flatValue]),
    await open('avro, key of a timer', avro(flat), besideConfluent, [flatValue], 'timer'),
    await open('avro, Azure', avro(flat), azure, [flatValue]),
    await open('avro, Azure, in state', avro(flat), azure, [flatValue], 'state'),
    await open('avro, Glue', avro(flat), glue, [flatValue]),
    await open('avro, Pub/Sub', avro(flat), pubsub, [flatValue]),
    await open('avro, Pub/Sub, in state', avro(flat), pubsub, [flatValue], 'state'),
    await open('avro, Pulsar', avro(flat), pulsar, [flatValue]),
    await open('json', json(zod), registry, [order]),
    await open('json, Glue', json(zod), glue, [order]),
    await open('json schema', jsonSchema(orderSchema), registry, [order]),
    await open('json schema, Azure', jsonSchema(orderSchema), azure, [order]),
    await open('protobuf', protobuf<Trade>(TradeSchema), registry, [trade]),
    await open('protobuf, id in a header', protobuf<Trade>(TradeSchema), besideConfluent, [trade]),
    await open('protobuf, Glue', protobuf<Struct>(StructSchema), glue, [struct]),
    await open('protobuf, Pub/Sub', protobuf<Duration>(DurationSchema), pubsub, [duration])
  ]
  const glueFormat = formats.find(({ name }) => name === 'avro, Glue')!
  const compressed = glueFormat.payloads.map(payload =>
    Buffer.concat([Buffer.from([3, 5]), payload.subarray(2, 18), deflateSync(payload.subarray(18))])
  )
  for (const compression of ['null', 'deflate', 'snappy', 'zstandard'] as const)
    formats.push(
      await openFile(`avro file, ${compression}`, compression, [flatValue, flatValue, { ...flatValue, note: null }])
    )
  formats.push({ ...glueFormat, name: 'avro, Glue, compressed', payloads: compressed })
  const [first, ...rest] = formats
  return [{ ...first!, payloads: [...first!.payloads, ...oldFlat.payloads] }, ...rest]
}

/** A registry with ids of another kind, in another wire format. */
function withIds(
  registry: SchemaRegistry,
  parts: Partial<SchemaRegistry>,
  idOf: (subject: string) => string
): SchemaRegistry {
  const subjects = new Map<SchemaId, string>()
  return {
    ...registry,
    ...parts,
    async register(subject, schema) {
      const id = idOf(subject)
      subjects.set(id, subject)
      return { ...(await registry.register(subject, schema)), id }
    },
    byId: async id => (await registry.latest(subjects.get(id) ?? '-')) ?? registry.byId(-1)
  }
}

const hexOf = (subject: string): string => createHash('md5').update(subject).digest('hex')
const uuidOf = (subject: string): string => hexOf(subject).replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')

/** @param place a record, keyed state, or the key of a timer, which has lost the headers of its record */
async function open(
  name: string,
  codec: Codec<any>,
  registry: SchemaRegistry,
  values: readonly unknown[],
  place: 'record' | 'state' | 'timer' = 'record'
): Promise<Format> {
  const topic = name.replaceAll(/\W+/g, '-')
  const part = place === 'timer' ? 'key' : 'value'
  const bound: Codec<unknown> = await codec.bind!({ topic, part, registry, headers: place !== 'state' })
  const payloads = values.map(value => Buffer.from(bound.encode(value)))
  return {
    name,
    payloads,
    ...(bound.headers && place === 'record' && { headers: bound.headers }),
    refusals: ['bad-record', 'bad-schema'],
    async read(bytes, headers) {
      await (place === 'record' ? bound.prepare?.([bytes], [headers]) : bound.prepare?.([bytes]))
      bound.decode(bytes, place === 'record' ? headers : undefined)
    }
  }
}

async function openFile(
  name: string,
  compression: 'null' | 'deflate' | 'snappy' | 'zstandard',
  values: readonly object[]
): Promise<Format> {
  const file = avroFile<object>(flat as object, { compression, blockSize: 40 })
  const chunks: Buffer[] = []
  for await (const chunk of file.write(values)) chunks.push(chunk)
  return {
    name,
    payloads: [Buffer.concat(chunks)],
    refusals: ['bad-record', 'bad-schema', 'corrupt', 'unsupported'],
    async read(bytes) {
      for await (const value of file.read([bytes])) void value
    }
  }
}

import { create } from '@bufbuild/protobuf'
import { z } from 'zod'
import type { Codec } from '../../src/core/codec.ts'
import type { Headers } from '../../src/core/record.ts'
import type { SchemaRegistry } from '../../src/core/registry.ts'
import { azureHeaders } from '../../src/schema/registry/azure-ids.ts'
import { confluentHeaders, eitherFraming } from '../../src/schema/registry/confluent-ids.ts'
import { textFraming } from '../../src/schema/registry/text-framing.ts'
import { avro, json, jsonSchema, memoryRegistry, protobuf } from '../../src/schema/index.ts'
import { TradeSchema, type Trade } from '../../test/schema/generated/trade_pb.js'

/** A codec to feed with spoiled bytes, and payloads that it takes. */
export interface Format {
  readonly name: string
  readonly codec: Codec<unknown>
  readonly payloads: readonly Buffer[]
  /** What stands beside them in their records. */
  readonly headers?: Headers
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
  const order = { id: 'a', legs: [{ id: 'b', legs: [] }] }
  const zod = z.object({ id: z.string(), legs: z.array(z.object({ id: z.string() })).optional() })
  const oldFlat = await open('old', avro(older as object), registry, [{ ...flatValue, cents: 7, gone: 1.5 }])
  const besideConfluent = { ...registry, framing: eitherFraming, headers: confluentHeaders() }
  const besideAzure: SchemaRegistry = {
    ...registry,
    framing: textFraming,
    headers: azureHeaders,
    register: async (...schema) => ({ ...(await registry.register(...schema)), id: `id-${schema[0]}` }),
    byId: async id => (await registry.latest(String(id).replace('id-', ''))) ?? registry.byId(-1)
  }
  const formats = [
    await open('avro', avro(flat), registry, [flatValue, { ...flatValue, note: null }]),
    await open('avro, recursive', avro(tree as object), registry, [leaf, deep(4), deep(40)]),
    await open('avro, id in a header', avro(flat), besideConfluent, [flatValue]),
    await open('avro, content type', avro(flat), besideAzure, [flatValue]),
    await open('json schema, content type', jsonSchema(orderSchema), besideAzure, [order]),
    await open('json', json(zod), registry, [order]),
    await open('json schema', jsonSchema(orderSchema), registry, [order]),
    await open('protobuf', protobuf<Trade>(TradeSchema), registry, [trade])
  ]
  const [first, ...rest] = formats
  return [{ ...first!, payloads: [...first!.payloads, ...oldFlat.payloads] }, ...rest]
}

async function open(
  name: string,
  codec: Codec<any>,
  registry: SchemaRegistry,
  values: readonly unknown[]
): Promise<Format> {
  const topic = name.replaceAll(/\W+/g, '-')
  const bound: Codec<unknown> = await codec.bind!({ topic, part: 'value', registry, headers: true })
  const payloads = values.map(value => Buffer.from(bound.encode(value)))
  return { name, codec: bound, payloads, ...(bound.headers && { headers: bound.headers }) }
}

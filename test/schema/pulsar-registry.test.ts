import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { connect, optional, text, topic, type Client } from '../../src/index.ts'
import {
  avro,
  json,
  memoryRegistry,
  protobuf,
  pulsarRegistry,
  type PulsarRegistryOptions
} from '../../src/schema/index.ts'
import type { SchemaRegistry } from '../../src/core/registry.ts'
import { z } from 'zod'
import { missingPython, pythonWith, runPython } from '../support/python.ts'
import { HeaderSchema, TradeSchema, type Header, type Trade } from './generated/trade_pb.js'
import { bound, failure, inRecords } from './support.ts'

// The registry inside Pulsar, and Python's client with the same schema on the same topic.

const pulsar = inject('pulsar')
const running = pulsar.state === 'running'
const web = running ? pulsar.url.replace('pulsar:', 'http:') : ''
const noPython = await missingPython()
const script = fileURLToPath(new URL('./pulsar_client.py', import.meta.url))

const trade = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'count', type: 'int' },
    { name: 'price', type: ['null', 'float'] }
  ]
} as const
const newer = { ...trade, fields: [...trade.fields, { name: 'venue', type: ['null', 'string'], default: null }] }
const values = fc.record(
  {
    symbol: fc.string({ unit: 'grapheme' }),
    cents: fc.integer({ min: -(2 ** 53) + 2, max: 2 ** 53 - 2 }),
    count: fc.integer(),
    // JSON on the way to Python has one zero.
    price: fc.option(fc.float({ noNaN: true, noDefaultInfinity: true }).map(price => price + 0))
  },
  { noNullPrototype: true }
)

describe.skipIf(!running)(`Pulsar's own registry${running ? '' : ` (not run: ${pulsar.reason})`}`, () => {
  const opened: SchemaRegistry[] = []
  const open = (options: Partial<PulsarRegistryOptions> = {}): SchemaRegistry => {
    const registry = pulsarRegistry({ url: web, ...options })
    opened.push(registry)
    return registry
  }
  let client: Client
  beforeAll(async () => {
    client = await connect({ brokers: { default: pulsar.state === 'running' ? pulsar.url : '' }, variables: {} })
  })
  afterAll(async () => {
    await client?.close()
    await Promise.all(opened.map(registry => registry.close!()))
  })
  const withRegistry = (registry: SchemaRegistry): Promise<Client> =>
    connect({ brokers: { default: pulsar.state === 'running' ? pulsar.url : '' }, registry, variables: {} })
  const fresh = async (): Promise<string> => {
    const name = `schema-${randomUUID()}`
    await client.admin.create(topic(name, { key: text, value: text, partitions: 1 }))
    return name
  }

  test('register, by id, latest, lookup, rules', async () => {
    const registry = open()
    const subject = `s-${randomUUID()}`
    const schema = { type: 'AVRO' as const, schema: JSON.stringify(trade) }
    expect(await registry.latest(subject)).toBeUndefined()
    expect(await registry.lookup!(subject, schema)).toBeUndefined()
    expect(await registry.check(subject, schema)).toEqual([])
    const first = await registry.register(subject, schema)
    expect(first).toEqual({ ...schema, id: `public/default/${subject}@0`, version: 0 })
    expect(await registry.register(subject, schema)).toEqual(first)
    expect(await open().byId(first.id)).toEqual(first)
    const broken = { ...schema, schema: JSON.stringify({ ...trade, fields: trade.fields.slice(0, 3) }) }
    const refused = await failure('bad-schema', () =>
      registry.register(subject, {
        ...schema,
        schema: JSON.stringify({ ...trade, fields: [{ name: 'x', type: 'int' }] })
      })
    )
    expect(refused.message).toContain("field 'Trade.x' is not written, and has no default for the reader (backward")
    expect(await registry.check(subject, broken)).toHaveLength(1)
    const second = await registry.register(subject, { ...schema, schema: JSON.stringify(newer) })
    expect([second.version, (await registry.latest(subject))!.id]).toEqual([1, second.id])
    for (const unknown of [`public/default/${subject}@7`, `public/default/nobody-${subject}@0`, 'nonsense', '../x@1'])
      await failure('bad-schema', () => registry.byId(unknown))
  })

  test('what it does not keep', async () => {
    const registry = open()
    await failure('unsupported', () => bound(json(z.object({ id: z.string() })), registry, `t-${randomUUID()}`))
    await failure('unsupported', () => avro('string').bind!({ topic: 't', part: 'key', registry, headers: true }))
    for (const wrong of [{ namespace: 'public' }, { unversioned: 'latest' }, { other: 1 }, { url: 'pulsar://host' }])
      await failure('bad-config', () => open(wrong as Partial<PulsarRegistryOptions>))
    const nobody = open({ url: 'http://127.0.0.1:1', attempts: 1 })
    expect((await failure('connection', () => nobody.latest('x'))).retryable).toBe(true)
  })

  test('two versions on one topic, and a record that says none', async () => {
    const name = await fresh()
    const registry = open()
    const older = await inRecords(avro(trade), registry, name)
    const value = { symbol: 'A', cents: 5n, count: 1, price: null }
    const bytes = older.encode(value)
    // Nothing but Avro: what Pulsar's clients read.
    expect(bytes).toEqual((await bound(avro(trade, { id: false }), memoryRegistry())).encode(value))
    const reader = await inRecords(avro<object>(newer), open(), name)
    await reader.prepare!([bytes], [older.headers!])
    expect(reader.decode(bytes, older.headers)).toEqual({ ...value, venue: null })
    expect((await failure('bad-record', () => reader.decode(bytes, {}))).message).toContain(
      "property 'tidemark-schema'"
    )
    const trusting = await inRecords(avro(trade), open({ unversioned: 'own' }), name)
    expect(trusting.decode(bytes, {})).toEqual(value)
  })

  test('Protobuf: the descriptors of all files, which the broker takes apart, and the message alone', async () => {
    const name = await fresh()
    const registry = open()
    const codec = await inRecords(protobuf<Trade>(TradeSchema), registry, name)
    const message = create(TradeSchema, {
      symbol: 'A',
      cents: 5n,
      counts: { a: 1n },
      legs: [{ price: 1, steps: [2n] }]
    })
    const bytes = codec.encode(message)
    expect(Buffer.from(bytes)).toEqual(Buffer.from(toBinary(TradeSchema, message)))
    const kept = (await (await fetch(`${web}/admin/v2/schemas/public/default/${name}/schema`)).json()) as {
      type: string
      data: string
    }
    expect(kept.type).toBe('PROTOBUF_NATIVE')
    const data = JSON.parse(kept.data) as Record<string, string>
    expect([data['rootMessageTypeName'], data['rootFileDescriptorName']]).toEqual([
      'tidemark.test.Trade',
      'trade.proto'
    ])
    const set = fromBinary(FileDescriptorSetSchema, Buffer.from(data['fileDescriptorSet']!, 'base64'))
    expect(set.file.map(file => file.name)).toEqual([
      'common/side.proto',
      'google/protobuf/timestamp.proto',
      'trade.proto'
    ])
    // The same again is the same version, and another client finds it.
    const other = open()
    const reader = await inRecords(protobuf<Trade>(TradeSchema), other, name)
    expect(reader.headers).toEqual(codec.headers)
    expect((await other.latest(name))!.version).toBe(0)
    await reader.prepare!([bytes], [codec.headers!])
    expect(reader.decode(bytes, codec.headers)).toEqual(message)
    const fresher = await inRecords(protobuf<Header>(HeaderSchema), other, await fresh())
    await fresher.prepare!([bytes], [codec.headers!])
    expect((await failure('bad-schema', () => fresher.decode(bytes, codec.headers))).message).toContain(
      'the record is a tidemark.test.Trade, expected tidemark.test.Header'
    )
    // Another root in the same files: the broker refuses it, an Avro schema too.
    await failure('bad-schema', () => inRecords(protobuf<Header>(HeaderSchema), other, name))
    await failure('bad-schema', () => inRecords(avro(trade), other, name))
    for (const schema of ['message T {}', '{}', '{"fileDescriptorSet":"CgE="}'])
      await failure('bad-schema', () => other.register(name, { type: 'PROTOBUF', schema }))
    // Records of Pulsar's own clients say no version.
    await failure('bad-record', () => codec.decode(bytes, {}))
    const trusting = await inRecords(protobuf<Trade>(TradeSchema), open({ unversioned: 'own' }), name)
    expect(trusting.decode(bytes, {})).toEqual(message)
  })

  test.skipIf(noPython)(
    `Python's client reads ours and writes for us${noPython ? ` (not run: ${noPython})` : ''}`,
    async () => {
      const count = 10_000
      const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
      const serviceUrl = (pulsar.state === 'running' && pulsar.serviceUrl) || ''
      const python = await pythonWith(['pulsar-client[avro]==3.7.0'])
      const sent = fc.sample(values, { seed, numRuns: count })
      const lines = (list: readonly object[]): string => list.map(value => `${JSON.stringify(value)}\n`).join('')
      const full = (name: string): string => `persistent://public/default/${name}`
      // Python sends no keys here.
      const options = { key: optional(text), value: avro(trade, { long: 'number' }), partitions: 1 } as const

      const [ours, theirs] = [topic(await fresh(), options), topic(await fresh(), options)]
      const writer = await withRegistry(open())
      const producer = await writer.producer(ours)
      await producer.sendAll(sent.map(value => ({ key: null, value })))
      await writer.close()
      const read = await runPython(python, script, [serviceUrl, 'read', full(ours.name), String(count)], '')
      const theirValues = read
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as object)
      expect(theirValues.length).toBe(count)
      expect(
        theirValues.filter((value, index) => JSON.stringify(value) !== JSON.stringify(sent[index])),
        `seed ${seed}`
      ).toEqual([])

      await runPython(python, script, [serviceUrl, 'write', full(theirs.name), String(count)], lines(sent))
      const reading = await withRegistry(open({ unversioned: 'own' }))
      const seen: object[] = []
      for await (const { value } of reading.consumer(theirs, { group: `g-${randomUUID()}` }))
        if (seen.push(value) === count) break
      await reading.close()
      expect(
        seen.filter((value, index) => JSON.stringify(value) !== JSON.stringify(sent[index])),
        `seed ${seed}`
      ).toEqual([])
    },
    // The first time, the Python is made.
    180_000
  )
})

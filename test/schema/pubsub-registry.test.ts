import { randomUUID } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  DurationSchema,
  EmptySchema,
  StructSchema,
  type Duration,
  type Empty,
  type Struct
} from '@bufbuild/protobuf/wkt'
import { PubSub } from '@google-cloud/pubsub'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { bytes as rawBytes, connect, optional, text, topic, type Client } from '../../src/index.ts'
import { avro, json, protobuf, pubsubRegistry, type PubsubRegistryOptions } from '../../src/schema/index.ts'
import type { SchemaRegistry } from '../../src/core/registry.ts'
import { TradeSchema, type Trade } from './generated/trade_pb.js'
import { bound, failure, hex, inRecords } from './support.ts'

// Schemas of Pub/Sub, on Google's fake: it keeps schemas, and ours around it puts the attributes on messages of topics that have one.

const pubsub = inject('pubsub')
const running = pubsub.state === 'running'
const project = 'tidemark-test'
const emulator = running ? new URL(pubsub.url).searchParams.get('emulator')! : ''

const version1 = { type: 'record', name: 'Trade', fields: [{ name: 'cents', type: 'int' }] } as const
const version2 = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'cents', type: 'long' },
    { name: 'note', type: 'string', default: '-' }
  ]
} as const
const textOf = (schema: object) => ({ type: 'AVRO' as const, schema: JSON.stringify(schema) })

describe.skipIf(!running)(`schemas of Pub/Sub${running ? '' : ` (not run: ${pubsub.reason})`}`, () => {
  const opened: SchemaRegistry[] = []
  const open = async (options: Partial<PubsubRegistryOptions> = {}): Promise<SchemaRegistry> => {
    const registry = await pubsubRegistry({ project, emulator, ...options })
    opened.push(registry)
    return registry
  }
  let vendor: PubSub
  beforeAll(() => {
    vendor = new PubSub({ projectId: project, apiEndpoint: emulator, emulatorMode: true })
  })
  afterAll(async () => {
    await Promise.all(opened.map(registry => registry.close!()))
    await vendor?.close()
  })
  const client = async (registry: SchemaRegistry): Promise<Client> =>
    connect({
      brokers: { default: running ? pubsub.url : '' },
      store: 'memory:',
      registry,
      variables: {}
    })

  test('register, by id, latest, lookup, rules', async () => {
    const registry = await open()
    const subject = `s-${randomUUID()}`
    expect(await registry.latest(subject)).toBeUndefined()
    const first = await registry.register(subject, textOf(version1))
    expect(first.id).toMatch(new RegExp(`^projects/${project}/schemas/${subject}@[0-9a-f]{8}$`))
    expect((await registry.register(subject, textOf(version1))).id).toBe(first.id)
    expect(await (await open()).byId(first.id)).toEqual(first)
    const refused = await failure('bad-schema', () =>
      registry.register(subject, textOf({ ...version1, fields: [{ name: 'x', type: 'int' }] }))
    )
    expect(refused.message).toContain("field 'Trade.x' is not written")
    const second = await registry.register(subject, textOf(version2))
    expect(await registry.latest(subject)).toMatchObject({ id: second.id, version: 2 })
    expect((await registry.lookup!(subject, textOf(version1)))!.id).toBe(first.id)
    await failure('bad-schema', () => registry.byId(`projects/${project}/schemas/nobody@00000000`))
    await failure('unsupported', () => bound(json(z.object({ id: z.string() })), registry))
    await failure('bad-config', () => open({ project: '' }))
    const nobody = await open({ emulator: '127.0.0.1:1', timeout: 500 })
    expect((await failure('connection', () => nobody.byId('x'))).retryable).toBe(true)
  }, 60_000)

  test('JSON encoding is refused, keyed state has the id in front', async () => {
    const registry = await open()
    const codec = await inRecords(avro(version1), registry, `t-${randomUUID()}`)
    const bytes = codec.encode({ cents: 5 })
    expect(bytes).toEqual(hex('0a'))
    const headers = { ...codec.headers, googclient_schemaencoding: Buffer.from('JSON') }
    await codec.prepare!([bytes], [headers])
    expect((await failure('bad-record', () => codec.decode(bytes, headers))).message).toContain('encoding BINARY')
    const state = await bound(avro(version1), registry, `t-${randomUUID()}`)
    const stored = state.encode({ cents: 5 })
    expect(Buffer.from(stored).toString('latin1')).toContain(`projects/${project}/schemas/t-`)
    expect(state.decode(stored)).toEqual({ cents: 5 })
    for (let length = 0; length < stored.length; length++)
      await failure('bad-record', () => state.decode(Buffer.from(stored.subarray(0, length))))
  })

  test('Protobuf: the message alone, of a file that has no other', async () => {
    const registry = await open()
    const name = `t-${randomUUID()}`
    const codec = await inRecords(protobuf<Duration>(DurationSchema), registry, name)
    const message = create(DurationSchema, { seconds: 5n, nanos: 7 })
    const bytes = codec.encode(message)
    expect(Buffer.from(bytes)).toEqual(Buffer.from(toBinary(DurationSchema, message)))
    // Google's own client says what it is there.
    const [schema, revision] = ['googclient_schemaname', 'googclient_schemarevisionid'].map(header =>
      Buffer.from(codec.headers![header]!).toString()
    )
    expect(await vendor.schema(`${name}-value`).get()).toMatchObject({
      name: schema,
      revisionId: revision,
      type: 'PROTOCOL_BUFFER'
    })
    const reader = await inRecords(protobuf<Duration>(DurationSchema), await open(), `${name}-reader`)
    await reader.prepare!([bytes], [codec.headers!])
    expect(reader.decode(bytes, codec.headers)).toEqual(message)
    const other = await inRecords(protobuf<Empty>(EmptySchema), registry, `${name}-other`)
    await other.prepare!([bytes], [codec.headers!])
    expect((await failure('bad-schema', () => other.decode(bytes, codec.headers))).message).toContain(
      'the record is a google.protobuf.Duration, expected google.protobuf.Empty'
    )
    const state = await bound(protobuf<Duration>(DurationSchema), registry, name)
    const stored = state.encode(message)
    expect([stored[0], state.decode(stored)]).toEqual([6, message])
    expect(
      (await failure('unsupported', () => inRecords(protobuf<Struct>(StructSchema), registry, name))).message
    ).toContain('may hold no other message')
    await failure('unsupported', () => inRecords(protobuf<Trade>(TradeSchema), registry, name))
    await failure('unsupported', () =>
      registry.register(name, { type: 'PROTOBUF', schema: 'import "google/protobuf/any.proto"; message T {}' })
    )
  }, 60_000)

  test('with the schema on the topic, and without', async () => {
    for (const withSettings of [true, false]) {
      const name = `schema-${randomUUID()}`
      const registry = await open()
      const older = topic(name, { key: text, value: avro(version1, { subject: `${name}-value` }), partitions: 1 })
      const newer = topic(name, { key: optional(text), value: avro(version2), partitions: 1 })
      const parked = topic(`${name}.parked`, { key: optional(rawBytes), value: optional(rawBytes), partitions: 1 })
      const id = String((await registry.register(`${name}-value`, textOf(version1))).id)
      const writer = await client(registry)
      const reader = await client(await open())
      await writer.admin.create(older)
      await reader.admin.ensure(parked)
      const records = reader.consumer(newer, { group: 'g' })[Symbol.asyncIterator]()
      const first = records.next() // a queue keeps nothing for readers that it does not know
      await expect
        .poll(async () => (await vendor.topic(name).getSubscriptions())[0].length, { timeout: 20_000 })
        .toBeGreaterThan(0)
      const [schema, revision] = id.split('@') as [string, string]
      // Its last revision is the reader's by now.
      const schemaSettings = {
        schema,
        encoding: 'BINARY',
        firstRevisionId: revision,
        lastRevisionId: revision
      } as const
      if (withSettings) await vendor.topic(name).setMetadata({ schemaSettings })
      const producer = await writer.producer(older)
      // Of somebody else, who writes Avro and nothing more.
      if (withSettings) await vendor.topic(name).publishMessage({ data: hex('0c') })
      await producer.send({ key: 'k', value: { cents: 5 } })
      const seen = [(await first).value!]
      if (withSettings) seen.push((await records.next()).value!)
      expect(seen.map(({ value }) => value).toSorted((left, right) => Number(left.cents - right.cents))).toEqual(
        [5n, 6n].slice(0, withSettings ? 2 : 1).map(cents => ({ cents, note: '-' }))
      )
      for (const { headers } of seen)
        expect(Buffer.from(headers['googclient_schemaname']!).toString()).toBe(id.split('@')[0])
      await records.return?.()
      await Promise.all([writer.close(), reader.close()])
    }
  }, 90_000)
})

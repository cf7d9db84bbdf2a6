import { randomUUID } from 'node:crypto'
import { SchemaRegistryClient } from '@azure/schema-registry'
import { AvroSerializer } from '@azure/schema-registry-avro'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { connect, text, topic } from '../../src/index.ts'
import { avro, azureRegistry, json, jsonSchema, type AzureRegistryOptions } from '../../src/schema/index.ts'
import type { SchemaRegistry } from '../../src/core/registry.ts'
import { azureSchemasAvailable, startAzureSchemas, type AzureSchemas } from '../../testcontainers/azure-schemas.ts'
import { bound, failure, hex, inRecords } from './support.ts'

// Azure Schema Registry, on a double: Microsoft's own client and serializer are the contract, and talk to the same double.

const reason = await azureSchemasAvailable()
const skipped = reason !== undefined
let server: AzureSchemas
const opened: SchemaRegistry[] = []
const credential = { getToken: async () => ({ token: 'secret', expiresOnTimestamp: Date.now() + 3_600_000 }) }
beforeAll(async () => {
  if (!skipped) server = await startAzureSchemas({ groups: ['orders'], token: 'secret' })
})
afterAll(async () => {
  await Promise.all(opened.map(registry => registry.close!()))
  await server?.stop()
})

function open(options: Partial<AzureRegistryOptions> = {}): SchemaRegistry {
  const registry = azureRegistry({
    url: server.url,
    tls: { ca: server.ca },
    group: 'orders',
    credential,
    attempts: 1,
    ...options
  })
  opened.push(registry)
  return registry
}

const named = (name: string, ...fields: object[]) => ({ type: 'record', name, namespace: 'com.example', fields })
const cents = { name: 'cents', type: 'int' }
const name = () => `T${randomUUID().replaceAll('-', '')}`

function serializer(): AvroSerializer<{ data: Uint8Array; contentType: string }> {
  const client = new SchemaRegistryClient(server.url, credential, { tlsOptions: { ca: server.ca } } as never)
  return new AvroSerializer(client, { groupName: 'orders', autoRegisterSchemas: true })
}

test.skipIf(skipped)(
  "records of ours are read by Azure's serializer, and the reverse, of older versions too",
  async () => {
    const record = name()
    const older = named(record, cents)
    const newer = named(record, { name: 'cents', type: 'long' }, { name: 'note', type: 'string', default: '-' })
    const registry = open()
    const mine = await inRecords(avro<{ cents: number }>(older), registry)
    const bytes = mine.encode({ cents: 5 })
    // Nothing but Avro in the payload.
    expect(bytes).toEqual(hex('0a'))
    const contentType = Buffer.from(mine.headers!['content-type']!).toString()
    expect(contentType).toMatch(/^avro\/binary\+[0-9a-f]{32}$/)
    expect(await serializer().deserialize({ data: bytes, contentType })).toEqual({ cents: 5 })

    // The same schema under the same name: Azure's client finds ours.
    const theirs = await serializer().serialize({ cents: 6 }, JSON.stringify(older))
    expect(theirs.contentType).toBe(contentType)
    const reader = await inRecords(avro<{ cents: bigint; note: string }>(newer), open())
    const headers = { 'content-type': Buffer.from(theirs.contentType) }
    await reader.prepare!([theirs.data], [headers])
    expect(reader.decode(theirs.data, headers)).toEqual({ cents: 6n, note: '-' })
    expect(await registry.latest(`com.example.${record}`)).toMatchObject({ type: 'AVRO', version: 2 })
  }
)

test.skipIf(skipped)('ids are in front of keys and of keyed state, where no content type is', async () => {
  const registry = open()
  const schema = named(name(), cents)
  const key = await avro<{ cents: number }>(schema).bind!({ topic: 't', part: 'key', registry, headers: true })
  const bytes = key.encode({ cents: 5 })
  expect([key.headers, bytes.length]).toEqual([undefined, 37])
  expect(Buffer.from(bytes).toString('latin1', 4, 36)).toMatch(/^[0-9a-f]{32}$/)
  expect(key.decode(bytes, { 'content-type': Buffer.from('avro/binary+another') })).toEqual({ cents: 5 })
  const state = await bound(avro<{ cents: number }>(schema), registry)
  expect(state.encode({ cents: 5 })).toEqual(bytes)
  // A record is read by what is in front when nothing is beside.
  const value = await inRecords(avro<{ cents: number }>(schema), registry)
  expect(value.decode(bytes, {})).toEqual({ cents: 5 })
})

test.skipIf(skipped)('JSON carries its id too, and plain JSON is read', async () => {
  const registry = open()
  const codec = await inRecords(json(z.object({ id: z.string() })), registry, `t-${randomUUID()}`)
  expect(Buffer.from(codec.headers!['content-type']!).toString()).toMatch(/^application\/json\+[0-9a-f]{32}$/)
  expect(codec.decode(codec.encode({ id: 'a' }), codec.headers)).toEqual({ id: 'a' })
  const checked = await inRecords(jsonSchema<{ id: string }>({ type: 'object' }), registry, `t-${randomUUID()}`)
  const bytes = checked.encode({ id: 'a' })
  expect(Buffer.from(bytes).toString()).toBe('{"id":"a"}')
  await checked.prepare!([bytes], [checked.headers!])
  expect(checked.decode(bytes, checked.headers)).toEqual({ id: 'a' })
  expect(checked.decode(bytes, { 'content-type': Buffer.from('application/json') })).toEqual({ id: 'a' })
})

test.skipIf(skipped)('what no header names is refused, each record for itself', async () => {
  const registry = open()
  const codec = await inRecords(avro<{ cents: number }>(named(name(), cents)), registry)
  const bytes = codec.encode({ cents: 1 })
  const other = await inRecords(json(z.object({ id: z.string() })), registry, `t-${randomUUID()}`)
  const type = (value: string): { 'content-type': Buffer } => ({ 'content-type': Buffer.from(value) })
  const unknown = type(`avro/binary+${'f'.repeat(32)}`)
  await codec.prepare!([bytes, bytes, bytes], [unknown, type('text/plain'), other.headers!])
  const refused = async (headers: Record<string, Uint8Array>, code: 'bad-record' | 'bad-schema'): Promise<string> =>
    (await failure(code, () => codec.decode(bytes, headers))).message
  expect(await refused({}, 'bad-record')).toContain("header 'content-type'")
  expect(await refused(type('text/plain'), 'bad-record')).toContain('found none')
  expect(await refused(type('avro/binary+a+b'), 'bad-record')).toContain('found none')
  expect(await refused(unknown, 'bad-schema')).toContain('no schema has id ffff')
  expect(await refused(other.headers!, 'bad-schema')).toContain('is JSON, expected AVRO')
})

test.skipIf(skipped)('rules are checked before, by the field', async () => {
  const record = name()
  const subject = `com.example.${record}`
  const schema = (...fields: object[]) => ({ type: 'AVRO' as const, schema: JSON.stringify(named(record, ...fields)) })
  const venue = { name: 'venue', type: 'string' }
  const registry = open()
  expect(await registry.latest(subject)).toBeUndefined()
  expect(await registry.lookup!(subject, schema(cents))).toBeUndefined()
  const first = await registry.register(subject, schema(cents))
  expect(await registry.register(subject, schema(cents))).toEqual(first)
  expect(await open().byId(first.id)).toEqual(first)
  const refused = await failure('bad-schema', () => registry.register(subject, schema(cents, venue)))
  expect(refused.message).toContain(`field 'com.example.${record}.venue' is not written, and has no default`)
  expect((await open({ compatibility: 'none' }).register(subject, schema(cents, venue))).version).toBe(2)
  // The last version has the field, the first one had not.
  expect(await open({ compatibility: 'backward-transitive' }).check(subject, schema(cents, venue))).toHaveLength(1)
  await failure('unsupported', () => registry.register('p', { type: 'PROTOBUF', schema: 'syntax = "proto3";' }))
  await failure('bad-schema', () => open({ group: 'nobody' }).register(subject, schema(cents)))
})

test.skipIf(skipped)('who may not, what is not there, and what is down', async () => {
  await failure('unauthorized', () => open({ credential: { getToken: async () => null } }).byId('x'))
  await failure('bad-schema', () => open().byId('x'))
  server.down = true
  try {
    expect((await failure('connection', () => open().byId('x'))).retryable).toBe(true)
    expect((await failure('connection', () => open({ unreachable: 'park' }).byId('x'))).retryable).toBe(false)
  } finally {
    server.down = false
  }
  for (const wrong of [{ group: '' }, { url: 'https://u:p@host' }, { other: 1 }, { compatibility: 'some' }])
    await failure('bad-config', () => open(wrong as Partial<AzureRegistryOptions>))
})

test.skipIf(skipped)('through a client, with headers of the entry beside', async () => {
  const trades = topic('trades', { key: text, value: avro<{ cents: number }>(named(name(), cents)), partitions: 1 })
  await using client = await connect({ brokers: { default: 'memory:' }, registry: open(), variables: {} })
  await using producer = await client.producer(trades)
  await producer.send({ key: 'a', value: { cents: 7 }, headers: { mine: 'x', 'content-type': 'text/plain' } })
  for await (const record of client.consumer(trades, { group: 'g' })) {
    expect(record.value).toEqual({ cents: 7 })
    expect(Object.keys(record.headers)).toEqual(['mine', 'content-type'])
    expect(Buffer.from(record.headers['content-type']!).toString()).toMatch(/^avro\/binary\+/)
    break
  }
})

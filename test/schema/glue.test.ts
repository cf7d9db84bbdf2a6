import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { deflateSync } from 'node:zlib'
import { Glue } from '@aws-sdk/client-glue'
import { create, toBinary } from '@bufbuild/protobuf'
import { StructSchema, type Struct } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { avro, glueRegistry, json, protobuf, type GlueRegistry } from '../../src/schema/index.ts'
import { glueFraming } from '../../src/schema/registry/glue-framing.ts'
import { z } from 'zod'
import { missingPython, pythonWith } from '../support/python.ts'
import { firstLine } from '../testcontainers/client.ts'
import { TradeSchema, type Trade } from './generated/trade_pb.js'
import { bound, failure } from './support.ts'

const reason = await missingPython()
const script = fileURLToPath(new URL('./glue.py', import.meta.url))
const record = (...fields: object[]): { type: 'AVRO'; schema: string } => ({
  type: 'AVRO',
  schema: JSON.stringify({ type: 'record', name: 'Trade', fields })
})
const cents = { name: 'cents', type: 'long' }
const venue = { name: 'venue', type: 'string' }

describe.skipIf(reason !== undefined)(`AWS Glue, on moto${reason ? ` (not run: ${reason})` : ''}`, () => {
  let child: ChildProcess
  let registry: GlueRegistry
  let options: Record<string, unknown>
  beforeAll(async () => {
    const python = await pythonWith(['moto[glue,server]==5.2.5'])
    child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'ignore'] })
    const port = await firstLine(child)
    options = {
      region: 'us-east-1',
      endpoint: `http://127.0.0.1:${port}`,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1
    }
    const client = new Glue(options)
    await client.createRegistry({ RegistryName: 'trading' })
    client.destroy()
    registry = await glueRegistry({ registry: 'trading', client: options })
  }, 400_000)
  afterAll(async () => {
    await registry?.close!()
    child?.stdin?.end()
    if (child && child.exitCode === null) await once(child, 'exit')
  })

  test('register, by id, latest, lookup', async () => {
    const subject = `s-${randomUUID()}`
    expect(await registry.latest(subject)).toBeUndefined()
    expect(await registry.lookup(subject, record(cents))).toBeUndefined()
    const { id } = await registry.register(subject, record(cents))
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect((await registry.register(subject, record(cents))).id).toBe(id)
    expect(await registry.latest(subject)).toMatchObject({ id, type: 'AVRO', version: 1 })
    const other = await glueRegistry({ registry: 'trading', client: options })
    expect(await other.byId(id)).toMatchObject({ id, type: 'AVRO', schema: record(cents).schema })
    await failure('bad-schema', () => other.byId(randomUUID()))
    await other.close!()
  })

  test('rules', async () => {
    const subject = `s-${randomUUID()}`
    await registry.register(subject, record(cents))
    expect(await registry.compatibility(subject)).toBe('backward')
    const refused = await failure('bad-schema', () => registry.register(subject, record(cents, venue)))
    expect(refused.message).toContain("field 'Trade.venue' is not written, and has no default for the reader")
    await registry.setCompatibility('forward-transitive', subject)
    expect(await registry.compatibility(subject)).toBe('forward-transitive')
    await registry.register(subject, record(cents, venue))
    await failure('unsupported', () =>
      registry.register(subject, { ...record(), references: [{ name: 'a', subject: 'b', version: 1 }] })
    )
  })

  test('records in its wire format; of others, compressed ones too', async () => {
    const codec = await bound(
      avro({ type: 'record', name: 'T', fields: [{ name: 'n', type: 'int' }] }),
      registry,
      `t-${randomUUID()}`
    )
    const bytes = Buffer.from(codec.encode({ n: 5 }))
    expect([bytes[0], bytes[1], bytes.length]).toEqual([3, 0, 19])
    const reader = await bound(
      avro({ type: 'record', name: 'T', fields: [{ name: 'n', type: 'double' }] }),
      await glueRegistry({ registry: 'trading', client: options }),
      `t-${randomUUID()}`
    )
    await reader.prepare!([bytes])
    expect(reader.decode(bytes)).toEqual({ n: 5 })
    const compressed = Buffer.concat([Buffer.from([3, 5]), bytes.subarray(2, 18), deflateSync(bytes.subarray(18))])
    expect(reader.decode(compressed)).toEqual({ n: 5 })
    const bomb = Buffer.concat([compressed.subarray(0, 18), deflateSync(Buffer.alloc(64 << 20))])
    expect((await failure('bad-record', () => reader.decode(bomb))).message).toContain('cannot be decompressed')
    await failure('bad-record', () => reader.decode(Buffer.concat([compressed.subarray(0, 18), Buffer.from('no')])))
    for (const wrong of [
      Buffer.alloc(0),
      Buffer.from([3, 0]),
      Buffer.from([4, ...bytes.subarray(1)]),
      Buffer.from([3, 1, ...bytes.subarray(2)])
    ])
      await failure('bad-record', () => reader.decode(wrong))
  })

  test('JSON', async () => {
    const codec = await bound(json(z.object({ id: z.string() })), registry, `t-${randomUUID()}`)
    const bytes = codec.encode({ id: 'a' })
    expect(glueFraming.isFramed(bytes)).toBe(true)
    expect(codec.decode(bytes)).toEqual({ id: 'a' })
  })

  test('Protobuf: the place of the message behind the id, as the library of AWS writes it', async () => {
    const name = `t-${randomUUID()}`
    const codec = await bound(protobuf<Struct>(StructSchema), registry, name)
    const message = create(StructSchema, { fields: { a: { kind: { case: 'numberValue', value: 5 } } } })
    const bytes = Buffer.from(codec.encode(message))
    // ListValue, Struct, Struct.FieldsEntry, Value.
    expect([bytes[0], bytes[1], bytes[18]]).toEqual([3, 0, 1])
    expect(bytes.subarray(19)).toEqual(Buffer.from(toBinary(StructSchema, message)))
    const other = await glueRegistry({ registry: 'trading', client: options })
    const reader = await bound(protobuf<Struct>(StructSchema), other, `${name}-reader`)
    await reader.prepare!([bytes])
    expect(reader.decode(bytes)).toEqual(message)
    const packed = Buffer.concat([Buffer.from([3, 5]), bytes.subarray(2, 18), deflateSync(bytes.subarray(18))])
    expect(reader.decode(packed)).toEqual(message)
    for (const place of [0, 2, 3, 4]) {
      const spoiled = Buffer.from(bytes)
      spoiled[18] = place
      expect((await failure('bad-schema', () => reader.decode(spoiled))).message).toMatch(
        place === 0 || place === 3 ? /the record is a google.protobuf.(ListValue|Value)/ : /no message at index/
      )
    }
    await failure('bad-record', () => reader.decode(bytes.subarray(0, 18)))
    // Imports of files of one's own would be references, which Glue has not.
    await failure('unsupported', () => bound(protobuf<Trade>(TradeSchema), registry, name))
    await other.close!()
  })

  test('no answer is a connection, and retryable', async () => {
    const nobody = await glueRegistry({ registry: 'trading', client: { ...options, endpoint: 'http://127.0.0.1:1' } })
    expect((await failure('connection', () => nobody.byId(randomUUID()))).retryable).toBe(true)
    await nobody.close!()
    await failure('bad-config', () => glueRegistry({ registry: '' }))
  })
})

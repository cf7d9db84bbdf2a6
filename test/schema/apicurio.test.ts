import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { avro, confluentRegistry, recordName, type ManagedRegistry } from '../../src/schema/index.ts'
import { startRegistry, type Server } from '../../testcontainers/registry.ts'
import { bound, failure } from './support.ts'

const server = inject('apicurio')
const running = server.state === 'running'
const url = running ? server.url : ''
const name = (): string => `s-${randomUUID()}`

const record = (...fields: object[]): { type: 'AVRO'; schema: string } => ({
  type: 'AVRO',
  schema: JSON.stringify({ type: 'record', name: 'Trade', namespace: 'com.example', fields })
})
const a = { name: 'a', type: 'int' }
const b = { name: 'b', type: 'string' }

describe.runIf(running)('Apicurio, by the Confluent-compatible API', () => {
  let registry: ManagedRegistry
  beforeAll(() => {
    registry = confluentRegistry({ url })
  })
  afterAll(() => registry.close!())

  test('register, by id, lookup, latest, versions', async () => {
    const subject = name()
    expect(await registry.latest(subject)).toBeUndefined()
    expect(await registry.lookup(subject, record(a))).toBeUndefined()
    await failure('bad-schema', () => registry.versions(subject))
    const first = await registry.register(subject, record(a))
    expect((await registry.register(subject, record(a))).id).toBe(first.id)
    const second = await registry.register(subject, record(a, { ...b, default: '' }))
    expect(second.id).not.toBe(first.id)
    expect(await registry.lookup(subject, record(a))).toMatchObject({ id: first.id, version: 1 })
    expect(await registry.latest(subject)).toMatchObject({ id: second.id, version: 2, type: 'AVRO' })
    expect((await registry.versions(subject)).map(({ version }) => version)).toEqual([1, 2])
    const other = confluentRegistry({ url })
    expect(JSON.parse((await other.byId(first.id)).schema)).toEqual(JSON.parse(record(a).schema))
    await failure('bad-schema', () => other.byId(987_654_321))
    await failure('bad-schema', () => other.version(subject, 9))
    await other.close!()
    expect(await registry.subjects()).toContain(subject)
  })

  test('what breaks the rule is refused with the field, the rule and the fix', async () => {
    const subject = name()
    await registry.register(subject, record(a))
    expect(await registry.compatibility(subject)).toBe('backward')
    const sentence =
      "field 'com.example.Trade.b' is not written, and has no default for the reader " +
      '(backward: the new schema must read version 1); give it a default, or an alias if it was renamed'
    expect(await registry.check(subject, record(a, b))).toEqual([sentence])
    const refused = await failure('bad-schema', () => registry.register(subject, record(a, b)))
    expect(refused.message).toBe(`subject '${subject}' refuses the schema:\n- ${sentence}`)
    await registry.setCompatibility('forward-transitive', subject)
    expect(await registry.compatibility(subject)).toBe('forward-transitive')
    expect(await registry.check(subject, record(a, b))).toEqual([])
    expect(await registry.check(name(), record(a))).toEqual([])
    await failure('bad-schema', () => registry.register(subject, { type: 'AVRO', schema: '{"type":"rec' }))
  })

  test('records go both ways; ids of schemas that are new are fetched once', async () => {
    const subject = name()
    const codec = await bound(
      avro({ type: 'record', name: 'T', fields: [{ name: 'n', type: 'long' }] }, { subject }),
      registry
    )
    const wide = await bound(
      avro(
        {
          type: 'record',
          name: 'T',
          fields: [
            { name: 'n', type: 'long' },
            { name: 'note', type: ['null', 'string'], default: null }
          ]
        },
        { subject }
      ),
      registry
    )
    const [old, fresh] = [codec.encode({ n: 5n }), wide.encode({ n: 7n, note: 'x' })]
    await Promise.all([codec.prepare!([fresh, old]), wide.prepare!([old])])
    expect(codec.decode(fresh)).toEqual({ n: 7n })
    expect(wide.decode(old)).toEqual({ n: 5n, note: null })
  })

  test('references between subjects', async () => {
    const customer = {
      type: 'record',
      name: 'Customer',
      namespace: 'com.example',
      fields: [{ name: 'id', type: 'string' }]
    }
    const [own, other] = [name(), name()]
    const codec = await bound(
      avro<{ by: { id: string } }>(
        { type: 'record', name: 'Order', fields: [{ name: 'by', type: 'com.example.Customer' }] } as object,
        { subject: own, references: [{ subject: other, schema: customer }] }
      ),
      registry
    )
    const bytes = codec.encode({ by: { id: 'c1' } })
    expect(await registry.latest(own)).toMatchObject({
      references: [{ name: 'com.example.Customer', subject: other, version: 1 }]
    })
    // A service that has the whole in one schema reads it, with nothing in its memory.
    const fresh = confluentRegistry({ url })
    const inline = await bound(
      avro({ type: 'record', name: 'Order', fields: [{ name: 'by', type: customer }] } as object, { subject: name() }),
      fresh
    )
    await inline.prepare!([bytes])
    expect(inline.decode(bytes)).toEqual({ by: { id: 'c1' } })
    await fresh.close!()
  })

  test('the name of the record names the subject', async () => {
    const record = `R${randomUUID().replaceAll('-', '')}`
    const schema = { type: 'record', name: record, namespace: 'com.example', fields: [] } as const
    await bound(avro(schema, { subject: recordName }), registry)
    expect(await registry.latest(`com.example.${record}`)).toBeDefined()
  })
})

describe.runIf(running)('a registry that goes down', () => {
  let own: Server
  beforeAll(async () => void (own = await startRegistry()), 180_000)
  afterAll(() => own?.stop())

  test('TLS passes through', async () => {
    const { address, ca } = own.tls
    const trusted = confluentRegistry({ url: `https://${address}/apis/ccompat/v7`, tls: { ca } })
    expect(await trusted.subjects()).toEqual(expect.any(Array))
    const stranger = confluentRegistry({ url: `https://${address}/apis/ccompat/v7`, attempts: 1 })
    expect((await failure('connection', () => stranger.subjects())).message).toMatch(/certificate/)
    await Promise.all([trusted.close!(), stranger.close!()])
  })

  test('known ids go on, unknown ones wait or are parked; then it comes back', async () => {
    const options = { url: own.url, attempts: 2 }
    const waiting = confluentRegistry(options)
    const parking = confluentRegistry({ ...options, unreachable: 'park' })
    const schema = { type: 'record', name: 'T', fields: [{ name: 'n', type: 'int' }] } as const
    const reading = { type: 'record', name: 'T', fields: [{ name: 'n', type: 'double' }] } as const
    const writer = await bound(avro(schema, { subject: 'down-1' }), waiting)
    const known = writer.encode({ n: 1 })
    const readers = await Promise.all([
      bound(avro(reading, { subject: 'down-2' }), waiting),
      bound(avro(reading, { subject: 'down-2' }), parking)
    ])
    const [waits, parks] = readers
    await own.kill()
    // Its own schema, and those fetched before.
    expect(writer.prepare!([known])).toBeUndefined()
    expect(writer.decode(known)).toEqual({ n: 1 })
    // Nobody has seen this id yet but the writer.
    await parks.prepare!([known])
    expect((await failure('bad-schema', () => parks.decode(known))).message).toContain('could not be fetched')
    const fresh = await failure('connection', async () => {
      const cold = confluentRegistry(options)
      await cold.byId(1).finally(() => cold.close!())
    })
    expect(fresh.retryable).toBe(true)
    await own.restart()
    await Promise.all([waits.prepare!([known]), parks.prepare!([known])])
    expect([waits.decode(known), parks.decode(known)]).toEqual([{ n: 1 }, { n: 1 }])
    await Promise.all([waiting.close!(), parking.close!()])
  }, 120_000)
})

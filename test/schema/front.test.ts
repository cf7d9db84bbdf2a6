import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { bytes, connect, headerText, optional, text, topic, type Client, type SchemaRegistry } from '../../src/index.ts'
import { avro, jsonSchema, memoryRegistry } from '../../src/schema/index.ts'
import { StreamError } from '../../src/core/errors.ts'

// Schemas through the client, on a broker: keys and values, tombstones, a reader of another version, spoiled records, a registry
// that is down.

const kafka = inject('kafka')
const brokers: Record<string, () => string | undefined> = {
  memory: () => 'memory:',
  file: () => `file:${join(folder, 'data')}`,
  kafka: () => (kafka.state === 'running' ? kafka.url : undefined)
}
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-schema-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const version1 = { type: 'record', name: 'Trade', fields: [{ name: 'cents', type: 'int' }] } as const
const version2 = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'cents', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null }
  ]
} as const
const keySchema = { type: 'record', name: 'Key', fields: [{ name: 'id', type: 'string' }] } as const

describe.each(['memory', 'file', 'kafka'])('on %s', name => {
  const url = (): string | undefined => (inject('backends').includes(name) ? brokers[name]!() : undefined)
  const skipped = name === 'kafka' && kafka.state !== 'running'

  const withClient = async (registry: SchemaRegistry, work: (client: Client) => Promise<void>): Promise<void> => {
    const store = `sqlite:${join(folder, `${randomUUID()}.sqlite`)}`
    const client = await connect({ brokers: { default: url()! }, registry, store, variables: {} })
    try {
      await work(client)
    } finally {
      await client.close()
    }
  }
  async function take<Value>(records: AsyncIterable<Value>, count: number): Promise<Value[]> {
    const taken: Value[] = []
    for await (const record of records) if (taken.push(record) === count) break
    return taken
  }

  test.skipIf(skipped)(
    'keys have schemas, tombstones pass, and a newer reader reads the older records',
    async () => {
      const topicName = `schema-${randomUUID()}`
      const options = { key: avro(keySchema), partitions: 1 }
      const older = topic(topicName, { ...options, value: optional(avro(version1)) })
      const newer = topic(topicName, { ...options, value: optional(avro(version2)) })
      const registry = memoryRegistry()
      await withClient(registry, async client => {
        await client.admin.create(older)
        const producer = await client.producer(older)
        await producer.sendAll([
          { key: { id: 'a' }, value: { cents: 5 } },
          { key: { id: 'b' }, value: null }
        ])
        await producer.close()
        const next = await client.producer(newer)
        await next.send({ key: { id: 'c' }, value: { cents: 2n ** 40n, note: 'n' } })
        await next.close()
        const records = await take(client.consumer(newer, { group: `g-${randomUUID()}` }), 3)
        expect(records.map(({ key, value }) => [key, value])).toEqual([
          [{ id: 'a' }, { cents: 5n, note: null }],
          [{ id: 'b' }, null],
          [{ id: 'c' }, { cents: 2n ** 40n, note: 'n' }]
        ])
        expect(await registry.subjects()).toEqual([`${topicName}-key`, `${topicName}-value`])
      })
    },
    60_000
  )

  test.skipIf(skipped)(
    'what does not decode is parked with its cause, and the others go on',
    async () => {
      const topicName = `schema-${randomUUID()}`
      const trades = topic(topicName, { key: text, value: avro(version1), partitions: 1 })
      const raw = topic(topicName, { key: text, value: optional(bytes), partitions: 1 })
      const parked = topic(`${topicName}.parked`, { key: optional(bytes), value: optional(bytes), partitions: 1 })
      const registry = memoryRegistry()
      await registry.register('other', { type: 'JSON', schema: '{"type":"string"}' })
      await withClient(registry, async client => {
        await client.admin.create(raw)
        await client.admin.ensure(parked)
        const spoiled = [
          '',
          '00000000',
          '0100000002aa',
          '0000000063aa',
          '000000000122',
          '00000000020a00',
          '0000000002ffffffffff7f'
        ]
        const producer = await client.producer(raw)
        await producer.sendAll(spoiled.map(hex => ({ key: 'k', value: Buffer.from(hex, 'hex') })))
        await producer.close()
        const good = await client.producer(trades)
        await good.send({ key: 'k', value: { cents: 7 } })
        await good.close()
        const [record] = await take(client.consumer(trades, { group: `g-${randomUUID()}` }), 1)
        expect(record!.value).toEqual({ cents: 7 })
        const records = await take(client.consumer(parked, { group: `g-${randomUUID()}` }), spoiled.length)
        expect(records.map(({ value }) => Buffer.from(value!).toString('hex'))).toEqual(spoiled)
        const header = (part: string): string[] => records.map(({ headers }) => Buffer.from(headers[part]!).toString())
        expect(header('~parked-code')).toEqual([
          'bad-record',
          'bad-record',
          'bad-record',
          'bad-schema',
          'bad-schema',
          'bad-record',
          'bad-record'
        ])
        const schema = records.map(({ headers }) => headerText(headers, '~parked-schema'))
        expect(schema).toEqual([undefined, undefined, undefined, '99', '1', '2', '2'])
        expect(header('~parked-error')[3]).toContain('no schema has id 99')
        expect(header('~parked-error')[4]).toContain('is JSON, expected AVRO')
      })
    },
    60_000
  )

  test.skipIf(skipped)(
    'registry down: known schemas go on, unknown ones wait for it',
    async () => {
      const topicName = `schema-${randomUUID()}`
      const inner = memoryRegistry()
      let down = false
      let refused = 0
      const registry: SchemaRegistry = {
        ...inner,
        byId: async id => {
          if (down && ++refused) throw new StreamError('connection', 'the registry is down', { retryable: true })
          return inner.byId(id)
        }
      }
      const mine = topic(topicName, { key: text, value: avro(version2), partitions: 1 })
      const theirs = topic(topicName, {
        key: text,
        value: avro(version1, { subject: `${topicName}-theirs` }),
        partitions: 1
      })
      await withClient(registry, async client => {
        await client.admin.create(mine)
        const [own, foreign] = [await client.producer(mine), await client.producer(theirs)]
        await own.send({ key: 'k', value: { cents: 1n, note: null } })
        down = true
        // A set: at least once, so that the first may come again while the second is waited for.
        const seen = new Set<bigint>()
        const loop = (async () => {
          for await (const { value } of client.consumer(mine, { group: `g-${randomUUID()}` }))
            if (seen.add(value.cents).has(3n)) break
        })()
        await expect.poll(() => [...seen], { timeout: 20_000 }).toEqual([1n])
        await foreign.send({ key: 'k', value: { cents: 2 } })
        await expect.poll(() => refused, { timeout: 20_000 }).toBeGreaterThan(1)
        expect([...seen]).toEqual([1n])
        down = false
        await foreign.send({ key: 'k', value: { cents: 3 } })
        await loop
        expect([...seen]).toEqual([1n, 2n, 3n])
        await Promise.all([own.close(), foreign.close()])
      })
    },
    90_000
  )

  test.skipIf(skipped)(
    'registry down, and told to park: a record with an unknown schema is parked with the cause, the others go on',
    async () => {
      const topicName = `schema-${randomUUID()}`
      const inner = memoryRegistry()
      // As registries with `unreachable: 'park'` do after their last attempt.
      const registry: SchemaRegistry = {
        ...inner,
        byId: async () => {
          throw new StreamError('connection', 'the registry is down')
        }
      }
      const mine = topic(topicName, { key: text, value: avro(version2), partitions: 1 })
      const theirs = topic(topicName, {
        key: text,
        value: avro(version1, { subject: `${topicName}-theirs` }),
        partitions: 1
      })
      const parked = topic(`${topicName}.parked`, { key: optional(bytes), value: optional(bytes), partitions: 1 })
      await withClient(registry, async client => {
        await client.admin.create(mine)
        await client.admin.ensure(parked)
        const [own, foreign] = [await client.producer(mine), await client.producer(theirs)]
        await foreign.send({ key: 'k', value: { cents: 1 } })
        await own.send({ key: 'k', value: { cents: 2n, note: null } })
        const [read] = await take(client.consumer(mine, { group: `g-${randomUUID()}` }), 1)
        expect(read!.value).toEqual({ cents: 2n, note: null })
        const [record] = await take(client.consumer(parked, { group: `g-${randomUUID()}` }), 1)
        const header = (name: string): string => Buffer.from(record!.headers[name]!).toString()
        expect(header('~parked-code')).toBe('bad-schema')
        expect(header('~parked-error')).toContain('could not be fetched: the registry is down')
        await Promise.all([own.close(), foreign.close()])
      })
    },
    60_000
  )

  test.skipIf(skipped)(
    'a schema that breaks the rule is refused at the start, before any record',
    async () => {
      const topicName = `schema-${randomUUID()}`
      const registry = memoryRegistry()
      await withClient(registry, async client => {
        const first = topic(topicName, { key: text, value: avro(version1), partitions: 1 })
        await client.admin.create(first)
        await (await client.producer(first)).close()
        const broken = topic(topicName, { key: text, value: jsonSchema<string>({ type: 'string' }), partitions: 1 })
        await expect(
          client.producer(broken).then(producer => producer.send({ key: 'k', value: 'x' }))
        ).rejects.toMatchObject({
          code: 'bad-schema',
          message: expect.stringContaining('the schema is JSON, version 1 is AVRO: use another subject')
        })
      })
    },
    60_000
  )
})

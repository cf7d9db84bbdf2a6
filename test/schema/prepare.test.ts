import { expect, test } from 'vitest'
import type { SchemaId } from '../../src/core/registry.ts'
import { avro } from '../../src/schema/index.ts'
import { placementOf } from '../../src/schema/placement.ts'
import { createWriters } from '../../src/schema/writers.ts'
import { bound, failure, stubRegistry } from './support.ts'

const payload = (id: number, rest = 'x'): Buffer => {
  const bytes = Buffer.alloc(6 + rest.length)
  bytes.writeUInt32BE(id, 1)
  bytes[5] = rest.length * 2
  bytes.write(rest, 6)
  return bytes
}

const placement = placementOf(stubRegistry({}), undefined, { part: 'value' })

test('nothing to wait for when all ids are known', async () => {
  const registry = stubRegistry({ 7: 'string', 8: 'bytes' })
  const codec = await bound(avro('string'), registry)
  expect(codec.prepare!([])).toBeUndefined()
  // Its own schema came with the registration.
  expect(codec.prepare!([payload(1)])).toBeUndefined()
  await codec.prepare!([payload(7), payload(8), payload(7)])
  expect(registry.asked).toEqual([7, 8])
  expect(codec.prepare!([payload(8), payload(7), payload(1)])).toBeUndefined()
  expect([payload(7), payload(8), payload(1)].map(bytes => codec.decode(bytes))).toEqual(['x', 'x', 'x'])
})

test('batches at the same time share one fetch', async () => {
  const registry = stubRegistry({ 7: 'string', 8: 'string' })
  const codec = await bound(avro('string'), registry)
  await Promise.all([
    codec.prepare!([payload(7)]),
    codec.prepare!([payload(7), payload(8)]),
    codec.prepare!([payload(8)])
  ])
  expect(registry.asked.sort()).toEqual([7, 8])
})

test('registry down: known ids go on, unknown ones reject and may be tried again', async () => {
  const registry = stubRegistry({ 7: 'string', 8: 'string' })
  const codec = await bound(avro('string'), registry)
  await codec.prepare!([payload(7)])
  registry.down = true
  expect(codec.prepare!([payload(7), payload(1)])).toBeUndefined()
  expect(codec.decode(payload(7))).toBe('x')
  const error = await failure('connection', () => codec.prepare!([payload(7), payload(8)]))
  expect(error.retryable).toBe(true)
  registry.down = false
  await codec.prepare!([payload(8)])
  expect(codec.decode(payload(8))).toBe('x')
})

test('an error of a foreign registry counts as connection', async () => {
  const registry = { ...stubRegistry({}), byId: () => Promise.reject(new Error('ECONNRESET')) }
  const codec = await bound(avro('string'), registry)
  expect((await failure('connection', () => codec.prepare!([payload(3)]))).retryable).toBe(true)
})

test('an id that no registry knows refuses its record, not the batch; it is asked for again', async () => {
  const schemas: Record<number, unknown> = { 7: 'string' }
  const registry = stubRegistry(schemas)
  const codec = await bound(avro('string'), registry)
  await codec.prepare!([payload(9), payload(7)])
  expect(codec.decode(payload(7))).toBe('x')
  expect((await failure('bad-schema', () => codec.decode(payload(9)))).message).toContain('no schema has id 9')
  schemas[9] = 'string'
  await codec.prepare!([payload(9)])
  expect(codec.decode(payload(9))).toBe('x')
})

test('a schema that cannot be read refuses its records and is not asked for again', async () => {
  const registry = stubRegistry({ 5: 'int', 6: { type: 'nonsense' } })
  const codec = await bound(avro('string'), registry)
  await codec.prepare!([payload(5), payload(6)])
  expect((await failure('bad-schema', () => codec.decode(payload(5)))).message).toContain(
    'cannot read records of schema 5'
  )
  await failure('bad-schema', () => codec.decode(payload(6)))
  expect(codec.prepare!([payload(5), payload(6)])).toBeUndefined()
})

test('bytes without a header do not disturb the others', async () => {
  const codec = await bound(avro('string'), stubRegistry({ 7: 'string' }))
  await codec.prepare!([Buffer.alloc(0), Buffer.from([1, 2, 3, 4, 5, 6]), payload(7)])
  expect(codec.decode(payload(7))).toBe('x')
})

test('what is remembered is bounded, and compiled once', async () => {
  const compiled: SchemaId[] = []
  const registry = { ...stubRegistry({}), byId: async (id: SchemaId) => ({ id, type: 'AVRO' as const, schema: '' }) }
  const writers = createWriters<SchemaId>(
    registry,
    ({ id }) => {
      compiled.push(id)
      return id
    },
    placement
  )
  const ids = Array.from({ length: 2_000 }, (_, index) => index)
  for (const id of ids) await writers.prepare([payload(id)])
  expect(compiled).toEqual(ids)
  // The last ones are there, whatever came before; the first ones are gone.
  for (const id of ids.slice(-256)) expect(writers.get(id)).toBe(id)
  expect(writers.prepare(ids.slice(-256).map(id => payload(id)))).toBeUndefined()
  await failure('bad-schema', () => writers.get(0))
  await writers.prepare([payload(0)])
  expect(writers.get(0)).toBe(0)
})

test('what one batch has prepared is not lost to another before it is decoded', async () => {
  const registry = { ...stubRegistry({}), byId: async (id: SchemaId) => ({ id, type: 'AVRO' as const, schema: '' }) }
  const writers = createWriters<SchemaId>(registry, ({ id }) => id, placement)
  await writers.prepare([payload(1)])
  for (let id = 1_000; id < 1_000 + 511; id++) {
    // Known, hence nothing to wait for, at whatever age.
    expect(writers.prepare([payload(1)])).toBeUndefined()
    for (let other = 0; other < 3; other++) await writers.prepare([payload(id * 10 + other)])
    expect(writers.get(1)).toBe(1)
  }
})

test('few requests at a time, however many ids a batch has', async () => {
  let open = 0
  let most = 0
  const registry = {
    ...stubRegistry({}),
    byId: async (id: SchemaId) => {
      most = Math.max(most, ++open)
      await new Promise(resolve => setImmediate(resolve))
      open--
      return { id, type: 'AVRO' as const, schema: '"string"' }
    }
  }
  const codec = await bound(avro('string'), registry)
  const batch = Array.from({ length: 100 }, (_, index) => payload(index + 10))
  await codec.prepare!(batch)
  expect(most).toBe(8)
  expect(batch.every(bytes => codec.decode(bytes) === 'x')).toBe(true)
})

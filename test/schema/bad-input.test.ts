import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import type { Codec } from '../../src/core/codec.ts'
import { checkAvro } from '../../src/schema/avro/compatibility.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { avro } from '../../src/schema/index.ts'
import { anySchema, schemaAndNext } from './any-schema.ts'
import { bound, failure, hex, stubRegistry, varint } from './support.ts'

// FUZZ_SEED repeats a run; without it each run has its own, printed.
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
beforeAll(() => console.log(`fuzz seed ${seed}: repeat with FUZZ_SEED=${seed}`))

const bare = (schema: unknown): Promise<Codec<any>> => bound(avro<any>(schema as object, { id: false }))

/** Refused as a bad record, quickly, and without taking memory for what is not there. */
async function refused(codec: Codec<any>, bytes: Buffer, limit = 200): Promise<string> {
  const memory = process.memoryUsage().rss
  const start = performance.now()
  const error = await failure('bad-record', () => codec.decode(bytes))
  expect(performance.now() - start).toBeLessThan(limit)
  expect(process.memoryUsage().rss - memory).toBeLessThan(200 * 2 ** 20)
  return error.message
}

const trade = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'note', type: ['null', 'string'] },
    { name: 'live', type: 'boolean' },
    { name: 'tags', type: { type: 'map', values: 'double' } },
    { name: 'legs', type: { type: 'array', items: { type: 'fixed', name: 'Leg', size: 2 } } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }
  ]
}
const value = {
  symbol: 'ACMÉ',
  cents: -(2n ** 60n),
  side: 'SELL',
  note: 'n',
  live: true,
  tags: { a: 1, b: 2 },
  legs: [Buffer.from('ab'), Buffer.from('cd')],
  at: new Date(1_700_000_000_000)
}

test('every truncation, and every byte too many', async () => {
  const codec = await bare(trade)
  const bytes = codec.encode(value)
  for (let length = 0; length < bytes.length; length++) await refused(codec, Buffer.from(bytes.subarray(0, length)))
  expect(await refused(codec, Buffer.concat([bytes, hex('00')]))).toContain('1 bytes follow the end')
})

test('lengths that lie', async () => {
  const text = await bare('string')
  for (const length of [-1n, 6n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)])
    await refused(text, Buffer.concat([varint(length), Buffer.from('hello')]))
  expect(await refused(text, Buffer.concat([varint(2n ** 40n), Buffer.from('hello')]))).toContain(
    'a length of 1099511627776 bytes, only 5 are left'
  )
  const raw = await bare('bytes')
  for (const length of [-1n, 6n, 2n ** 40n]) await refused(raw, Buffer.concat([varint(length), Buffer.from('hello')]))
  const numbers = await bare({ type: 'array', items: 'int' })
  for (const count of [2n, 2n ** 32n, 2n ** 50n, 2n ** 62n, -(2n ** 50n)])
    await refused(numbers, Buffer.concat([varint(count), hex('0200')]))
  // The size of a block is checked, forwards and backwards.
  for (const size of [0n, 2n, -2n, 2n ** 50n])
    await refused(numbers, Buffer.concat([varint(-1n), varint(size), hex('02 00')]))
})

test('items without a byte cannot be repeated without end', async () => {
  const empty = {
    type: 'record',
    name: 'Empty',
    fields: [
      { name: 'a', type: 'null' },
      { name: 'b', type: 'null' }
    ]
  }
  for (const items of ['null', empty, { type: 'fixed', name: 'Nothing', size: 0 }]) {
    const codec = await bare({ type: 'array', items })
    expect(codec.decode(Buffer.concat([varint(1000n), hex('00')]))).toHaveLength(1000)
    for (const count of [65_537n, 2n ** 27n, 2n ** 50n]) await refused(codec, Buffer.concat([varint(count), hex('00')]))
    // In many blocks: the limit is for the value.
    await refused(codec, Buffer.concat([...Array.from({ length: 200 }, () => varint(1000n)), hex('00')]))
  }
  const nested = await bare({ type: 'array', items: { type: 'array', items: 'null' } })
  await refused(
    nested,
    Buffer.concat([
      varint(100n),
      ...Array.from({ length: 100 }, () => Buffer.concat([varint(60_000n), hex('00')])),
      hex('00')
    ])
  )
})

test('fields that the reader skips are checked as well', async () => {
  const writer = {
    type: 'record',
    name: 'R',
    fields: [
      { name: 'skipped', type: { type: 'array', items: 'string' } },
      { name: 'b', type: 'int' }
    ]
  }
  const reader = { type: 'record', name: 'R', fields: [{ name: 'b', type: 'int' }] }
  const codec = await bound(avro<any>(reader, { register: false }), stubRegistry({ 7: writer }))
  const framed = (...parts: Buffer[]): Buffer => Buffer.concat([hex('00 00000007'), ...parts])
  await codec.prepare!([framed()])
  expect(codec.decode(framed(hex('02 02 61 00 06')))).toEqual({ b: 3 })
  // A block that jumps back to its own start: without the check, an endless loop.
  await refused(codec, framed(varint(-1n), varint(-2n), varint(0n), varint(1n)))
  await refused(codec, framed(varint(2n ** 50n), varint(0n)))
})

test('nesting is bounded', async () => {
  const list = await bare({ type: 'record', name: 'List', fields: [{ name: 'next', type: ['null', 'List'] }] })
  const depth = (levels: number): Buffer => Buffer.concat([Buffer.alloc(levels, 2), hex('00')])
  expect(list.decode(depth(400))).toBeTypeOf('object')
  for (const levels of [501, 100_000, 5_000_000]) expect(await refused(list, depth(levels))).toContain('nested deeper')
  const tree = await bare({
    type: 'record',
    name: 'Tree',
    fields: [{ name: 'children', type: { type: 'array', items: 'Tree' } }]
  })
  await refused(tree, Buffer.alloc(1_000_000, 2))
  // Many beside each other are not deep.
  const wide = { children: Array.from({ length: 2_000 }, () => ({ children: [{ children: [] }] })) }
  expect(tree.decode(tree.encode(wide))).toEqual(wide)
})

test('a long payload that is wrong at its end has built nothing', async () => {
  const longs = await bare({ type: 'array', items: 'long' })
  const count = 1_000_000
  // A million bigints and their list would take more than the limit of time.
  await refused(longs, Buffer.concat([varint(count), Buffer.alloc(count, 2), hex('00 00')]))
})

test('values out of range', async () => {
  await refused(await bare('boolean'), hex('02'))
  await refused(await bare('int'), varint(2n ** 31n))
  await refused(await bare('long'), hex('ffffffffffffffffff02'))
  await refused(await bare('long'), hex('80808080808080808080808001'))
  await refused(await bare('long'), Buffer.alloc(1_000_000, 0x80))
  await refused(await bare({ type: 'enum', name: 'E', symbols: ['A'] }), varint(1n))
  await refused(await bare({ type: 'enum', name: 'E', symbols: ['A'] }), varint(-1n))
  await refused(await bare(['null', 'int']), varint(2n))
  await refused(await bare(['null', 'int']), varint(-1n))
  await refused(await bare('string'), hex('04 c3 28'))
  await refused(await bare('string'), Buffer.concat([varint(100n), Buffer.alloc(99, 0x61), hex('ff')]))
  await refused(await bare({ type: 'long', logicalType: 'timestamp-millis' }), varint(8_640_000_000_000_001n))
  await refused(await bare({ type: 'long', logicalType: 'timestamp-micros' }), varint(2n ** 63n - 1n))
  await refused(await bare({ type: 'int', logicalType: 'date' }), varint(2n ** 31n - 1n))
})

test('a map cannot change the prototype of what it becomes', async () => {
  const codec = await bare({ type: 'map', values: { type: 'map', values: 'string' } })
  const bytes = Buffer.concat([
    varint(1n),
    varint(9n),
    Buffer.from('__proto__'),
    varint(1n),
    varint(1n),
    Buffer.from('x'),
    varint(1n),
    Buffer.from('y'),
    hex('0000')
  ])
  expect(await refused(codec, bytes)).toContain('__proto__')
  expect(({} as { x?: unknown }).x).toBeUndefined()
})

test('a schema that would make records endless or huge is refused', async () => {
  await failure('bad-schema', () => avro({ type: 'record', name: 'R', fields: [{ name: 'r', type: 'R' }] }))
  const doubling = Array.from({ length: 40 }, (_, level) => ({
    type: 'record',
    name: `R${level}`,
    fields:
      level === 0
        ? []
        : [
            { name: 'a', type: `R${level - 1}` },
            { name: 'b', type: `R${level - 1}` }
          ]
  }))
  await failure('bad-schema', () => avro(doubling))
  let deep: unknown = 'int'
  for (let level = 0; level < 100_000; level++) deep = { type: 'array', items: deep }
  await failure('bad-schema', () => avro(deep as object))
})

test('errors of bad bytes say where, and never what', async () => {
  const codec = await bare(trade)
  const bytes = codec.encode({ ...value, symbol: 'topsecret' })
  bytes[0] = 0xfe
  const message = await refused(codec, Buffer.from(bytes))
  expect(message).toContain('near Trade.symbol')
  expect(message).not.toContain('secret')
})

test('random bytes and random changes: a value or bad-record, nothing else', async () => {
  const reader = { ...trade, fields: [...trade.fields.slice(1, 7), { name: 'more', type: 'int', default: 1 }] }
  const evolved = await bound(avro<any>(reader, { register: false }), stubRegistry({ 7: trade }))
  await evolved.prepare!([hex('00 00000007')])
  const recursive = await bare({
    type: 'record',
    name: 'Tree',
    fields: [
      { name: 'children', type: { type: 'array', items: ['null', 'Tree', { type: 'map', values: 'Tree' }] } },
      { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 2 } }
    ]
  })
  const codec = await bare(trade)
  const good = codec.encode(value)
  const survives = (subject: Codec<any>, bytes: Uint8Array): void => {
    let decoded: unknown
    try {
      decoded = subject.decode(bytes)
    } catch (error) {
      if (!StreamError.is(error) || error.code !== 'bad-record') throw error
      return
    }
    // What decodes can be encoded again.
    if (subject !== evolved) expect(subject.decode(subject.encode(decoded))).toEqual(decoded)
  }
  const options = { seed, numRuns: 3_000 }
  const start = performance.now()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => survives(codec, bytes)),
    options
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => survives(recursive, bytes)),
    options
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), changes => {
      const bytes = Buffer.from(good)
      for (const [index, byte] of changes) bytes[index] = byte
      survives(codec, bytes)
      survives(evolved, Buffer.concat([hex('00 00000007'), bytes]))
    }),
    options
  )
  expect(performance.now() - start).toBeLessThan(20_000)
})

test('any schema, any bytes: what decodes encodes again, and is read by every compatible schema', async () => {
  const small = fc.array(fc.oneof({ weight: 6, arbitrary: fc.nat(5) }, { weight: 1, arbitrary: fc.nat(255) }), {
    maxLength: 24
  })
  const pair = fc.oneof(fc.tuple(anySchema(2), anySchema(2)), schemaAndNext(2))
  const outcomes = { read: 0, refused: 0, evolved: 0 }
  await fc.assert(
    fc.asyncProperty(pair, fc.array(small, { minLength: 8, maxLength: 8 }), async ([schema, reader], samples) => {
      const codec = await bare(schema)
      const compatible = checkAvro(parseAvro(reader), parseAvro(schema)).length === 0
      const other = await bound(avro<any>(reader as object, { register: false }), stubRegistry({ 7: schema }))
      await other.prepare!([hex('00 00000007')])
      for (const sample of samples) {
        let decoded: unknown
        try {
          decoded = codec.decode(Buffer.from(sample))
        } catch (error) {
          if (!StreamError.is(error) || error.code !== 'bad-record') throw error
          outcomes.refused++
          continue
        }
        outcomes.read++
        const bytes = codec.encode(decoded)
        expect(codec.decode(bytes)).toEqual(decoded)
        const framed = Buffer.concat([hex('00 00000007'), bytes])
        if (compatible) {
          // Bytes may become text, and not every bytes are text.
          const result = await Promise.resolve(framed)
            .then(other.decode)
            .catch((error: unknown) => error)
          if (result instanceof Error) expect(result.message).toContain('UTF-8')
          outcomes.evolved++
        } else await failure('bad-schema', () => other.decode(framed))
      }
    }),
    { seed, numRuns: 1_500 }
  )
  for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(50)
})

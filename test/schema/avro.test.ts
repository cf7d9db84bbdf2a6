import { expect, test } from 'vitest'
import { load } from '../../src/schema/avro/peer.ts'
import { avro, memoryRegistry } from '../../src/schema/index.ts'
import { bound, failure } from './support.ts'

const trade = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    {
      name: 'legs',
      type: { type: 'array', items: { type: 'record', name: 'Leg', fields: [{ name: 'price', type: 'double' }] } }
    }
  ]
} as const

const roundTrips = async (codec: ReturnType<typeof avro<any>>, ...values: unknown[]): Promise<void> => {
  const ready = await bound(codec)
  for (const value of values) expect(ready.decode(ready.encode(value))).toEqual(value)
}

test('values look natural in JavaScript', async () => {
  const values = await bound(
    avro(
      {
        type: 'record',
        name: 'All',
        fields: [
          { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
          { name: 'exactly', type: { type: 'long', logicalType: 'timestamp-micros' } },
          { name: 'on', type: { type: 'int', logicalType: 'date' } },
          { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 } },
          {
            name: 'rate',
            type: { type: 'fixed', name: 'Rate', size: 4, logicalType: 'decimal', precision: 9, scale: 4 }
          },
          { name: 'big', type: 'long' },
          { name: 'raw', type: 'bytes' },
          { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 3 } },
          { name: 'maybe', type: ['null', { type: 'long', logicalType: 'timestamp-millis' }] },
          { name: 'blob', type: ['null', 'bytes'] },
          { name: 'tags', type: { type: 'map', values: 'int' } }
        ]
      },
      { id: false }
    )
  )
  const value = {
    at: new Date('2024-05-06T07:08:09.123Z'),
    exactly: new Date('9999-12-31T23:59:59.999Z'),
    on: new Date('1969-12-30T00:00:00Z'),
    fee: '-1234567890.05',
    rate: '0.0001',
    big: 2n ** 63n - 1n,
    raw: new Uint8Array([1, 2, 255]),
    hash: new Uint8Array([7, 8, 9]),
    maybe: new Date(0),
    blob: new Uint8Array([4]),
    tags: { a: 1, b: -2 }
  }
  const decoded = values.decode(values.encode(value))
  expect({
    ...decoded,
    raw: new Uint8Array(decoded.raw),
    hash: new Uint8Array(decoded.hash),
    blob: new Uint8Array(decoded.blob!)
  }).toEqual(value)
  expect(values.decode(values.encode({ ...value, maybe: null, blob: null })).maybe).toBeNull()
})

test('a date is a day: the time of the day is cut off, a day before 1970 too', async () => {
  const codec = await bound(avro({ type: 'int', logicalType: 'date' }, { id: false }))
  expect(codec.decode(codec.encode(new Date('2024-02-29T23:59:59Z')))).toEqual(new Date('2024-02-29T00:00:00Z'))
  expect(codec.decode(codec.encode(new Date('1969-12-31T23:59:59Z')))).toEqual(new Date('1969-12-31T00:00:00Z'))
})

test('microseconds below the millisecond are cut off towards the past', async () => {
  const raw = await bound(avro('long', { id: false }))
  const codec = await bound(avro({ type: 'long', logicalType: 'timestamp-micros' }, { id: false }))
  expect(codec.decode(raw.encode(1999n)).getTime()).toBe(1)
  expect(codec.decode(raw.encode(-1n)).getTime()).toBe(-1)
  expect(codec.decode(raw.encode(-2000n)).getTime()).toBe(-2)
})

test('long is a bigint of 64 bits, or a number that refuses to round', async () => {
  await roundTrips(
    avro<any>('"long"', { id: false }),
    0n,
    -1n,
    63n,
    -64n,
    64n,
    2n ** 31n,
    -(2n ** 31n) - 1n,
    2n ** 52n,
    2n ** 53n + 1n,
    -(2n ** 63n)
  )
  const numbers = await bound(avro('long', { id: false, long: 'number' }))
  const bigints = await bound(avro('long', { id: false }))
  expect(numbers.decode(bigints.encode(-123456789012n))).toBe(-123456789012)
  await failure('bad-record', () => numbers.decode(bigints.encode(2n ** 53n)))
  await failure('bad-record', () => numbers.encode(2 ** 53))
  await failure('bad-record', () => bigints.encode(2n ** 63n))
})

test('unions: plain when typeof tells, else wrapped by the name of the branch', async () => {
  await roundTrips(
    avro<any>(['null', 'int', 'long', 'string', 'boolean', { type: 'array', items: 'int' }], { id: false }),
    null,
    1,
    2n,
    'x',
    true,
    [1]
  )
  await roundTrips(avro<any>(['null', 'int', 'double'], { id: false }), null, { int: 1 }, { double: 1.5 })
  const record = (name: string) => ({ type: 'record', name, namespace: 'a.b', fields: [{ name: 'x', type: 'int' }] })
  await roundTrips(
    avro<any>([record('One'), record('Two')], { id: false }),
    { 'a.b.One': { x: 1 } },
    { 'a.b.Two': { x: 2 } }
  )
  // Both are objects, so that this is wrapped too.
  const dated = await bound(
    avro(
      [
        { type: 'long', logicalType: 'timestamp-millis' },
        { type: 'map', values: 'int' }
      ],
      { id: false }
    )
  )
  expect(dated.decode(dated.encode({ long: new Date(5) }))).toEqual({ long: new Date(5) })
})

test('recursive schemas', async () => {
  const codec = await bound(
    avro(
      {
        type: 'record',
        name: 'Node',
        namespace: 'tree',
        fields: [
          { name: 'value', type: 'int' },
          { name: 'next', type: ['null', 'Node'] },
          { name: 'children', type: { type: 'map', values: 'tree.Node' } }
        ]
      },
      { id: false }
    )
  )
  const leaf = { value: 1, next: null, children: {} }
  const tree = { value: 2, next: leaf, children: { a: leaf, b: { ...leaf, next: leaf } } }
  expect(codec.decode(codec.encode(tree))).toEqual(tree)
})

test('a name without a namespace inside a namespace, and absolute references', async () => {
  const codec = avro<any>(
    {
      type: 'record',
      name: 'deep.Outer',
      fields: [
        { name: 'a', type: { type: 'enum', name: 'Bare', namespace: '', symbols: ['X'] } },
        { name: 'b', type: '.Bare' },
        { name: 'c', type: { type: 'fixed', name: 'Inner', size: 1 } },
        { name: 'd', type: 'deep.Inner' }
      ]
    },
    { id: false }
  )
  await roundTrips(codec, { a: 'X', b: 'X', c: Buffer.from([1]), d: Buffer.from([2]) })
})

test('errors name the path and what was expected, never the value', async () => {
  const codec = await bound(avro(trade, { id: false }))
  const good = { symbol: 'ACME', cents: 1n, side: 'BUY' as const, legs: [{ price: 1 }] }
  const refusal = async (value: object): Promise<string> =>
    (await failure('bad-record', () => codec.encode({ ...good, ...value }))).message
  expect(await refusal({ cents: 'secret-1' })).toBe(
    "'cents' does not fit the schema: expected a bigint of 64 bits, got string"
  )
  expect(await refusal({ cents: 5 })).toContain(
    "'cents' does not fit the schema: expected a bigint of 64 bits, got number"
  )
  expect(await refusal({ side: 'secret-2' })).toBe(
    "'side' does not fit the schema: expected a symbol of Side, got string"
  )
  expect(await refusal({ side: 'constructor' })).toContain("'side'")
  expect(await refusal({ legs: [{ price: 1 }, { price: 'secret-3' }] })).toBe(
    "'legs.1.price' does not fit the schema: expected double, got string"
  )
  expect(await refusal({ symbol: undefined })).toContain(
    "'symbol' does not fit the schema: expected a well-formed string, got undefined"
  )
  expect(await refusal({ symbol: 'half \ud800 pair' })).toContain("'symbol'")
  await failure('bad-record', () => codec.encode(null as never))
  await failure('bad-record', () => codec.encode('secret-4' as never))
  // An error leaves nothing behind.
  expect(codec.decode(codec.encode(good))).toEqual(good)
})

test('values that no reader would take are not written', async () => {
  const map = await bound(avro({ type: 'map', values: 'int' }, { id: false }))
  await failure('bad-record', () => map.encode(JSON.parse('{"__proto__":1}') as Record<string, number>))
  const list = await bound(
    avro<any>({ type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] }, { id: false })
  )
  let deep: unknown = null
  for (let depth = 0; depth < 600; depth++) deep = { next: deep }
  await failure('bad-record', () => list.encode(deep))
  const endless: { next: unknown } = { next: null }
  endless.next = endless
  await failure('bad-record', () => list.encode(endless))
  const nulls = await bound(avro({ type: 'array', items: 'null' }, { id: false }))
  await failure('bad-record', () => nulls.encode(Array.from({ length: 70_000 }, () => null)))
  const decimals = await bound(avro({ type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 }, { id: false }))
  for (const wrong of ['1.234', '123', '', 'x', '1e3', ' 1', '1.'])
    await failure('bad-record', () => decimals.encode(wrong))
  expect(decimals.decode(decimals.encode('+1.500'))).toBe('1.50')
  await failure('bad-record', () => decimals.encode(1.5 as never))
  const times = await bound(avro({ type: 'long', logicalType: 'timestamp-millis' }, { id: false }))
  await failure('bad-record', () => times.encode(new Date(Number.NaN)))
  await failure('bad-record', () => times.encode(5 as never))
})

test('an encoded value stays as it is, whatever is encoded after it', async () => {
  const codec = await bound(avro('string', { id: false }))
  const texts = Array.from({ length: 3_000 }, (_, index) => `${index}:${'x'.repeat(index % 97)}`)
  const large = 'y'.repeat(100_000)
  texts.splice(1_500, 0, large, large)
  const encoded = texts.map(text => codec.encode(text))
  expect(encoded.map(bytes => codec.decode(bytes))).toEqual(texts)
  // Neighbours do not share a byte.
  encoded[0]!.fill(0)
  expect(codec.decode(encoded[1]!)).toBe(texts[1])
})

test('what is decoded does not live in the bytes it came from', async () => {
  const codec = await bound(avro('bytes', { id: false }))
  const bytes = codec.encode(new Uint8Array([1, 2, 3]))
  const decoded = codec.decode(bytes)
  bytes.fill(9)
  expect([...decoded]).toEqual([1, 2, 3])
})

test('bytes come in as any Uint8Array, at an offset too', async () => {
  const codec = await bound(avro(trade, { id: false }))
  const value = { symbol: 'A', cents: -5n, side: 'SELL' as const, legs: [] }
  const bytes = codec.encode(value)
  const room = new Uint8Array(bytes.length + 7)
  room.set(bytes, 4)
  expect(codec.decode(room.subarray(4, 4 + bytes.length))).toEqual(value)
})

test('an unbound codec, a client without a registry, a missing package: each says what to do', async () => {
  const codec = avro(trade)
  expect((await failure('bad-config', () => codec.encode({} as never))).message).toContain('bind')
  expect((await failure('bad-config', () => codec.decode(Buffer.alloc(6)))).message).toContain('bind')
  const missing = await failure('bad-config', () => bound(codec))
  expect(missing.message).toContain("connect({ registry: fileRegistry('./schemas') })")
  expect(missing.message).toContain("topic 'trades'")
  const absent = await failure('peer-missing', () => load(() => Promise.reject(new Error('not found'))))
  expect(absent.message).toContain('npm install avsc')
  await failure('peer-missing', () => load(() => Promise.resolve({ default: {} })))
  await failure('bad-config', () => avro('string', { idd: false } as never))
  await failure('bad-config', () => avro('string', { long: 'float' } as never))
})

test('register: false only looks up', async () => {
  const registry = memoryRegistry()
  const reader = { type: 'record', name: 'Trade', fields: [{ name: 'symbol', type: 'string' }] } as const
  const lookedUp = await bound(avro(reader, { register: false }), registry)
  expect(await registry.subjects()).toEqual([])
  expect((await failure('bad-schema', () => lookedUp.encode({ symbol: 'A' }))).message).toContain(
    "not registered under 'trades-value'"
  )
  const writer = await bound(avro(trade), registry)
  const bytes = writer.encode({ symbol: 'ACME', cents: 1n, side: 'BUY', legs: [] })
  const projection = await bound(avro(reader, { register: false }), registry)
  await projection.prepare!([bytes])
  expect(projection.decode(bytes)).toEqual({ symbol: 'ACME' })
  // Now it is there: the same bytes as from the one that registered it.
  const again = await bound(avro({ ...trade, doc: 'said differently' }, { register: false }), registry)
  expect(again.encode({ symbol: 'ACME', cents: 1n, side: 'BUY', legs: [] })).toEqual(bytes)
  expect(await registry.versions('trades-value')).toHaveLength(1)
  // It could not read what is there: refused at start.
  const other = avro(
    { type: 'record', name: 'Trade', fields: [{ name: 'venue', type: 'string' }] },
    { register: false }
  )
  expect((await failure('bad-schema', () => bound(other, registry))).message).toContain(
    "field 'Trade.venue' is not written, and has no default"
  )
})

test('an incompatible schema is refused at start, with the sentences', async () => {
  const registry = memoryRegistry()
  await bound(avro(trade), registry)
  const next = avro({ ...trade, fields: [...trade.fields, { name: 'venue', type: 'string' }] })
  const refused = await failure('bad-schema', () => bound(next, registry))
  expect(refused.message).toContain(
    "field 'Trade.venue' is not written, and has no default for the reader (backward: the new schema must read version 1)"
  )
  expect(await registry.versions('trades-value')).toHaveLength(1)
})

test('one definition serves several clients', async () => {
  const codec = avro('string')
  const [left, right] = [memoryRegistry(), memoryRegistry()]
  await right.register('first', { type: 'AVRO', schema: '"int"' })
  const [leftCodec, rightCodec] = [await bound(codec, left), await bound(codec, right)]
  expect(leftCodec.encode('a')[4]).toBe(1)
  expect(rightCodec.encode('a')[4]).toBe(2)
})

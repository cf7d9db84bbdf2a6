import { expect, test } from 'vitest'
import { avro } from '../../src/schema/index.ts'
import { bound, failure, stubRegistry } from './support.ts'

const record = (fields: readonly object[], more: object = {}): object => ({
  type: 'record',
  name: 'Trade',
  fields,
  ...more
})

/** What a reader with `reader` sees of `value` written with `writer`. */
async function evolve(writer: unknown, reader: unknown, value: unknown, options: object = {}): Promise<unknown> {
  const bytes = (await bound(avro<any>(writer as object, { id: false, ...options }))).encode(value)
  const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), bytes])
  const codec = await bound(avro<any>(reader as object, { register: false, ...options }), stubRegistry({ 7: writer }))
  await codec.prepare!([framed])
  return codec.decode(framed)
}

const symbol = { name: 'symbol', type: 'string' }

test('an added field takes its default, of any type', async () => {
  const added = [
    { name: 'count', type: 'long', default: 5 },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'raw', type: 'bytes', default: '\u00ff\u0001' },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' }, default: 1000 },
    { name: 'fee', type: { type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 }, default: '\u0001\u0000' },
    { name: 'tags', type: { type: 'map', values: 'long' }, default: { a: 1 } },
    {
      name: 'legs',
      type: { type: 'array', items: { type: 'record', name: 'Leg', fields: [{ name: 'n', type: 'long' }] } },
      default: [{ n: 3 }]
    },
    { name: 'either', type: ['int', 'double'], default: 2 }
  ]
  expect(await evolve(record([symbol]), record([symbol, ...added]), { symbol: 'A' })).toEqual({
    symbol: 'A',
    count: 5n,
    note: null,
    raw: Buffer.from([255, 1]),
    at: new Date(1000),
    fee: '2.56',
    tags: { a: 1n },
    legs: [{ n: 3n }],
    either: { int: 2 }
  })
})

test('the default of one record is not the default of another', async () => {
  const reader = record([symbol, { name: 'tags', type: { type: 'array', items: 'int' }, default: [] }])
  const first = (await evolve(record([symbol]), reader, { symbol: 'A' })) as { tags: number[] }
  first.tags.push(1)
  expect(await evolve(record([symbol]), reader, { symbol: 'A' })).toEqual({ symbol: 'A', tags: [] })
})

test('a removed field is skipped, whatever it holds', async () => {
  const fields = [
    { name: 'a', type: { type: 'array', items: 'string' } },
    { name: 'b', type: { type: 'map', values: ['null', 'long'] } },
    { name: 'c', type: { type: 'fixed', name: 'F', size: 3 } },
    { name: 'd', type: { type: 'long', logicalType: 'timestamp-micros' } },
    symbol,
    { name: 'e', type: 'double' }
  ]
  const value = { a: ['x', 'y'], b: { k: 9n, l: null }, c: Buffer.alloc(3), d: new Date(1), symbol: 'A', e: 1 }
  expect(await evolve(record(fields), record([symbol]), value)).toEqual({ symbol: 'A' })
})

test('aliases rename fields and types', async () => {
  const writer = record([{ name: 'ticker', type: 'string' }], { name: 'old.Deal' })
  const reader = record([{ name: 'symbol', type: 'string', aliases: ['ticker'] }], { aliases: ['Deal'] })
  expect(await evolve(writer, reader, { ticker: 'A' })).toEqual({ symbol: 'A' })
})

test('numbers are promoted, strings and bytes read as each other', async () => {
  const over = (type: unknown): object => record([{ name: 'n', type }])
  const read = async (writer: unknown, reader: unknown, value: unknown, options?: object): Promise<unknown> =>
    ((await evolve(over(writer), over(reader), { n: value }, options)) as { n: unknown }).n
  expect(await read('int', 'long', -3)).toBe(-3n)
  expect(await read('int', 'long', -3, { long: 'number' })).toBe(-3)
  expect(await read('int', 'float', 3)).toBe(3)
  expect(await read('int', 'double', 3)).toBe(3)
  expect(await read('long', 'float', -300n)).toBe(-300)
  expect(await read('long', 'double', 2n ** 40n)).toBe(2 ** 40)
  expect(await read('float', 'double', 0.5)).toBe(0.5)
  expect(await read('string', 'bytes', 'é')).toEqual(Buffer.from('é'))
  expect(await read('bytes', 'string', Buffer.from('é'))).toBe('é')
  await failure('bad-record', () => read('bytes', 'string', Buffer.from([0xc3])))
  expect(await read('int', ['null', 'long'], 3)).toBe(3n)
  expect(await read(['null', 'int'], ['null', 'string', 'long'], 3)).toBe(3n)
  await failure('bad-schema', () => read('long', 'int', 3n))
  await failure('bad-schema', () => read('string', 'int', 'x'))
})

test('logical types may come and go, and not change', async () => {
  const at = { type: 'long', logicalType: 'timestamp-millis' }
  const micros = { type: 'long', logicalType: 'timestamp-micros' }
  expect(await evolve(at, 'long', new Date(5))).toBe(5n)
  expect(await evolve('long', at, 5n)).toEqual(new Date(5))
  expect(await evolve('int', at, 5)).toEqual(new Date(5))
  expect(await evolve('long', micros, 5_000n)).toEqual(new Date(5))
  expect(await evolve(micros, 'long', new Date(5))).toBe(5_000n)
  expect(await evolve(['null', at], ['null', 'string', at], new Date(5))).toEqual(new Date(5))
  await failure('bad-schema', () => evolve(at, micros, new Date(5)))
  const decimal = (precision: number, scale: number): object => ({
    type: 'bytes',
    logicalType: 'decimal',
    precision,
    scale
  })
  expect(await evolve(decimal(4, 2), decimal(9, 2), '1.25')).toBe('1.25')
  expect(await evolve(decimal(4, 2), 'bytes', '1.25')).toEqual(Buffer.from([125]))
  expect(await evolve('bytes', decimal(4, 2), Buffer.from([0xff, 0x83]))).toBe('-1.25')
  await failure('bad-schema', () => evolve(decimal(4, 2), decimal(4, 1), '1.25'))
})

test('enums: a symbol that the reader does not know becomes its default', async () => {
  const side = (symbols: string[], more: object = {}): object => ({ type: 'enum', name: 'Side', symbols, ...more })
  expect(await evolve(side(['BUY', 'SELL', 'SHORT']), side(['SELL', 'BUY'], { default: 'SELL' }), 'SHORT')).toBe('SELL')
  expect(await evolve(side(['BUY', 'SELL']), side(['SELL', 'BUY']), 'BUY')).toBe('BUY')
  await failure('bad-schema', () => evolve(side(['BUY', 'SHORT']), side(['BUY']), 'BUY'))
})

test('a branch of a union is read as the branch of the same name, also when another could', async () => {
  const fields = [{ name: 'u', type: ['null', 'bytes', 'string'] }]
  const reader = record([...fields, { name: 'more', type: 'int', default: 0 }])
  expect(await evolve(record(fields), reader, { u: 'text' })).toEqual({ u: 'text', more: 0 })
  const wrapped = [{ name: 'u', type: ['long', 'double', 'int'] }]
  const options = { long: 'number' }
  expect(await evolve(record(wrapped), record([...wrapped, symbolWithDefault]), { u: { int: 4 } }, options)).toEqual({
    u: { int: 4 },
    symbol: ''
  })
})
const symbolWithDefault = { name: 'symbol', type: 'string', default: '' }

test('recursive schemas evolve', async () => {
  const node = (...more: object[]): object => ({
    type: 'record',
    name: 'Node',
    fields: [{ name: 'next', type: ['null', 'Node'] }, ...more]
  })
  const value = { next: { next: null } }
  expect(await evolve(node(), node({ name: 'n', type: 'int', default: 1 }), value)).toEqual({
    next: { next: null, n: 1 },
    n: 1
  })
})

test("a writer's default that Avro forbids does not stop a reader", async () => {
  const writer = record([symbol, { name: 'note', type: ['string', 'null'], default: 'x' }])
  const lenient = JSON.parse(JSON.stringify(writer).replace('"default":"x"', '"default":null')) as object
  const bytes = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 7]),
    (await bound(avro<any>(writer, { id: false }))).encode({ symbol: 'A', note: null })
  ])
  const codec = await bound(avro<any>(record([symbol]), { register: false }), stubRegistry({ 7: lenient }))
  await codec.prepare!([bytes])
  expect(codec.decode(bytes)).toEqual({ symbol: 'A' })
  await failure('bad-schema', () => avro(lenient))
})

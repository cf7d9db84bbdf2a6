import { create, equals } from '@bufbuild/protobuf'
import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import { describe, expect, test } from 'vitest'
import {
  avro,
  checkCompatibility,
  memoryRegistry,
  protobuf,
  topicRecordName,
  type SchemaText
} from '../../src/schema/index.ts'
import { parseProto } from '../../src/schema/protobuf/parse.ts'
import { loadParser } from '../../src/schema/protobuf/peer.ts'
import { Side } from './generated/common/side_pb.js'
import {
  HeaderSchema,
  Trade_LegSchema,
  TradeSchema,
  type Header,
  type Trade,
  type Trade_Leg
} from './generated/trade_pb.js'
import { bound, failure, hex } from './support.ts'

const trade = (): Trade =>
  create(TradeSchema, {
    symbol: 'ÄBC',
    cents: -(2n ** 62n),
    side: Side.SELL,
    at: timestampFromDate(new Date('2024-02-29T12:00:00.123Z')),
    legs: [{ price: 1.5, steps: [-1n, 2n] }, {}],
    counts: { a: 1n, b: 2n ** 63n },
    settlement: { case: 'party', value: { name: 'x', agent: { name: 'y' } } },
    raw: new Uint8Array([0, 255]),
    live: true
  })

test('there and back, alone and behind the id of the schema', async () => {
  const bare = await bound(protobuf<Trade>(TradeSchema))
  expect(equals(TradeSchema, bare.decode(bare.encode(trade())), trade())).toBe(true)
  const registry = memoryRegistry()
  const codec = await bound(protobuf<Trade>(TradeSchema), registry)
  const bytes = codec.encode(trade())
  // Trade is the second message of its file: one index, 1, both zigzag.
  expect(Buffer.from(bytes).subarray(0, 7)).toEqual(hex('00 00000002 02 02'))
  expect(codec.prepare!([bytes])).toBeUndefined()
  expect(equals(TradeSchema, codec.decode(bytes), trade())).toBe(true)
})

test('message indexes: the first message is a zero, a nested one has its path', async () => {
  const registry = memoryRegistry()
  const header = await bound(protobuf<Header>(HeaderSchema, { subject: topicRecordName }), registry)
  expect(Buffer.from(header.encode(create(HeaderSchema, { source: 's' })))).toEqual(hex('00 00000002 00 0a0173'))
  const leg = await bound(protobuf<Trade_Leg>(Trade_LegSchema, { subject: topicRecordName }), registry)
  expect(Buffer.from(leg.encode(create(Trade_LegSchema)))).toEqual(hex('00 00000002 04 02 00'))
  expect(await registry.subjects()).toEqual([
    'common/side.proto',
    'trades-tidemark.test.Header',
    'trades-tidemark.test.Trade.Leg'
  ])
})

test('files that are imported are registered under their paths, and referred to', async () => {
  const registry = memoryRegistry()
  await bound(protobuf<Trade>(TradeSchema), registry)
  expect(await registry.latest('trades-value')).toMatchObject({
    type: 'PROTOBUF',
    references: [{ name: 'common/side.proto', subject: 'common/side.proto', version: 1 }]
  })
  const text = (await registry.latest('trades-value'))!.schema
  expect(text).toContain('map<string, fixed64> counts = 6;')
  expect(text).toContain('optional bytes raw = 9;')
  // A second start registers nothing.
  await bound(protobuf<Trade>(TradeSchema), registry)
  expect(await registry.versions('trades-value')).toHaveLength(1)
})

test('what another version wrote is read, when its fields mean the same', async () => {
  const registry = memoryRegistry()
  await registry.setCompatibility('none')
  const codec = await bound(protobuf<Header>(HeaderSchema), registry)
  const older = await registry.register('older', {
    type: 'PROTOBUF',
    schema: 'syntax = "proto3"; package tidemark.test; message Header { string source = 1; int32 more = 2; }'
  })
  const other = await registry.register('other', {
    type: 'PROTOBUF',
    schema: 'syntax = "proto3"; package tidemark.test; message Header { fixed64 source = 1; } message Trade {}'
  })
  const payload = (id: unknown, rest: string): Buffer => hex(`00 ${Number(id).toString(16).padStart(8, '0')} ${rest}`)
  const [good, bad] = [payload(older.id, '00 0a0173 1005'), payload(other.id, '00 0a0173')]
  await codec.prepare!([good, bad])
  expect(codec.decode(good).source).toBe('s')
  expect((await failure('bad-schema', () => codec.decode(bad))).message).toContain(
    "field 'tidemark.test.Header.source' (1) is fixed64"
  )
  expect((await failure('bad-schema', () => codec.decode(payload(other.id, '02 02 0a0173')))).message).toBe(
    'the record is a tidemark.test.Trade, expected tidemark.test.Header'
  )
  expect((await failure('bad-schema', () => codec.decode(payload(older.id, '02 08')))).message).toContain(
    'no message at index 4'
  )
})

test('bytes that are none', async () => {
  const registry = memoryRegistry()
  const codec = await bound(protobuf<Trade>(TradeSchema), registry)
  const foreign = await bound(avro('string'), registry, 'others')
  const text = foreign.encode('x')
  await codec.prepare!([text, hex('00 000000ff 00')])
  expect((await failure('bad-schema', () => codec.decode(text))).message).toContain('is AVRO, expected PROTOBUF')
  expect((await failure('bad-schema', () => codec.decode(hex('00 000000ff 00')))).message).toContain(
    'no schema has id 255'
  )
  for (const bytes of [
    '',
    '01',
    '00 0000',
    '01 00000001 00',
    '00 00000002',
    '00 00000002 80',
    '00 00000002 01',
    '00 00000002 ffffffff7f 00',
    '00 00000002 80ff 00'
  ])
    await failure('bad-record', () => codec.decode(hex(bytes)))
  for (const body of ['0a', '0aff', '0a ffffffff0f', '07', '00', '0a02c3', '2a03 0a0173', 'ffffffffffffffffffff01'])
    await failure('bad-record', () => codec.decode(hex(`00 00000002 02 02 ${body}`))).catch(error => {
      // Malformed text and unknown fields are values to the package.
      if (!['0a02c3', '2a03 0a0173'].includes(body)) throw error
    })
  // A hundred thousand parties, one inside the other.
  let deep = Buffer.alloc(0)
  const heads: Buffer[] = []
  for (let size = 0, depth = 0; depth < 100_000; depth++) {
    const head: number[] = [0x12]
    for (let rest = size; ; rest >>>= 7) {
      head.push(rest < 128 ? rest : (rest & 127) | 128)
      if (rest < 128) break
    }
    heads.push(Buffer.from(head))
    size += head.length
  }
  deep = Buffer.concat(heads.toReversed())
  const length: number[] = []
  for (let rest = deep.length; ; rest >>>= 7) {
    length.push(rest < 128 ? rest : (rest & 127) | 128)
    if (rest < 128) break
  }
  await failure('bad-record', () =>
    codec.decode(Buffer.concat([hex('00 00000002 02 02 42'), Buffer.from(length), deep]))
  )
})

test('values that do not fit are refused, and not shown', async () => {
  const codec = await bound(protobuf<Trade>(TradeSchema))
  await failure('bad-record', () => codec.encode({ symbol: 'x' } as Trade))
  const wrong = create(TradeSchema)
  ;(wrong as { cents: unknown }).cents = 'secret'
  const error = await failure('bad-record', () => codec.encode(wrong))
  expect(error.message).toBe("field 'tidemark.test.Trade.cents' does not fit its type")
  await failure('bad-config', () => protobuf({ typeName: 'x' }))
  await failure('bad-config', () => protobuf(TradeSchema, { nope: 1 } as never))
  await failure('bad-config', () => protobuf<Trade>(TradeSchema).encode(trade()))
})

describe('compatibility', () => {
  const proto = (body: string): SchemaText => ({ type: 'PROTOBUF', schema: `syntax = "proto3"; package p;\n${body}` })
  const message = (body: string): SchemaText =>
    proto(`message M { ${body} } enum E { A = 0; B = 1; } enum F { C = 0; } message N { int32 n = 1; }`)
  const check = (next: SchemaText, before: SchemaText): Promise<readonly string[]> =>
    checkCompatibility('backward', next, [before])

  test.each([
    ['a new field', 'int32 a = 1; int32 b = 2;', 'int32 a = 1;'],
    ['a field less', 'int32 a = 1;', 'int32 a = 1; int32 b = 2;'],
    ['another name', 'int32 x = 1;', 'int32 a = 1;'],
    ['int32 and int64', 'int64 a = 1;', 'int32 a = 1;'],
    ['bool and uint32', 'bool a = 1;', 'uint32 a = 1;'],
    ['string and bytes', 'bytes a = 1;', 'string a = 1;'],
    ['enum and int32', 'int32 a = 1;', 'E a = 1;'],
    ['one field into a new oneof', 'oneof o { int32 a = 1; int32 b = 2; }', 'int32 a = 1;'],
    ['a oneof that grows', 'oneof o { int32 a = 1; int32 b = 2; }', 'oneof o { int32 a = 1; }'],
    ['optional', 'optional int32 a = 1;', 'int32 a = 1;']
  ])('allowed: %s', async (_, next, before) => {
    expect(await check(message(next), message(before))).toEqual([])
  })

  test.each([
    ['type', 'string a = 1;', 'int32 a = 1;', "field 'p.M.a' (1) is int32 for the writer and string for the reader"],
    ['zigzag', 'sint32 a = 1;', 'int32 a = 1;', 'is int32 for the writer and sint32'],
    ['fixed', 'fixed64 a = 1;', 'fixed32 a = 1;', 'is fixed32 for the writer and fixed64'],
    ['repeated', 'repeated int32 a = 1;', 'int32 a = 1;', 'is single for the writer and repeated for the reader'],
    ['number', 'int32 a = 2;', 'int32 a = 1;', 'has the number 2 for the reader'],
    ['message', 'N a = 1;', 'string a = 1;', 'is string for the writer and message p.N'],
    ['map', 'map<string, int32> a = 1;', 'map<int32, int32> a = 1;', 'is map<int32, int32> for the writer'],
    ['symbols', 'F a = 1;', 'E a = 1;', 'may hold 1 of enum p.E'],
    [
      'two into a oneof',
      'oneof o { int32 a = 1; int32 b = 2; }',
      'int32 a = 1; int32 b = 2;',
      "is in oneof 'o' for the reader"
    ]
  ])('refused: %s', async (_, next, before, sentence) => {
    const [first, ...more] = await check(message(next), message(before))
    expect(first).toContain(sentence)
    expect(first).toContain('(backward: the new schema must read version 1); ')
    expect(more.length).toBeLessThan(2)
  })

  test('messages inside, messages gone, required fields', async () => {
    const outer = (type: string): SchemaText =>
      proto(`message M { message I { ${type} a = 1; M again = 2; } I i = 1; }`)
    expect(await check(outer('string'), outer('int32'))).toHaveLength(1)
    expect(await check(outer('int32'), outer('int32'))).toEqual([])
    expect((await check(proto('message A { }'), proto('message A { } message B { }')))[0]).toContain(
      "message 'p.B' is written"
    )
    expect((await check(proto('message B { } message A { }'), proto('message A { } message B { }')))[0]).toContain(
      'begins with'
    )
    const old = (label: string): SchemaText => ({
      type: 'PROTOBUF',
      schema: `syntax = "proto2"; message M { ${label} }`
    })
    expect((await check(old('required int32 a = 1;'), old('')))[0]).toContain(
      'is required by the reader and not written'
    )
    expect((await check(old('required int32 a = 1;'), old('optional int32 a = 1;')))[0]).toContain(
      'is optional for the writer'
    )
    expect(await check(old('optional int32 a = 1;'), old('required int32 a = 1;'))).toEqual([])
  })

  test('text that is none', async () => {
    await loadParser()
    for (const text of ['', 'message', 'message A { nope a = 1; }', 'syntax = "proto3"; enum E { A = 0; }'])
      await failure('bad-schema', () => parseProto(text))
    await failure('bad-schema', () =>
      memoryRegistry().register('s', { type: 'PROTOBUF', schema: 'message A { nope a = 1; }' })
    )
  })
})

import { beforeAll, expect, test } from 'vitest'
import { namings } from '../../src/schema/protobuf/naming.ts'
import { parseProto, type Message, type ProtoFile } from '../../src/schema/protobuf/parse.ts'
import { loadParser } from '../../src/schema/protobuf/peer.ts'
import { failure, hex } from './support.ts'

// How payloads say which message of their file they are. The places of Glue are those that the tests of AWS's library expect of
// the same nesting (MessageIndexFinderTest, ComplexNestingSyntax3.proto).

const nested = `
  syntax = "proto3";
  package p;
  message A {
    string A = 1;
    message B { message C { message J { message K {} } message X { message L {} message D {
      message F { message M { K choice = 1; enum K { A = 0; L = 1; } } } message G {} } } } }
    message X { int32 D = 1; }
    message I {}
  }
  message N { int32 A = 1; }
  message O { message A { repeated int32 B = 2; } }
  enum P { ALPHA = 0; }`
const glueOrder = `A A.B A.B.C A.B.C.J A.B.C.J.K A.B.C.X A.B.C.X.D A.B.C.X.D.F A.B.C.X.D.F.M A.B.C.X.D.G A.B.C.X.L A.I A.X N O O.A`
const maps = `
  syntax = "proto3";
  package p;
  message T {
    map<string, int32> some_counts = 1;
    message Z {}
    map<string, Z> zs2_by_Name = 2;
    message A {}
  }`

let file: ProtoFile
beforeAll(async () => {
  await loadParser()
  file = parseProto(nested)
})

const all = (messages: readonly Message[]): readonly string[] =>
  messages.flatMap(({ name, nested: inner }) => [name, ...all(inner)])

test('Glue: one number, by the order of the full names', () => {
  const { position } = namings
  const names = glueOrder.split(' ').map(name => `p.${name}`)
  for (const [index, name] of names.entries()) {
    expect(position.write(file, name)).toEqual(Buffer.from([index]))
    expect(position.find(file, position.read(Buffer.from([7, index, 9]), 1).place)).toBe(name)
  }
  expect(position.read(hex('ac02'), 0)).toEqual({ place: [300], end: 2 })
  expect(position.find(file, [16])).toBeUndefined()
  for (const wrong of ['', '80', 'ffffffff0f']) expect(() => position.read(hex(wrong), 0)).toThrow(/message index/)
})

test('Glue: the entries of maps are messages there, and no record is one', () => {
  const { position } = namings
  const withMaps = parseProto(maps)
  // p.T, p.T.A, p.T.SomeCountsEntry, p.T.Z, p.T.Zs2ByNameEntry
  expect(['p.T', 'p.T.A', 'p.T.Z'].map(name => position.write(withMaps, name)[0])).toEqual([0, 1, 3])
  expect([0, 1, 2, 3, 4].map(index => position.find(withMaps, [index]))).toEqual([
    'p.T',
    'p.T.A',
    undefined,
    'p.T.Z',
    undefined
  ])
})

test('Confluent: a path of places, there and back', () => {
  const { indexes } = namings
  for (const name of all(file.messages)) {
    const bytes = indexes.write(file, name)
    const { place, end } = indexes.read(bytes, 0)
    expect([end, indexes.find(file, place)]).toEqual([bytes.length, name])
  }
  expect(indexes.write(file, 'p.A')).toEqual(hex('00'))
  expect(indexes.write(file, 'p.N')).toEqual(hex('0202'))
  expect(indexes.write(file, 'p.A.I')).toEqual(hex('040004'))
})

test('Pub/Sub: nothing is said, so that a file has one message', async () => {
  const { only } = namings
  const single = parseProto(maps)
  expect(only.write(single, 'p.T')).toHaveLength(0)
  expect(only.find(single, only.read(hex('00'), 0).place)).toBe('p.T')
  await failure('unsupported', () => only.write(single, 'p.T.A'))
  await failure('unsupported', () => only.write(file, 'p.A'))
  expect(only.find(file, [])).toBeUndefined()
})

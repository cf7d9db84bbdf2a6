import { expect, test } from 'vitest'
import { canonicalAvro } from '../../src/schema/avro/canonical.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { failure } from './support.ts'

const record = (...fields: unknown[]): object => ({ type: 'record', name: 'a.R', fields })

test.each<[string, unknown, string]>([
  ['no type', {}, "has no 'type'"],
  ['null', null, 'got null'],
  ['number', 5, 'got number'],
  ['text', '{"type":', 'the text is not JSON'],
  ['unknown name', record({ name: 'f', type: 'Nope' }), "Avro schema at a.R.f: unknown type 'Nope'"],
  ['no name', { type: 'record', fields: [] }, 'record needs a name'],
  ['bad name', { type: 'record', name: '1R', fields: [] }, 'a name holds letters'],
  ['injection', record({ name: 'f;process.exit()', type: 'int' }), 'a name holds letters'],
  ['primitive name', { type: 'enum', name: 'string', symbols: ['A'] }, 'is the name of a primitive'],
  ['twice', record({ name: 'f', type: { type: 'fixed', name: 'R', size: 1 } }), "'a.R' is defined twice"],
  ['no fields', { type: 'record', name: 'R' }, 'needs a list of fields'],
  ['same field', record({ name: 'f', type: 'int' }, { name: 'f', type: 'int' }), "two fields 'f'"],
  ['prototype', record({ name: '__proto__', type: 'int' }), '__proto__'],
  ['empty field', record(null), 'fields[0]'],
  ['empty union', [], 'at least one branch'],
  ['union in union', ['null', ['int']], 'may not hold a union'],
  ['double branch', ['int', { type: 'int' }], 'only once'],
  ['symbols', { type: 'enum', name: 'E', symbols: ['A', 'A'] }, 'twice'],
  ['bad symbol', { type: 'enum', name: 'E', symbols: ['A B'] }, 'a name holds letters'],
  ['enum default', { type: 'enum', name: 'E', symbols: ['A'], default: 'B' }, 'none of its symbols'],
  ['size', { type: 'fixed', name: 'F', size: -1 }, 'whole number of bytes'],
  [
    'default',
    record({ name: 'f', type: 'int', default: 'x' }),
    'Avro schema at a.R.f: the default does not fit int: expected a whole number of 32 bits'
  ],
  ['default of a union', record({ name: 'f', type: ['string', 'null'], default: null }), 'put that branch first'],
  ['default of a long', record({ name: 'f', type: 'long', default: 2 ** 60 }), 'exactly'],
  ['default of bytes', record({ name: 'f', type: 'bytes', default: '\u0100' }), 'code points up to 255'],
  [
    'default of a record',
    record({ name: 'f', type: { type: 'record', name: 'I', fields: [{ name: 'g', type: 'int' }] }, default: {} }),
    "field 'g' is missing"
  ]
])('refused: %s', async (_name, schema, message) => {
  expect((await failure('bad-schema', () => parseAvro(schema))).message).toContain(message)
})

test('every default that Avro allows', () => {
  const field = (name: string, type: unknown, value: unknown): object => ({ name, type, default: value })
  parseAvro(
    record(
      field('a', 'null', null),
      field('b', 'boolean', false),
      field('c', 'double', 1.5),
      field('d', 'bytes', '\u00ff'),
      field('e', { type: 'fixed', name: 'F', size: 2 }, 'ab'),
      field('f', { type: 'enum', name: 'E', symbols: ['A'] }, 'A'),
      field('g', { type: 'array', items: 'int' }, [1]),
      field('h', { type: 'map', values: 'int' }, { x: 1 }),
      field('i', { type: 'record', name: 'I', fields: [{ name: 'x', type: 'int', default: 1 }] }, {}),
      field('j', ['int', 'null'], 1)
    )
  )
})

test('the canonical form forgets what does not matter', () => {
  const left = {
    type: 'record',
    name: 'R',
    namespace: 'a',
    doc: 'doc',
    'connect.name': 'x',
    fields: [
      { name: 'f', doc: 'x', order: 'ignore', type: { type: { type: 'map', values: 'int' } }, default: { x: 1, y: 2 } }
    ]
  }
  const right =
    '{"fields":[{"default":{"y":2,"x":1},"type":{"values":{"type":"int"},"type":"map"},"name":"f"}],"name":"a.R","type":"record"}'
  expect(canonicalAvro(left)).toBe(canonicalAvro(right))
  expect(canonicalAvro('int')).toBe(canonicalAvro('"int"'))
  // Unknown or misfitting logical types are ignored, as the specification asks.
  expect(canonicalAvro({ type: 'int', logicalType: 'timestamp-millis' })).toBe(canonicalAvro('int'))
  expect(canonicalAvro({ type: 'bytes', logicalType: 'decimal', precision: 0 })).toBe(canonicalAvro('bytes'))
  expect(canonicalAvro({ type: 'fixed', name: 'F', size: 1, logicalType: 'decimal', precision: 3 })).toBe(
    canonicalAvro({ type: 'fixed', name: 'F', size: 1 })
  )
  expect(canonicalAvro({ type: 'int', logicalType: 'date' })).not.toBe(canonicalAvro('int'))
})

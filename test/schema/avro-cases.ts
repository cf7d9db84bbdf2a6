/**
 * What the specification and the reference implementation (Java) say of pairs of schemas, as data: readers on the left,
 * writers on the right. After the tables of Avro's own tests: SchemaCompatibility, its classes of mismatches, enum
 * defaults, and reading and writing in evolved schemas.
 */

export type Schema = unknown

const array = (items: Schema): Schema => ({ type: 'array', items })
const map = (values: Schema): Schema => ({ type: 'map', values })
const symbols = (name: string, text: string, more: object = {}): Schema => ({
  type: 'enum',
  name,
  symbols: text.split(''),
  ...more
})
const fixed = (size: number, name = 'Fixed'): Schema => ({ type: 'fixed', name, size })
const record = (name: string, fields: Record<string, Schema>): Schema => ({
  type: 'record',
  name,
  fields: Object.entries(fields).map(([field, type]) => ({
    name: field.replace('?', ''),
    type,
    ...(field.endsWith('?') && { default: 0 })
  }))
})
/** A question mark after the name of a field: it has a default. */
const one = (fields: Record<string, Schema>): Schema => record('Record1', fields)
const list = (head: Schema): Schema => record('List', { head, tail: ['null', 'List'] })
const enum1 = (text: string): Schema => symbols('Enum1', text)
const nested = (namespace: string): Schema =>
  one({
    f1: ['null', array({ type: 'record', name: 'InnerRecord1', namespace, fields: [{ name: 'a', type: 'int' }] })]
  })

export const compatible: readonly (readonly [reader: Schema, writer: Schema])[] = [
  ['boolean', 'boolean'],
  ['int', 'int'],
  ['long', 'int'],
  ['long', 'long'],
  ['float', 'int'],
  ['float', 'long'],
  ['double', 'long'],
  ['double', 'int'],
  ['double', 'float'],
  ['string', 'string'],
  ['bytes', 'bytes'],
  [array('int'), array('int')],
  [array('long'), array('int')],
  [map('int'), map('int')],
  [map('long'), map('int')],
  [enum1('AB'), enum1('AB')],
  [enum1('ABC'), enum1('AB')],
  ['string', 'bytes'],
  ['bytes', 'string'],
  [['int'], ['int']],
  [
    ['int', 'string'],
    ['string', 'int']
  ],
  [['long'], ['int']],
  [['float'], ['int']],
  [['float'], ['long']],
  [['double'], ['int']],
  [['double'], ['long']],
  [['double'], ['float']],
  [['double'], ['int', 'float']],
  [['string'], ['bytes']],
  [['bytes'], ['string']],
  ['float', ['int', 'float']],
  ['long', ['int', 'long']],
  ['double', ['int', 'float']],
  ['double', ['int', 'long', 'float', 'double']],
  ['float', ['float']],
  [['int'], 'int'],
  ['int', ['int']],
  [['null', array('int')], array('int')],
  [['null', map('int')], map('int')],
  [fixed(4), fixed(4)],
  [one({}), one({})],
  [one({}), one({ a: 'int' })],
  [one({ a: 'int' }), one({ a: 'int' })],
  [one({ 'a?': 'int' }), one({ a: 'int' })],
  [one({ 'a?': 'int' }), one({ 'a?': 'int' })],
  [one({ a: 'int' }), one({ 'a?': 'int' })],
  [one({ a: 'long' }), one({ a: 'int' })],
  [one({ a: 'int' }), one({ a: 'int', b: 'int' })],
  [one({ 'a?': 'int' }), one({ a: 'int', b: 'int' })],
  [one({ a: 'int', 'b?': 'int' }), one({ a: 'int' })],
  [one({ 'a?': 'int', 'b?': 'int' }), one({})],
  [one({ 'a?': 'int', 'b?': 'int' }), one({ a: 'int' })],
  [one({ a: 'int', b: 'int' }), one({ 'a?': 'int', 'b?': 'int' })],
  [list('int'), list('int')],
  [list('long'), list('long')],
  [list('long'), list('int')],
  ['null', 'null'],
  // By the name without its namespace.
  [symbols('namespace1.Enum1', 'AB'), symbols('namespace2.Enum1', 'AB')],
  [nested('ns1'), nested('ns2')],
  [record('Record', { f1: 'int' }), record('ns.Record', { f1: 'int' })],
  // An enum with a default takes symbols that it does not know.
  [symbols('Enum1', 'AB', { default: 'A' }), enum1('ABC')],
  // A field that is renamed is found by its alias.
  [{ type: 'record', name: 'Record1', fields: [{ name: 'b', type: 'int', aliases: ['a'] }] }, one({ a: 'int' })],
  [{ type: 'record', name: 'Record2', aliases: ['Record1'], fields: [] }, one({})]
]

export const incompatible: readonly (readonly [reader: Schema, writer: Schema])[] = [
  ['null', 'int'],
  ['null', 'long'],
  ['boolean', 'int'],
  ['int', 'null'],
  ['int', 'boolean'],
  ['int', 'long'],
  ['int', 'float'],
  ['int', 'double'],
  ['long', 'float'],
  ['long', 'double'],
  ['float', 'double'],
  ['double', 'string'],
  [fixed(4), 'string'],
  ['string', 'boolean'],
  ['string', 'int'],
  ['bytes', 'null'],
  ['bytes', 'int'],
  [one({ a: 'int' }), 'int'],
  [array('int'), array('long')],
  [map('int'), array('int')],
  [array('int'), map('int')],
  [map('int'), map('long')],
  ['int', symbols('Enum2', 'AB')],
  [symbols('Enum2', 'AB'), 'int'],
  ['float', ['int', 'long', 'float', 'double']],
  ['long', ['int', 'float']],
  ['int', ['int', 'float']],
  [list('int'), list('long')],
  // A branch of the writer that the reader has not.
  [['int'], ['int', 'string']],
  [['string'], ['int', 'string']],
  [['int'], ['int', record('Record1', { field1: 'int' })]],
  [
    ['int', record('Record1', { field1: 'int' })],
    ['int', record('Record2', { field1: 'int' })]
  ],
  [['int'], ['int', enum1('AB')]],
  [['int'], ['int', fixed(4)]],
  [['int'], ['int', 'boolean']],
  [['int'], ['long']],
  [['int'], ['float']],
  [['int'], ['double']],
  [['int'], ['bytes']],
  [['int'], ['int', array('int')]],
  [['int'], ['int', map('int')]],
  [['int'], ['int', 'null']],
  [['int'], ['int', 'long', 'float', 'double']],
  [one({ 'a?': 'int', 'b?': ['int'] }), one({ 'a?': 'int', 'b?': ['int', 'string'] })],
  [
    ['int', 'string'],
    ['int', 'string', 'long']
  ],
  // Names, sizes, symbols.
  [symbols('Enum2', 'AB'), enum1('AB')],
  [record('Record2', {}), one({})],
  [fixed(4, 'Fixed2'), fixed(4)],
  [one({ 'a?': 'int', b: enum1('AB') }), one({ 'a?': 'int', b: symbols('Enum2', 'AB') })],
  [fixed(4), fixed(8)],
  [fixed(8), fixed(4)],
  [one({ 'a?': 'int', b: fixed(8) }), one({ 'a?': 'int', b: fixed(4) })],
  [enum1('AB'), enum1('ABC')],
  [enum1('BC'), enum1('ABC')],
  // A field without default that is not written.
  [one({ a: 'int' }), one({})],
  [one({ a: 'int', 'b?': 'int' }), one({})],
  [record('Record1', { field1: symbols('Enum', 'AB', { default: 'A' }) }), one({ field2: symbols('Enum2', 'AB') })]
]

/** Cases of the reference implementation that come out otherwise here, and why. */
export const disagreements: readonly {
  readonly reader: Schema
  readonly writer: Schema
  readonly theirs: 'compatible' | 'incompatible'
  readonly ours: 'compatible' | 'incompatible' | 'refused'
  readonly reason: string
}[] = [
  {
    reader: [],
    writer: [],
    theirs: 'compatible',
    ours: 'refused',
    reason: 'a union without branches has no value at all: the schema is refused where it is written'
  },
  {
    reader: record('List', { head: 'long', tail: 'List' }),
    writer: record('List', { head: 'int', tail: 'List' }),
    theirs: 'compatible',
    ours: 'refused',
    reason: 'a record that always holds another of itself has no finite value'
  },
  {
    reader: { type: 'long', logicalType: 'timestamp-micros' },
    writer: { type: 'long', logicalType: 'timestamp-millis' },
    theirs: 'compatible',
    ours: 'incompatible',
    reason:
      'the specification resolves the number and forgets its meaning: every time would be off by a factor of 1,000'
  },
  {
    reader: { type: 'bytes', logicalType: 'decimal', precision: 10, scale: 2 },
    writer: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 },
    theirs: 'incompatible',
    ours: 'compatible',
    reason:
      'the specification matches decimals of equal scale and precision only; a wider precision holds every value of the narrower'
  }
]

const evolved = (type: Schema): Schema => record('RecordA', { fieldA: type })
export const decoded: readonly (readonly [writer: Schema, value: unknown, reader: Schema, value: unknown])[] = [
  ['int', 1, 'int', 1],
  ['int', 1, 'long', 1n],
  ['int', 1, 'float', 1],
  ['int', 1, 'double', 1],
  // A float has 24 bits; the value is kept whole here, because a reader in this language has doubles only.
  ['int', 2 ** 24, 'float', 2 ** 24],
  [enum1('AB'), 'A', enum1('ABC'), 'A'],
  [evolved(['long']), { fieldA: 42n }, evolved(['float', 'long']), { fieldA: 42n }],
  [evolved(['long']), { fieldA: 42n }, evolved(['double']), { fieldA: 42 }],
  [evolved(['int']), { fieldA: 42 }, evolved(['double']), { fieldA: 42 }],
  [evolved(['int']), { fieldA: 42 }, evolved('float'), { fieldA: 42 }],
  [evolved(['int']), { fieldA: 42 }, evolved(['float']), { fieldA: 42 }],
  [evolved(['long']), { fieldA: 42n }, evolved('float'), { fieldA: 42 }],
  [evolved(['long']), { fieldA: 42n }, evolved(['float']), { fieldA: 42 }],
  [evolved(['long']), { fieldA: 42n }, evolved(['float', 'double']), { fieldA: { float: 42 } }],
  [evolved(['string', 'bytes']), { fieldA: 'Göran' }, evolved('bytes'), { fieldA: Buffer.from('Göran') }],
  [evolved(['string', 'bytes']), { fieldA: Buffer.from('Göran') }, evolved('string'), { fieldA: 'Göran' }],
  [evolved(enum1('AB')), { fieldA: 'A' }, evolved(enum1('ABC')), { fieldA: 'A' }],
  // The default of the enum, not that of the field, stands for a symbol that the reader does not know.
  [
    one({ field1: symbols('Enum', 'ABC', { default: 'A' }) }),
    { field1: 'C' },
    {
      type: 'record',
      name: 'Record1',
      fields: [{ name: 'field1', type: symbols('Enum', 'AB', { default: 'A' }), default: 'B' }]
    },
    { field1: 'A' }
  ],
  [
    one({ field1: symbols('Enum', 'ABC', { default: 'A' }) }),
    { field1: 'B' },
    one({ field1: symbols('Enum', 'AB', { default: 'A' }) }),
    { field1: 'B' }
  ]
]

/**
 * The reference reads a record as long as its own value fits; here a schema that could not read all of another reads none of
 * it, and its records are parked with that reason, instead of some now and some never.
 */
export const refusedWhole: readonly (readonly [writer: Schema, reader: Schema])[] = [
  [enum1('ABC'), enum1('AB')],
  [enum1('ABC'), enum1('BC')],
  [['int', 'string'], 'string'],
  [evolved(['double', 'float', 'long', 'int']), evolved('float')],
  [evolved(['double', 'float', 'long', 'int']), evolved('int')],
  [
    one({ field1: enum1('ABC') }),
    { type: 'record', name: 'Record1', fields: [{ name: 'field1', type: enum1('AB'), default: 'A' }] }
  ]
]

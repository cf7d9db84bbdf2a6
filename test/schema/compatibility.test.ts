import avsc from 'avsc'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { checkAvro } from '../../src/schema/avro/compatibility.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { anySchema, schemaAndNext } from './any-schema.ts'
import { brokenRules, type Compatibility } from '../../src/schema/registry/compatibility.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
beforeAll(() => console.log(`fuzz seed ${seed}: repeat with FUZZ_SEED=${seed}`))

const record = (...fields: object[]): object => ({ type: 'record', name: 'Trade', fields })
const field = (type: unknown, more: object = {}): object => ({ name: 'f', type, ...more })
const text = (schema: unknown): { type: 'AVRO'; schema: string } => ({ type: 'AVRO', schema: JSON.stringify(schema) })

/** Sentences for `next` after these versions, oldest first. */
const broken = (level: Compatibility, next: unknown, ...earlier: unknown[]): string[] =>
  brokenRules(
    level,
    text(next),
    earlier.map((schema, index) => ({ ...text(schema), version: index + 1 }))
  )

const backward = '(backward: the new schema must read version 1)'
const forward = '(forward: version 1 must read the new schema)'

describe('levels', () => {
  const [one, oneAndDefault, two] = [
    record(field('int')),
    record(field('int'), { name: 'g', type: 'int', default: 0 }),
    record(field('int'), { name: 'g', type: 'int' })
  ]

  test('backward: add with a default, remove anything', () => {
    expect(broken('backward', oneAndDefault, one)).toEqual([])
    expect(broken('backward', one, two)).toEqual([])
    expect(broken('backward', two, one)).toEqual([
      `field 'Trade.g' is not written, and has no default for the reader ${backward}; give it a default, or an alias if it was renamed`
    ])
  })

  test('forward: add anything, remove what has a default', () => {
    expect(broken('forward', two, one)).toEqual([])
    expect(broken('forward', one, oneAndDefault)).toEqual([])
    expect(broken('forward', one, two)).toEqual([
      `field 'Trade.g' is not written, and has no default for the reader ${forward}; keep the field; it can go once every reader has a default for it`
    ])
  })

  test('full: both', () => {
    expect(broken('full', oneAndDefault, one)).toEqual([])
    expect(broken('full', one, oneAndDefault)).toEqual([])
    expect(broken('full', two, one)).toHaveLength(1)
    expect(broken('full', one, two)).toHaveLength(1)
    expect(broken('full', record(field('string')), record(field('int')))).toHaveLength(2)
  })

  test('transitive: all versions, not the last alone', () => {
    // Version 2 gave g a default, so that the last version alone allows version 3 to read it as missing.
    const third = record(field('int'), { name: 'g', type: 'string', default: '' })
    expect(broken('backward', third, two, one)).toEqual([])
    const [sentence, ...more] = broken('backward-transitive', third, two, one)
    expect(more).toEqual([])
    expect(sentence).toContain(
      "field 'Trade.g' is int for the writer and string for the reader, which cannot read it (backward: the new schema must read version 1)"
    )
    expect(broken('forward', record(field('int')), two, one)).toEqual([])
    expect(broken('forward-transitive', record(field('int')), two, one)).toHaveLength(1)
    expect(broken('full', third, two, one)).toEqual([])
    expect(broken('full-transitive', third, two, one)).toHaveLength(2)
  })

  test('none, and a first version', () => {
    expect(broken('none', record(field('string')), record(field('int')))).toEqual([])
    expect(broken('full-transitive', record(field('string')))).toEqual([])
  })
})

describe('each rule of schema resolution says the field, the rule and the fix', () => {
  const rule = (next: unknown, before: unknown): string[] =>
    broken('backward', record(field(next)), record(field(before)))
  const side = (symbols: string[], more: object = {}): object => ({ type: 'enum', name: 'Side', symbols, ...more })
  const fixed = (size: number, name = 'Hash'): object => ({ type: 'fixed', name, size })
  const decimal = (precision: number, scale: number): object => ({
    type: 'bytes',
    logicalType: 'decimal',
    precision,
    scale
  })

  test.each<[string, unknown, unknown, string]>([
    [
      'type',
      'int',
      'string',
      `field 'Trade.f' is string for the writer and int for the reader, which cannot read it ${backward}; keep string, or add a new field`
    ],
    [
      'demotion',
      'int',
      'long',
      `field 'Trade.f' is long for the writer and int for the reader, which cannot read it ${backward}; keep long, or add a new field`
    ],
    [
      'symbol',
      side(['BUY']),
      side(['BUY', 'SELL', 'SHORT']),
      `field 'Trade.f' may hold SELL, SHORT of enum Side, which the reader does not know ${backward}; keep the symbols, or give the enum a default`
    ],
    [
      'enum name',
      side(['BUY'], { name: 'Way' }),
      side(['BUY']),
      `field 'Trade.f' is enum Side for the writer and enum Way for the reader ${backward}; keep the name Side, or add it to the aliases of Way`
    ],
    [
      'size',
      fixed(8),
      fixed(16),
      `field 'Trade.f' is 8 bytes for the reader and 16 for the writer ${backward}; keep fixed Hash at 16 bytes`
    ],
    [
      'fixed name',
      fixed(8, 'Sum'),
      fixed(8),
      `field 'Trade.f' is fixed Hash for the writer and fixed Sum for the reader ${backward}; keep the name Hash, or add it to the aliases of Sum`
    ],
    [
      'branch',
      ['null', 'int'],
      ['null', 'int', 'string'],
      `field 'Trade.f' may be string for the writer, which no branch of the reader's union takes ${backward}; keep string in the union`
    ],
    [
      'nullable',
      'int',
      ['null', 'int'],
      `field 'Trade.f' is null for the writer and int for the reader, which cannot read it ${backward}; keep null, or add a new field`
    ],
    [
      'items',
      { type: 'array', items: 'int' },
      { type: 'array', items: 'string' },
      `the items of field 'Trade.f' is string for the writer and int for the reader, which cannot read it ${backward}; keep string, or add a new field`
    ],
    [
      'unit',
      { type: 'long', logicalType: 'timestamp-micros' },
      { type: 'long', logicalType: 'timestamp-millis' },
      `field 'Trade.f' is timestamp-millis for the writer and timestamp-micros for the reader: the same number would mean something else ${backward}; keep timestamp-millis, or add a new field`
    ],
    [
      'scale',
      decimal(9, 3),
      decimal(9, 2),
      `field 'Trade.f' is a decimal of scale 2 for the writer and 3 for the reader ${backward}; keep scale 2, or add a new field`
    ],
    [
      'precision',
      decimal(8, 2),
      decimal(9, 2),
      `field 'Trade.f' is a decimal of precision 9 for the writer and only 8 for the reader ${backward}; keep precision 9 or more`
    ]
  ])('%s', (_name, next, before, sentence) => {
    expect(rule(next, before)).toEqual([sentence])
  })

  test('the name of a record, and fields deep inside', () => {
    expect(broken('backward', { type: 'record', name: 'Deal', fields: [] }, record())).toEqual([
      `the schema is record Trade for the writer and record Deal for the reader ${backward}; keep the name Trade, or add it to the aliases of Deal`
    ])
    const leg = (...fields: object[]): object =>
      record({ name: 'legs', type: { type: 'map', values: ['null', { type: 'record', name: 'Leg', fields }] } })
    expect(broken('backward', leg({ name: 'price', type: 'double' }), leg())).toEqual([
      `field 'Leg.price' is not written, and has no default for the reader ${backward}; give it a default, or an alias if it was renamed`
    ])
    expect(broken('backward', record(field(['null', 'int'])), record())[0]).toContain(
      'give it a default ("default": null)'
    )
    expect(
      broken(
        'backward',
        record(field('int', { aliases: ['g', 'h'] })),
        record({ name: 'g', type: 'int' }, { name: 'h', type: 'int' })
      )[0]
    ).toContain("field 'Trade.f' stands for 'g' and 'h' of the writer by its aliases")
  })

  test('what is allowed', () => {
    for (const [next, before] of [
      ['long', 'int'],
      ['float', 'int'],
      ['double', 'int'],
      ['float', 'long'],
      ['double', 'long'],
      ['double', 'float'],
      ['bytes', 'string'],
      ['string', 'bytes'],
      [['null', 'int'], 'int'],
      [
        ['null', 'double'],
        ['int', 'long']
      ],
      [side(['A'], { default: 'A' }), side(['A', 'B'])],
      [side(['A', 'B']), side(['B'])],
      [side(['A'], { name: 'New', aliases: ['Side'] }), side(['A'])],
      [side(['A'], { name: 'other.Side' }), side(['A'])],
      [{ type: 'long', logicalType: 'timestamp-millis' }, 'long'],
      [decimal(9, 2), decimal(8, 2)]
    ])
      expect(rule(next, before), JSON.stringify([next, before])).toEqual([])
    expect(broken('backward', record(field('int', { aliases: ['g'] })), record({ name: 'g', type: 'int' }))).toEqual([])
  })

  test('recursive schemas end', () => {
    const node = (type: string): object => ({
      type: 'record',
      name: 'Node',
      fields: [
        { name: 'value', type },
        { name: 'next', type: ['null', 'Node'] }
      ]
    })
    expect(broken('full', node('int'), node('int'))).toEqual([])
    expect(broken('backward', node('int'), node('long'))).toHaveLength(1)
  })
})

// The rules once more, against another implementation: whatever the package can resolve has no sentence, and the reverse.
test('the check agrees with the resolution of avsc', () => {
  const outcomes = { yes: 0, no: 0 }
  fc.assert(
    fc.property(fc.oneof(fc.tuple(anySchema(2), anySchema(2)), schemaAndNext(2)), fc.boolean(), (pair, swap) => {
      const [writer, reader] = swap ? pair.toReversed() : pair
      const ours = checkAvro(parseAvro(reader), parseAvro(writer)).length === 0
      let theirs = true
      try {
        avsc.Type.forSchema(reader as avsc.Schema).createResolver(avsc.Type.forSchema(writer as avsc.Schema), {
          ignoreNamespaces: true
        } as never)
      } catch {
        theirs = false
      }
      outcomes[ours ? 'yes' : 'no']++
      expect(ours, JSON.stringify({ reader, writer })).toBe(theirs)
    }),
    { seed, numRuns: 5_000 }
  )
  expect(outcomes.yes).toBeGreaterThan(100)
  expect(outcomes.no).toBeGreaterThan(100)
})

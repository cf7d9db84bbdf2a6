import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { fileRegistry, memoryRegistry, type ManagedRegistry } from '../../src/schema/index.ts'
import { failure } from './support.ts'

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

const kinds: Record<string, () => Promise<ManagedRegistry>> = {
  memoryRegistry: async () => memoryRegistry(),
  fileRegistry: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-schemas-'))
    folders.push(folder)
    return fileRegistry(join(folder, 'schemas'))
  }
}

const avroText = (...fields: object[]): { type: 'AVRO'; schema: string } => ({
  type: 'AVRO',
  schema: JSON.stringify({ type: 'record', name: 'Trade', fields })
})
const a = { name: 'a', type: 'int' }
const b = { name: 'b', type: 'int' }
const c = { name: 'c', type: 'int', default: 0 }

describe.each(Object.entries(kinds))('%s', (_name, create) => {
  let registry: ManagedRegistry
  beforeEach(async () => {
    registry = await create()
  })

  test('empty', async () => {
    expect(await registry.latest('x')).toBeUndefined()
    expect(await registry.lookup('x', avroText(a))).toBeUndefined()
    expect(await registry.subjects()).toEqual([])
    expect(await registry.check('x', avroText(a))).toEqual([])
    expect(await registry.compatibility()).toBe('backward')
    expect((await failure('bad-schema', () => registry.byId(1))).message).toContain('no schema with id 1')
    await failure('bad-schema', () => registry.versions('x'))
  })

  test('ids from 1, versions from 1, one id for one schema', async () => {
    const first = await registry.register('trades-value', avroText(a))
    const second = await registry.register('trades-value', avroText(a, c))
    const elsewhere = await registry.register('other-value', avroText(a, c))
    const third = await registry.register('other-value', avroText(c))
    expect([first.id, second.id, elsewhere.id, third.id]).toEqual([1, 2, 2, 3])
    expect((await registry.versions('trades-value')).map(({ id, version }) => [id, version])).toEqual([
      [1, 1],
      [2, 2]
    ])
    expect((await registry.versions('other-value')).map(({ id, version }) => [id, version])).toEqual([
      [2, 1],
      [3, 2]
    ])
    expect(JSON.parse((await registry.byId(1)).schema)).toEqual(JSON.parse(avroText(a).schema))
    expect((await registry.latest('trades-value'))?.id).toBe(2)
    expect(await registry.subjects()).toEqual(['other-value', 'trades-value'])
  })

  test('formatting, doc, order of attributes and names with namespace make no other schema', async () => {
    const { id } = await registry.register('s', avroText(a))
    const again = `{
      "fields": [ { "type": { "type": "int" }, "name": "a", "doc": "said differently", "order": "descending" } ],
      "name": "Trade", "doc": "a trade", "type": "record"
    }`
    expect(await registry.register('s', { type: 'AVRO', schema: again })).toMatchObject({ id })
    expect(await registry.lookup('s', { type: 'AVRO', schema: again })).toMatchObject({ id })
    expect(await registry.versions('s')).toHaveLength(1)
    const json = (schema: object): { type: 'JSON'; schema: string } => ({
      type: 'JSON',
      schema: JSON.stringify(schema, undefined, 3)
    })
    const first = await registry.register('j', json({ type: 'object', required: ['a'] }))
    expect(await registry.register('j', json({ required: ['a'], type: 'object' }))).toEqual(first)
  })

  test('a default, an alias, a logical type do make another schema', async () => {
    const variants = [
      { name: 'a', type: 'long' },
      { name: 'a', type: 'long', default: 1 },
      { name: 'a', type: 'long', aliases: ['z'] },
      { name: 'a', type: { type: 'long', logicalType: 'timestamp-millis' } }
    ]
    const ids = new Set<number | string>()
    for (const variant of variants) ids.add((await registry.register('v', avroText(variant))).id)
    expect(ids.size).toBe(4)
  })

  test('an earlier version may be registered again, and gives its id', async () => {
    await registry.register('s', avroText(a))
    await registry.register('s', avroText(c))
    expect(await registry.register('s', avroText(a))).toMatchObject({ id: 1 })
    expect(await registry.check('s', avroText(a))).toEqual([])
    expect((await registry.latest('s'))?.id).toBe(2)
  })

  test('levels: of the registry, of a subject', async () => {
    await registry.register('s', avroText(a))
    const refused = await failure('bad-schema', () => registry.register('s', avroText(a, b)))
    expect(refused.message).toBe(
      "subject 's' refuses the schema:\n- field 'Trade.b' is not written, and has no default for the reader " +
        '(backward: the new schema must read version 1); give it a default, or an alias if it was renamed'
    )
    await registry.setCompatibility('forward', 's')
    expect([await registry.compatibility(), await registry.compatibility('s')]).toEqual(['backward', 'forward'])
    await registry.register('s', avroText(a, b))
    await registry.setCompatibility('none')
    await registry.register('t', avroText(a))
    await registry.register('t', avroText(b))
    // Its own rule holds on.
    await failure('bad-schema', () => registry.register('s', avroText(c)))
    await registry.setCompatibility('full', 'new-subject')
    expect(await registry.versions('new-subject')).toEqual([])
    await failure('bad-config', () => registry.setCompatibility('sideways' as never))
  })

  test('a malformed schema is not kept', async () => {
    await failure('bad-schema', () => registry.register('s', { type: 'AVRO', schema: '{"type":"record"}' }))
    await failure('bad-schema', () => registry.register('s', { type: 'AVRO', schema: 'not json' }))
    await failure('bad-schema', () => registry.register('s', { type: 'JSON', schema: '[]' }))
    await failure('bad-schema', () => registry.register('s', avroText({ name: 'a', type: 'int', default: 'x' })))
    await failure('bad-config', () => registry.register('', avroText(a)))
    expect(await registry.subjects()).toEqual([])
  })

  test('Protobuf text is kept as it is, and compared by the numbers of its fields', async () => {
    const text = 'syntax = "proto3";\nmessage Trade { int64 cents = 1; }\n'
    const proto = (schema: string): { type: 'PROTOBUF'; schema: string } => ({ type: 'PROTOBUF', schema })
    const { id } = await registry.register('p', proto(text))
    expect((await registry.byId(id)).schema).toBe(text)
    // Formatting and comments make no other schema.
    expect((await registry.register('p', proto(`// cents\n${text.replaceAll(' ', '  ')}`))).id).toBe(id)
    const refused = await failure('bad-schema', () => registry.register('p', proto(text.replace('int64', 'string'))))
    expect(refused.message).toContain(
      "field 'Trade.cents' (1) is int64 for the writer and string for the reader, whose bytes mean something else " +
        '(backward: the new schema must read version 1); keep int64, or add a field with a new number'
    )
    await registry.register('p', proto(text.replace('cents', 'dollars')))
    await failure('bad-schema', () => registry.register('p', proto('message {')))
    expect(await registry.check('p', avroText(a))).toEqual([
      'the schema is AVRO, version 2 is PROTOBUF: use another subject'
    ])
  })

  test('references: followed, compared whole, and refused when they lead nowhere', async () => {
    const inner = (...fields: object[]): string => JSON.stringify({ type: 'record', name: 'Inner', fields })
    await registry.register('inner', { type: 'AVRO', schema: inner({ name: 'n', type: 'int' }) })
    const outer = (version: number, subject = 'inner'): Parameters<ManagedRegistry['register']>[1] => ({
      type: 'AVRO',
      schema: JSON.stringify({ type: 'record', name: 'Outer', fields: [{ name: 'inner', type: 'Inner' }] }),
      references: [{ name: 'Inner', subject, version }]
    })
    const { id } = await registry.register('outer', outer(1))
    expect(await registry.byId(id)).toMatchObject({ references: [{ name: 'Inner', subject: 'inner', version: 1 }] })
    expect((await registry.register('outer', outer(1))).id).toBe(id)
    await registry.setCompatibility('none', 'inner')
    await registry.register('inner', { type: 'AVRO', schema: inner({ name: 'n', type: 'string' }) })
    const [sentence] = await registry.check('outer', outer(2))
    expect(sentence).toContain("field 'Inner.n' is int for the writer and string for the reader")
    await failure('bad-schema', () => registry.register('outer', outer(9)))
    await failure('bad-schema', () => registry.register('outer', outer(1, 'nobody')))
    await failure('bad-schema', () => registry.register('outer', { ...outer(1), references: [] }))
    expect(await registry.version('inner', 2)).toMatchObject({ version: 2 })
    await failure('bad-schema', () => registry.version('inner', 3))
  })

  test('any subject name, and primitive schemas', async () => {
    for (const subject of ['a/b', '../up', '.hidden', 'with space', '@registry', 'naïve', 'a%2Fb', '*', 'CON.json'])
      expect(await registry.register(subject, { type: 'AVRO', schema: 'string' })).toEqual({
        id: 1,
        type: 'AVRO',
        version: 1,
        schema: '"string"'
      })
    expect(await registry.subjects()).toHaveLength(9)
    expect(JSON.parse((await registry.byId(1)).schema)).toBe('string')
  })

  test('many at the same time', async () => {
    const fields = Array.from({ length: 20 }, (_, index) => ({ name: `f${index}`, type: 'int', default: 0 }))
    const results = await Promise.all([...fields, ...fields].map(field => registry.register('s', avroText(field))))
    expect(new Set(results.map(({ id }) => id)).size).toBe(20)
    expect((await registry.versions('s')).map(({ version }) => version)).toEqual(fields.map((_, index) => index + 1))
  })
})

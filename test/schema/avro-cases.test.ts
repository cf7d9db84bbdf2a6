import { expect, test } from 'vitest'
import { checkAvro } from '../../src/schema/avro/compatibility.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { avro } from '../../src/schema/index.ts'
import { compatible, decoded, disagreements, incompatible, refusedWhole, type Schema } from './avro-cases.ts'
import { bound, failure, stubRegistry } from './support.ts'

const verdict = (reader: Schema, writer: Schema): 'compatible' | 'incompatible' | 'refused' => {
  try {
    return checkAvro(parseAvro(reader), parseAvro(writer)).length === 0 ? 'compatible' : 'incompatible'
  } catch {
    return 'refused'
  }
}

test(`${compatible.length} pairs are compatible, and a codec of the reader takes the writer`, async () => {
  for (const [reader, writer] of compatible) {
    const names = JSON.stringify({ reader, writer })
    expect(verdict(reader, writer), names).toBe('compatible')
    const codec = await bound(avro(reader as object), stubRegistry({ 7: writer }))
    await codec.prepare!([Buffer.from([0, 0, 0, 0, 7])])
    // No value is as short as this but those without any bytes: the message is about bytes, not about schemas.
    const code = await failure('bad-record', () => codec.decode(Buffer.from([0, 0, 0, 0, 7, 1, 2, 3]))).catch(String)
    expect(String(code), names).not.toContain('cannot read')
  }
})

test(`${incompatible.length} pairs are not, and its records are refused`, async () => {
  for (const [reader, writer] of incompatible) {
    const names = JSON.stringify({ reader, writer })
    expect(verdict(reader, writer), names).toBe('incompatible')
    const codec = await bound(avro(reader as object), stubRegistry({ 7: writer }))
    await codec.prepare!([Buffer.from([0, 0, 0, 0, 7])])
    expect((await failure('bad-schema', () => codec.decode(Buffer.from([0, 0, 0, 0, 7])))).message, names).toContain(
      'cannot read records of schema 7'
    )
  }
})

test('where this differs from the reference implementation, and why', () => {
  for (const { reader, writer, ours, theirs, reason } of disagreements) {
    expect(verdict(reader, writer), reason).toBe(ours)
    expect(ours).not.toBe(theirs)
  }
})

test.each(decoded)('%j %o read as %j is %o', async (writer, value, reader, expected) => {
  const bytes = (await bound(avro(writer as object, { id: false }))).encode(value)
  const codec = await bound(avro(reader as object), stubRegistry({ 7: writer }))
  const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), bytes])
  await codec.prepare!([framed])
  expect(codec.decode(framed)).toEqual(expected)
})

test.each(refusedWhole)('%j is not read as %j in parts', async (writer, reader) => {
  const codec = await bound(avro(reader as object), stubRegistry({ 7: writer }))
  await codec.prepare!([Buffer.from([0, 0, 0, 0, 7])])
  await failure('bad-schema', () => codec.decode(Buffer.from([0, 0, 0, 0, 7, 0])))
})

import { expect, test } from 'vitest'
import { z } from 'zod'
import { avro, json, memoryRegistry } from '../../src/schema/index.ts'
import { confluentFraming as framing, readId } from '../../src/schema/wire.ts'
import { bound, failure, hex } from './support.ts'

test('Avro: magic 0, the id big endian, the fields in order', async () => {
  const registry = memoryRegistry()
  // Takes id 1, so that the id under test is not the same from both ends.
  await registry.register('other', { type: 'AVRO', schema: '"int"' })
  const codec = await bound(
    avro({
      type: 'record',
      name: 'User',
      fields: [
        { name: 'name', type: 'string' },
        { name: 'number', type: ['null', 'int'] },
        { name: 'big', type: 'long' }
      ]
    }),
    registry
  )
  const value = { name: 'Ann', number: -65, big: 300n }
  // 00 | 00000002 | 3 bytes 'Ann' | branch 1, -65 as zigzag 129 | 300 as zigzag 600
  const wire = hex('00 00000002 06 416e6e 02 8101 d804')
  expect(codec.encode(value)).toEqual(wire)
  expect(codec.decode(wire)).toEqual(value)
})

test('JSON: the same five bytes, then the text', async () => {
  const codec = await bound(json(z.object({ a: z.number() })), memoryRegistry())
  expect(codec.encode({ a: 1 })).toEqual(hex('00 00000001 7b2261223a317d'))
  expect(codec.decode(hex('00 00000001 7b2261223a317d'))).toEqual({ a: 1 })
})

test('ids use all four bytes, unsigned', () => {
  expect(readId(hex('00 fffffffe 01'), { framing })).toBe(2 ** 32 - 2)
  expect(readId(hex('00 01020304'), { framing })).toBe(0x01020304)
})

test('no header: bare Avro', async () => {
  const codec = await bound(avro({ type: 'array', items: 'long' }, { id: false }))
  // The example of the Avro specification: a block of 3 and 27, then the end.
  expect(codec.encode([3n, 27n])).toEqual(hex('04 06 36 00'))
  expect(codec.decode(hex('04 06 36 00'))).toEqual([3n, 27n])
  expect(codec.decode(hex('03 04 06 36 00'))).toEqual([3n, 27n])
})

test('bytes without a header are told so', async () => {
  const codec = await bound(avro('string'), memoryRegistry())
  expect((await failure('bad-record', () => codec.decode(hex('01 00000001 00')))).message).toContain('magic byte 0')
  await failure('bad-record', () => codec.decode(hex('00 000000')))
  await failure('bad-record', () => codec.decode(hex('')))
})

test('subjects are named after topic and part', async () => {
  const registry = memoryRegistry()
  await bound(avro('string'), registry, 'quotes')
  await bound(avro('int', { subject: 'mine' }), registry, 'quotes')
  expect(await registry.subjects()).toEqual(['mine', 'quotes-value'])
})

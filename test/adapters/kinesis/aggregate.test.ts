import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AggregateWriter, type Tag } from '../../../src/adapters/kinesis/aggregate.ts'
import { readAggregate } from '../../../src/adapters/kinesis/aggregate-reader.ts'

const magic = Buffer.from('f3899ac2', 'hex')

/** Frames a protobuf message as the Kinesis Producer Library does. */
function framed(message: Buffer): Buffer {
  return Buffer.concat([magic, message, createHash('md5').update(message).digest()])
}

const field = (tag: number, ...content: (Buffer | string | number)[]): Buffer => {
  const body = Buffer.concat(
    content.map(part => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part as string)))
  )
  return Buffer.concat([Buffer.from([tag, body.length]), body])
}

interface Plain {
  readonly key: string
  readonly data: Buffer
  readonly tags: readonly Tag[]
}

function plain(whole: Buffer): Plain[] | undefined {
  return readAggregate(whole)?.map(({ key, data, tags }) => ({ key, data: Buffer.from(data), tags }))
}

describe('the aggregated record of the Kinesis Producer Library', () => {
  it('is written as the format says, byte by byte', () => {
    const writer = new AggregateWriter('42', 0)
    expect(writer.add('k', Buffer.from('one'), [['name', 'value']], 1000)).toBe(true)
    expect(writer.add('k', Buffer.from('two'), [['empty', '']], 1000)).toBe(true)
    const message = Buffer.concat([
      field(0x0a, 'k'),
      field(0x12, '42'),
      field(0x1a, 0x08, 0, 0x10, 0, field(0x1a, 'one'), field(0x22, field(0x0a, 'name'), field(0x12, 'value'))),
      field(0x1a, 0x08, 0, 0x10, 0, field(0x1a, 'two'), field(0x22, field(0x0a, 'empty')))
    ])
    expect(writer.size).toBe(message.length + 20)
    expect(writer.finish().toString('hex')).toBe(framed(message).toString('hex'))
  })

  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 })
  const record = fc.record({
    key: fc.oneof(text, fc.constantFrom('a', 'b', 'c')),
    data: fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)),
    tags: fc.array(fc.tuple(text, fc.oneof(text, fc.constant(''))), { maxLength: 4 })
  })

  it('comes back as it was written', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 40 }), records => {
        const writer = new AggregateWriter('340282366920938463463374607431768211455', 64)
        for (const { key, data, tags } of records) expect(writer.add(key, data, tags, Infinity)).toBe(true)
        const { size } = writer
        const whole = writer.finish()
        expect(whole.length).toBe(size)
        expect(plain(whole)).toEqual(records)
        expect(
          readAggregate(whole)!.every(({ hashKey }) => hashKey === '340282366920938463463374607431768211455')
        ).toBe(true)
      })
    )
  })

  it('takes no record that would make it larger than its limit, and is as before', () => {
    const writer = new AggregateWriter('0', 0)
    expect(writer.add('key', Buffer.alloc(100), [], 150)).toBe(true)
    const { size } = writer
    expect(writer.add('key', Buffer.alloc(100), [], 150)).toBe(false)
    expect(writer.add('another', Buffer.alloc(100), [], 150)).toBe(false)
    expect([writer.size, writer.count]).toEqual([size, 1])
    expect(plain(writer.finish())).toEqual([{ key: 'key', data: Buffer.alloc(100), tags: [] }])
    const exact = new AggregateWriter('0', 0)
    expect(exact.add('key', Buffer.alloc(100), [], size)).toBe(true)
    expect(new AggregateWriter('0', 0).add('key', Buffer.alloc(100), [], size - 1)).toBe(false)
  })

  it('is read with its tables behind the records, without hash keys, and with fields of a later version', () => {
    const later = Buffer.concat([
      Buffer.from([0x78, 0xff, 0x01]),
      field(0x7a, 'new'),
      Buffer.from([0x79, 1, 2, 3, 4, 5, 6, 7, 8])
    ])
    const message = Buffer.concat([
      field(0x1a, 0x08, 1, field(0x1a, 'data'), later),
      later,
      field(0x0a, 'first'),
      field(0x0a, 'second')
    ])
    const [only] = readAggregate(framed(message))!
    expect([only!.key, only!.hashKey, only!.data.toString(), only!.tags]).toEqual(['second', undefined, 'data', []])
  })

  it('is only what has the magic bytes and the right digest', () => {
    const writer = new AggregateWriter('0', 0)
    writer.add('key', Buffer.from('data'), [], 1000)
    const whole = writer.finish()
    expect(readAggregate(whole)).toHaveLength(1)
    for (let at = 0; at < whole.length; at++) {
      const broken = Buffer.from(whole)
      broken[at]! ^= 1
      expect(readAggregate(broken)).toBeUndefined()
    }
    for (let length = 0; length < whole.length; length++)
      expect(readAggregate(whole.subarray(0, length))).toBeUndefined()
    expect(readAggregate(Buffer.from('just data of somebody'))).toBeUndefined()
  })

  it('is no aggregate when its message is malformed, whatever the digest says', () => {
    const record = (...content: (Buffer | number)[]): Buffer =>
      Buffer.concat([field(0x0a, 'k'), field(0x1a, ...content)])
    const bad: Buffer[] = [
      record(0x08, 1, field(0x1a, 'data')), // no such key
      record(0x08, 0, 0x10, 0, field(0x1a, 'data')), // no such hash key
      record(0x08, 0), // no data
      record(field(0x1a, 'data')), // no key
      record(0x08, 0, 0x1a, 99), // longer than it is
      record(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
      record(0x08, 0, field(0x1a, 'data'), 0x0b), // a group
      Buffer.from([0x0a])
    ]
    for (const message of bad) expect(readAggregate(framed(message))).toBeUndefined()
  })

  it('never throws on bytes of a stranger', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        for (const each of readAggregate(framed(Buffer.from(bytes))) ?? []) void each.tags
      })
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeBatch, StoredBatch, storedSize, type Storable } from '../../../src/adapters/file/records.ts'
import { StreamError } from '../../../src/core/errors.ts'
import { sizeOf, type RawRecord } from '../../../src/core/record.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const headers = fc.dictionary(fc.string({ unit: 'binary', maxLength: 12 }), bytes, { maxKeys: 4 })
const stored: fc.Arbitrary<Storable> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers,
  stamp: fc.option(bytes, { nil: undefined }),
  timestamp: fc.double({ noNaN: true, noDefaultInfinity: true })
})
const batches = fc.array(stored, { minLength: 1, maxLength: 8 })

function encode(records: readonly Storable[], gap = 1): Buffer {
  return encodeBatch(
    records,
    records.reduce((size, record) => size + storedSize(record), 0),
    index => index * gap
  )
}

function decode(data: Uint8Array, base = 0, from = 0, maxBytes = Infinity): RawRecord[] {
  const records: RawRecord[] = []
  const batch = new StoredBatch(data, base, base + 100)
  while (!batch.done) batch.read(from, maxBytes, records)
  return records
}

const plain = (value: Uint8Array | null | undefined): unknown => (value ? [...value] : value)
const comparable = ({ key, value, stamp, timestamp, headers }: Storable): unknown => ({
  key: plain(key),
  value: plain(value),
  stamp: plain(stamp),
  timestamp,
  headers: Object.entries(headers).map(([name, value]) => [name, plain(value)])
})

describe('a stored batch', () => {
  it('gives back what was put in, with its offsets', () => {
    fc.assert(
      fc.property(batches, fc.integer({ min: 1, max: 9 }), (records, gap) => {
        // Unpaired surrogates have no UTF-8; names of headers are text.
        fc.pre(records.every(({ headers }) => Object.keys(headers).every(name => name.isWellFormed())))
        const read = decode(encode(records, gap), 1000)
        expect(read.map(comparable)).toEqual(records.map(comparable))
        expect(read.map(({ position }) => position)).toEqual(records.map((_, index) => String(1000 + index * gap)))
      })
    )
  })

  it('is a view: payloads are not copied', () => {
    const data = encode([{ key: null, value: Buffer.from('value'), headers: {}, stamp: undefined, timestamp: 0 }])
    expect(decode(data)[0]!.value!.buffer).toBe(data.buffer)
  })

  it('starts at an offset, and goes on where it stopped for want of room', () => {
    const records = Array.from({ length: 10 }, (_, index) => record(String(index)))
    expect(decode(encode(records), 20, 27).map(({ position }) => position)).toEqual(['27', '28', '29'])
    const batch = new StoredBatch(encode(records), 0, 9)
    const first: RawRecord[] = []
    const room = sizeOf(record('0')) * 4
    expect(batch.read(0, room, first)).toBe(room)
    expect(first.map(({ position }) => position)).toEqual(['0', '1', '2', '3'])
    const second: RawRecord[] = []
    batch.read(0, 1, second)
    expect(second.map(({ position }) => position)).toEqual(['4'])
  })

  it('with a byte changed or cut off is corrupt, never another record', () => {
    fc.assert(
      fc.property(batches, fc.nat(), fc.integer({ min: 1, max: 255 }), (records, place, change) => {
        const data = encode(records)
        const changed = Buffer.from(data)
        changed[place % data.length]! ^= change
        expect(codeOf(() => decode(changed))).toBe('corrupt')
        expect(codeOf(() => decode(data.subarray(0, place % data.length)))).toBe('corrupt')
      })
    )
  })

  it('does not take what it cannot keep', () => {
    expect(codeOf(() => storedSize({ ...record(''), headers: { ['n'.repeat(70_000)]: Buffer.alloc(1) } }))).toBe(
      'too-large'
    )
    expect(codeOf(() => storedSize({ ...record(''), timestamp: NaN }))).toBe('bad-record')
  })
})

function record(value: string): Storable {
  return { key: null, value: Buffer.from(value), headers: {}, stamp: undefined, timestamp: 0 }
}

function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (StreamError.is(error)) return error.code
    throw error
  }
  return 'no error'
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import { decodeStamp, encodeStamp, writeVarint } from '../../src/core/stamp.ts'

/** Milliseconds that a topic accepts: see `encodeEntry`. */
const time = fc.integer({ min: -(2 ** 50), max: 2 ** 50 })
const producer = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('latin1'))
const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })

describe('the stamp', () => {
  it('gives back what it was given', () => {
    fc.assert(
      fc.property(
        producer,
        sequence,
        time,
        fc.option(time, { nil: undefined }),
        fc.boolean(),
        (id, number, at, watermark, late) => {
          const bytes = encodeStamp(id, number, at, watermark, late)
          expect(decodeStamp(bytes)).toEqual({ producer: id, sequence: number, eventTime: at, watermark, late })
          expect(bytes.length).toBeLessThanOrEqual(41)
        }
      ),
      { numRuns: 1_000 }
    )
  })

  it('is 20 to 33 bytes for the times of today', () => {
    const now = Date.UTC(2026, 10, 21)
    expect(encodeStamp('p'.repeat(16), 1, now, undefined, false).length).toBeLessThanOrEqual(24)
    expect(encodeStamp('p'.repeat(16), 1e9, now, now - 60_000, true).length).toBeLessThanOrEqual(33)
  })

  it('refuses every cut and every other version as corrupt', () => {
    fc.assert(
      fc.property(producer, sequence, time, time, fc.nat(), (id, number, at, watermark, cut) => {
        const bytes = encodeStamp(id, number, at, watermark, false)
        expect(codeOf(() => decodeStamp(bytes.subarray(0, cut % bytes.length)))).toBe('corrupt')
        const newer = Buffer.from(bytes)
        newer[0] = (newer[0]! & 0xf0) | 2
        expect(codeOf(() => decodeStamp(newer))).toBe('corrupt')
      })
    )
  })

  it('survives any bytes: a stamp or corrupt, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 48 }), bytes => {
        expect([undefined, 'corrupt']).toContain(codeOf(() => decodeStamp(bytes)))
      }),
      { numRuns: 2_000 }
    )
    expect(codeOf(() => decodeStamp(Buffer.alloc(64, 0xff).fill(1, 0, 1)))).toBe('corrupt')
  })

  it('tells producers apart that take turns, also those that differ in one byte', () => {
    const ids = ['a', 'b', 'aa', 'ba'].map(start => start.padEnd(16, 'z'))
    const stamps = ids.map(id => encodeStamp(id, 1, 0, undefined, false))
    for (let turn = 0; turn < 3; turn++) expect(stamps.map(bytes => decodeStamp(bytes).producer)).toEqual(ids)
  })

  it('reads from the middle of a larger buffer', () => {
    const bytes = encodeStamp('x'.repeat(16), 7, 1_700_000_000_000, undefined, true)
    const larger = new Uint8Array(100).fill(0xee)
    larger.set(bytes, 13)
    expect(decodeStamp(larger.subarray(13, 13 + bytes.length))).toMatchObject({ sequence: 7, late: true })
  })
})

describe('varints', () => {
  it.each([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 1]],
    [300, [0xac, 2]],
    [2 ** 32, [0x80, 0x80, 0x80, 0x80, 0x10]],
    [Number.MAX_SAFE_INTEGER, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]]
  ])('%d', (value, expected) => {
    const bytes = new Uint8Array(10)
    const end = writeVarint(bytes, 0, value)
    expect([...bytes.subarray(0, end)]).toEqual(expected)
  })
})

function codeOf(call: () => unknown): string | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    return StreamError.is(error) ? error.code : `${String(error)}`
  }
}

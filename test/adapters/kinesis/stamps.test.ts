import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StampReader, StampWriter } from '../../../src/adapters/kinesis/stamps.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'

const producer = (name: string): string => name.padEnd(16, '.')
const time = 1_700_000_000_000

const size = ([name, value]: readonly [string, string]): number => name.length + value.length + (value === '' ? 4 : 6)

function roundTrip(stamps: readonly Uint8Array[]): (Uint8Array | undefined)[] {
  const writer = new StampWriter()
  const reader = new StampReader()
  return stamps.map(stamp => reader.stamp(writer.tag(stamp)))
}

describe('stamps in the tags of an aggregate', () => {
  const stamp = fc
    .record({
      producer: fc.constantFrom(producer('one'), producer('two'), '\u00ff\u0000binary-prod\u0080x'),
      step: fc.constantFrom(1, 1, 1, 1, 0, 2, -1),
      eventTime: fc.oneof(
        fc.constant(time),
        fc.integer({ min: time - 100_000, max: time + 100_000 }),
        fc.maxSafeInteger()
      ),
      watermark: fc.option(fc.integer({ min: time - 10_000_000, max: time }), { nil: undefined }),
      late: fc.constantFrom(false, false, false, true)
    })
    .filter(({ eventTime, watermark }) => Math.abs(eventTime) < 2 ** 51 || watermark === undefined)

  it('come back byte for byte', () => {
    fc.assert(
      fc.property(fc.array(stamp, { minLength: 1, maxLength: 30 }), parts => {
        let sequence = 1000
        const stamps = parts
          .filter(({ eventTime }) => Math.abs(eventTime) < 2 ** 51)
          .map(({ producer, step, eventTime, watermark, late }) =>
            encodeStamp(producer, (sequence += step), eventTime, watermark, late)
          )
        expect(roundTrip(stamps).map(each => Buffer.from(each!).toString('hex'))).toEqual(
          stamps.map(each => each.toString('hex'))
        )
      })
    )
  })

  it('of another version, or of a stranger, are carried as they are', () => {
    const first = encodeStamp(producer('one'), 1, time, undefined, false)
    const later = Buffer.concat([Buffer.from([0x0f]), first.subarray(1)])
    const second = encodeStamp(producer('one'), 2, time, undefined, false)
    const stamps = [first, later, second, Buffer.from('no stamp'), Buffer.alloc(0), second]
    expect(roundTrip(stamps).map(each => Buffer.from(each!).toString('hex'))).toEqual(
      stamps.map(each => Buffer.from(each).toString('hex'))
    )
  })

  it('that go on from each other take a few bytes', () => {
    const writer = new StampWriter()
    const of = (sequence: number, eventTime: number, watermark?: number): number =>
      size(writer.tag(encodeStamp(producer('one'), sequence, eventTime, watermark, false)))
    expect(of(1, time)).toBe(40)
    expect(of(2, time)).toBe(5)
    expect(of(3, time + 7)).toBe(8)
    expect(of(4, time + 300)).toBe(9)
    expect(of(5, time + 301, time - 4_700)).toBe(11)
    expect(of(7, time + 301)).toBe(40)
  })

  it('are nothing without the one before them, and nothing of ours is a stamp by accident', () => {
    expect(new StampReader().stamp(['~', 'AA'])).toBeUndefined()
    expect(new StampReader().stamp(['trace', 'AA'])).toBeUndefined()
  })
})

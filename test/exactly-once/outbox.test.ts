import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders, type OutgoingRecord } from '../../src/core/record.ts'
import { decodeHead, decodeOutbox, encodeHead, encodeOutbox, type Head } from '../../src/exactly-once/index.ts'

const some = fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes))
const record: fc.Arbitrary<OutgoingRecord> = fc.record({
  topic: fc.oneof(fc.constantFrom('trades', 'totals'), fc.string({ minLength: 1, maxLength: 249, unit: 'grapheme' })),
  partition: fc.nat({ max: 2 ** 32 - 1 }),
  key: fc.option(some),
  value: fc.option(some),
  headers: fc.dictionary(fc.string({ maxLength: 20, unit: 'grapheme' }), some, { maxKeys: 4 }),
  stamp: fc.option(some, { nil: undefined }),
  timestamp: fc.oneof(fc.integer(), fc.double({ noNaN: true }))
})

describe('the outbox of a commit', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), records => {
        const decoded = decodeOutbox(encodeOutbox(records))
        expect(decoded.length).toBe(records.length)
        for (const [index, { headers, ...rest }] of decoded.entries()) {
          const { headers: given, ...expected } = records[index]!
          expect(rest).toEqual(expected)
          expect(Object.entries(headers)).toEqual(Object.entries(given))
        }
      }),
      { numRuns: 500 }
    )
  })

  it('has room for the longest name of a topic', () => {
    const long = 'n'.repeat(249)
    const [decoded] = decodeOutbox(
      encodeOutbox([
        { topic: long, partition: 0, key: null, value: null, headers: noHeaders, stamp: undefined, timestamp: 0 }
      ])
    )
    expect(decoded!.topic).toBe(long)
  })

  it('cut anywhere is corrupt', () => {
    const blob = encodeOutbox(fc.sample(record, { numRuns: 5, seed: 1 }))
    for (let end = 0; end < blob.length; end++)
      expect(
        codeOf(() => decodeOutbox(blob.subarray(0, end))),
        `cut at ${end}`
      ).toBe('corrupt')
    expect(codeOf(() => decodeOutbox(Buffer.concat([blob, Buffer.from([0])])))).toBe('corrupt')
  })

  it('of any bytes is an outbox or corrupt', () => {
    const blob = encodeOutbox(fc.sample(record, { numRuns: 3, seed: 2 }))
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 255 }), (at, byte) => {
        const damaged = Buffer.from(blob)
        damaged[at % blob.length] = byte
        const code = codeOf(() => {
          for (const { topic } of decodeOutbox(damaged)) expect(typeof topic).toBe('string')
        })
        expect([undefined, 'corrupt']).toContain(code)
      }),
      { numRuns: 2_000 }
    )
    fc.assert(
      fc.property(
        fc.uint8Array(),
        bytes => void expect([undefined, 'corrupt']).toContain(codeOf(() => decodeOutbox(bytes)))
      )
    )
  })
})

describe('the head of a commit', () => {
  const head: Head = {
    positions: { trades: '41' },
    trackers: { trades: { watermark: 5, producers: {} } },
    sequences: { totals: { 0: 3 } },
    watermark: 'end',
    counts: { processed: 3 },
    cursor: { file: 'a', line: 4 },
    newest: 9,
    finished: false
  }

  it('comes back as it was', () => {
    expect(decodeHead(encodeHead(head), 'p/s/0')).toMatchObject(head)
  })

  it.each([
    ['no JSON', 'x'],
    ['a later version', JSON.stringify({ ...head, v: 2 })],
    ['null', 'null'],
    ['a list', '[]'],
    ['no trackers', JSON.stringify({ v: 1, positions: {}, sequences: {}, watermark: null, counts: {} })],
    ['positions that are none', JSON.stringify({ ...head, v: 1, positions: { trades: 5 } })]
  ])('with %s is corrupt, and names the task', (_, given) => {
    expect(codeOf(() => decodeHead(Buffer.from(given), 'p/s/0'))).toBe('corrupt')
    expect(() => decodeHead(Buffer.from(given), 'p/s/0')).toThrow("task 'p/s/0'")
  })
})

function codeOf(call: () => unknown): string | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    if (StreamError.is(error)) return error.code
    throw error
  }
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { messageOf, StreamError } from '../../src/core/errors.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { decodeVitals, encodeVitals, noCounts, type Vitals } from '../../src/watermark/vitals.ts'

const time = fc.oneof(fc.integer(), fc.constantFrom(-Infinity, Infinity))
const vitals: fc.Arbitrary<Vitals> = fc.record({
  producer: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('latin1')),
  task: fc.string({ maxLength: 20 }),
  durable: fc.boolean(),
  state: fc.constantFrom('joining', 'active', 'idle', 'closing', 'left'),
  watermark: time,
  outputs: fc
    .array(
      fc.tuple(
        fc.string({ maxLength: 8 }),
        fc.record({ watermark: time, last: fc.array(fc.tuple(fc.nat(), fc.nat())).map(pairs => new Map(pairs)) })
      )
    )
    .map(pairs => new Map(pairs)),
  counts: fc.record({
    processed: fc.nat(),
    emitted: fc.nat(),
    parked: fc.nat(),
    late: fc.nat(),
    expired: fc.nat(),
    duplicates: fc.nat(),
    lost: fc.nat()
  }),
  commit: fc.nat(),
  beat: fc.nat()
})

describe('vitals', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(vitals, report => void expect(decodeVitals(encodeVitals(report))).toEqual(report)),
      { numRuns: 500 }
    )
  })

  it('of a later release may have more fields', () => {
    const report = JSON.parse(encodeVitals(base()).toString())
    expect(
      decodeVitals(
        Buffer.from(JSON.stringify({ ...report, health: { backlog: 5 }, counts: { ...report.counts, expired: 3 } }))
      )
    ).toMatchObject({ task: 'p/s/0' })
  })

  it.each([
    ['no JSON', 'nonsense'],
    ['another version', JSON.stringify({ ...raw(), v: 2 })],
    ['a producer that is none', JSON.stringify({ ...raw(), producer: 'zz' })],
    ['a watermark that is none', JSON.stringify({ ...raw(), watermark: 'soon' })],
    ['a state that is none', JSON.stringify({ ...raw(), state: 'gone' })],
    ['a beat that is none', JSON.stringify({ ...raw(), beat: -1 })],
    ['a partition that is none', JSON.stringify({ ...raw(), outputs: { t: { watermark: 1, last: { x: 1 } } } })],
    ['a sequence that is none', JSON.stringify({ ...raw(), outputs: { t: { watermark: 1, last: { 0: 1.5 } } } })],
    ['an output that is none', JSON.stringify({ ...raw(), outputs: { t: null } })],
    ['null', 'null']
  ])('with %s are corrupt', (_, given) => {
    expect(() => decodeVitals(Buffer.from(given))).toThrow(StreamError)
  })

  it('of any bytes are vitals or corrupt', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map(given => Buffer.from(given)),
          mutated()
        ),
        given => {
          try {
            decodeVitals(given)
          } catch (error) {
            expect(StreamError.is(error) && error.code, messageOf(error)).toBe('corrupt')
          }
        }
      ),
      { numRuns: 1_000 }
    )
  })
})

describe('membership', () => {
  it('merges upwards: old reports that come late change nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 50 }), fc.nat({ max: 50 })), { minLength: 1 }), reports => {
        const membership = new TopicMembership()
        let most = -Infinity
        let last = 0
        for (const [watermark, sequence] of reports) {
          membership.report(
            { ...base(), outputs: new Map([['t', { watermark, last: new Map([[0, sequence]]) }]]) },
            't',
            0
          )
          most = Math.max(most, watermark)
          last = Math.max(last, sequence)
          expect(membership.members.get(base().producer)).toMatchObject({ watermark: most, last: new Map([[0, last]]) })
        }
      })
    )
  })

  it('does not listen to those who write elsewhere', () => {
    const membership = new TopicMembership()
    membership.report(base(), 'other', 0)
    expect(membership.members.size).toBe(0)
    expect(membership.version).toBe(0)
  })

  it('lifts the silent ones that are not durable, have not ended, and nobody else', () => {
    const membership = new TopicMembership()
    const plain = { durable: false }
    membership.report({ ...base('d') }, 't', 0)
    membership.report({ ...base('p'), ...plain }, 't', 0)
    membership.report({ ...base('q'), ...plain }, 't', 100)
    const { version } = membership
    expect(membership.liftSilent(50)).toBe(true)
    expect([...membership.members.values()].map(member => member.lifted)).toEqual([false, true, false])
    expect(membership.version).toBe(version + 1)
    membership.report({ ...base('p'), ...plain }, 't', 120)
    expect(membership.members.get(base('p').producer)!.lifted).toBe(false)
  })
})

function base(name = 'x'): Vitals {
  return {
    producer: name.repeat(16),
    task: 'p/s/0',
    durable: true,
    state: 'active',
    watermark: 1,
    outputs: new Map([['t', { watermark: 1, last: new Map([[0, 1]]) }]]),
    counts: noCounts,
    commit: 1,
    beat: 1
  }
}

function raw(): Record<string, unknown> {
  return JSON.parse(encodeVitals(base()).toString())
}

function mutated(): fc.Arbitrary<Uint8Array> {
  return fc
    .dictionary(fc.constantFrom(...Object.keys(raw())), fc.anything())
    .map(changes =>
      Buffer.from(
        JSON.stringify({ ...raw(), ...changes }, (_, value) => (typeof value === 'bigint' ? Number(value) : value))
      )
    )
}

import { describe, expect, test } from 'vitest'
import { maxPayload } from '../../../src/adapters/pulsar/capabilities.ts'
import { frameOf, maxFrame, readAnswer, readMessage } from '../../../src/adapters/pulsar/frames.ts'
import { toMessage, toRecord } from '../../../src/adapters/pulsar/records.ts'
import type { OutgoingRecord, RawRecord } from '../../../src/core/record.ts'
import { record } from './server.ts'

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

/** As it would come back from the server. */
function roundTrip(outgoing: OutgoingRecord): RawRecord {
  const { key, payload, properties, eventTime } = JSON.parse(frameOf(toMessage(outgoing, undefined), '7')) as Record<
    string,
    never
  >
  const echo = {
    messageId: 'CAYQADAA',
    payload,
    properties: properties ?? {},
    key,
    eventTime,
    publishTime: '2026-01-02T03:04:05.06Z'
  }
  return toRecord(readMessage(Buffer.from(JSON.stringify(echo))).message)
}

describe('records as Pulsar messages', () => {
  test('carry bytes of all kinds in value and key', () => {
    const { key, value, position } = roundTrip(record('t', 0, every, { key: every }))
    expect([Buffer.from(key!), Buffer.from(value!), position]).toEqual([every, every, '6:0'])
    for (const text of ['', 'plain', '"quoted" \\ \n', '🌊', '\ufeffmark', '\u0000'])
      expect(Buffer.from(roundTrip(record('t', 0, 'x', { key: Buffer.from(text) })).key!).toString('hex')).toBe(
        Buffer.from(text).toString('hex')
      )
  })

  test('tell no key from an empty one, and no value from an empty one', () => {
    expect(roundTrip(record('t', 0, 'x')).key).toBe(null)
    expect(roundTrip(record('t', 0, 'x', { key: Buffer.alloc(0) })).key).toHaveLength(0)
    expect(roundTrip(record('t', 0, null)).value).toBe(null)
    expect(roundTrip(record('t', 0, '')).value).toHaveLength(0)
    expect(roundTrip(record('t', 0, null)).headers).toEqual({})
  })

  test('have their event time to the millisecond, before 1970 too; without one, the time of publishing', () => {
    for (const timestamp of [1, -1, -62_135_596_800_000, 1_700_000_000_123, 253_402_300_799_999])
      expect(roundTrip(record('t', 0, 'x', { timestamp })).timestamp).toBe(timestamp)
    expect(roundTrip(record('t', 0, 'x', { timestamp: 0 })).timestamp).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 60))
    for (const timestamp of [Number.NaN, Infinity, 8.64e15 + 1])
      expect(() => toMessage(record('t', 0, 'x', { timestamp }), undefined)).toThrow(
        expect.objectContaining({ code: 'bad-record' })
      )
  })

  test('are read with years as Java writes them', () => {
    const read = (eventTime: string): number =>
      readMessage(Buffer.from(JSON.stringify({ messageId: 'CAYQADAA', payload: '', eventTime }))).message.eventTime
    expect(read('+10000-01-01T00:00:00Z')).toBe(253_402_300_800_000)
    expect(read('-0001-12-31T23:59:59.999Z')).toBe(-62_167_219_200_001)
    expect(read('+275760-09-13T00:00:00Z')).toBe(8.64e15)
    // Nanoseconds of somebody: beyond any calendar.
    expect(read('+53840000-01-01T00:00:00Z')).toBe(0)
  })

  test('keep headers, and the stamp apart from them', () => {
    const headers = { größe: Buffer.from('naïve ✓'), empty: Buffer.alloc(0), constructor: Buffer.from('x') }
    const back = roundTrip(record('t', 0, 'x', { headers, stamp: every }))
    expect(Object.keys(back.headers)).toEqual(Object.keys(headers))
    expect(Buffer.from(back.headers['größe']!).toString()).toBe('naïve ✓')
    expect(Buffer.from(back.stamp!)).toEqual(every)
  })

  test('refuse a header that is not text, or that has one of our names', () => {
    const bad = (headers: OutgoingRecord['headers']) => () => toMessage(record('t', 0, 'x', { headers }), undefined)
    expect(bad({ raw: every })).toThrow(
      expect.objectContaining({ code: 'bad-record', message: expect.stringContaining("'raw'") })
    )
    for (const name of ['~s', '~t', '~k']) expect(bad({ [name]: Buffer.from('x') })).toThrow(/reserved/)
  })

  test('refuse more than 760 KiB of value, and more than a frame of everything together', () => {
    const tooLarge = expect.objectContaining({ code: 'too-large', retryable: false })
    const made = (value: Buffer, more?: Partial<OutgoingRecord>): number =>
      Buffer.byteLength(frameOf(toMessage(record('t', 0, value, more), undefined), '0000000000'))
    expect(made(Buffer.alloc(maxPayload), { key: Buffer.alloc(9_000, 'k') })).toBeLessThanOrEqual(maxFrame)
    expect(() => made(Buffer.alloc(maxPayload + 1))).toThrow(tooLarge)
    expect(() => made(Buffer.alloc(maxPayload), { key: Buffer.alloc(20_000, 'k') })).toThrow(tooLarge)
    // A control character takes six characters in JSON.
    expect(() => made(Buffer.alloc(1), { key: Buffer.alloc(200_000, 1) })).toThrow(tooLarge)
    expect(() => made(Buffer.alloc(1), { headers: { big: Buffer.alloc(2_000_000, 'x') } })).toThrow(tooLarge)
  })

  test.each([
    '',
    'nonsense',
    '[]',
    '{}',
    '{"result":"ok","context":"1"}',
    '{"result":"ok","messageId":"CA","context":"1"}'
  ])('an answer %j of the server is corrupt', text => {
    expect(() => readAnswer(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'corrupt' }))
    expect(() => readMessage(Buffer.from(text.replace('ok', 'x').replace('"CA"', '"!"')))).toThrow(
      expect.objectContaining({ code: 'corrupt' })
    )
  })

  test('an answer that says "duplicate" is a success without a position', () => {
    const duplicate = { result: 'ok', messageId: 'CP///////////wEQ////////////AQ==', context: '3' }
    expect(readAnswer(Buffer.from(JSON.stringify(duplicate)))).toEqual({
      context: '3',
      id: undefined,
      error: undefined
    })
  })
})

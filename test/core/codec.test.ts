import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytes, json, number, optional, text, type Codec } from '../../src/core/codec.ts'
import { StreamError } from '../../src/core/errors.ts'

describe('text', () => {
  it('gives back every well-formed text, U+FFFD and byte order marks included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), value => void expect(text.decode(text.encode(value))).toBe(value)),
      { numRuns: 500 }
    )
    for (const value of ['', '\uFFFD', '\uFEFFmark', 'naïve \u{1F30A}'])
      expect(text.decode(text.encode(value))).toBe(value)
  })

  it.each([
    ['a lone continuation byte', [0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['latin1', [0x66, 0xfc, 0x72]]
  ])('refuses %s', (_, malformed) => {
    expect(() => text.decode(Uint8Array.from(malformed))).toThrow()
  })

  it('refuses what UTF-8 cannot carry, and what is no text', () => {
    expect(() => text.encode('\ud800')).toThrow(StreamError)
    expect(() => text.encode(5 as never)).toThrow('text expects a string, got number')
  })

  it('decodes from the middle of a larger buffer', () => {
    const buffer = Buffer.from('xxhelloxx')
    expect(text.decode(new Uint8Array(buffer.buffer, buffer.byteOffset + 2, 5))).toBe('hello')
  })
})

describe('number', () => {
  it('gives back every double', () => {
    fc.assert(
      fc.property(
        fc.double(),
        value => void expect(Object.is(number.decode(number.encode(value)), value) || Number.isNaN(value)).toBe(true)
      )
    )
    expect([...number.encode(1.5)]).toEqual([0x3f, 0xf8, 0, 0, 0, 0, 0, 0])
  })

  it('refuses other lengths and other types', () => {
    expect(() => number.decode(new Uint8Array(7))).toThrow('number expects 8 bytes, got 7')
    for (const value of ['5', undefined, null, 5n, {}])
      expect(() => number.encode(value as never), String(value)).toThrow('number expects a number')
  })
})

describe('json', () => {
  it('gives back every JSON value', () => {
    const codec = json<unknown>()
    fc.assert(
      fc.property(
        fc.jsonValue(),
        value => void expect(codec.decode(codec.encode(value))).toEqual(JSON.parse(JSON.stringify(value)))
      )
    )
  })

  it('refuses malformed UTF-8 instead of replacing it', () => {
    expect(() => json().decode(Uint8Array.from([0x22, 0xff, 0x22]))).toThrow()
    expect(json().decode(Buffer.from('"\uFFFD"'))).toBe('\uFFFD')
  })

  it('refuses what JSON cannot say', () => {
    expect(() => json().encode(undefined)).toThrow()
    expect(() => json().decode(Buffer.from('{'))).toThrow()
  })
})

describe('bytes and optional', () => {
  it('passes bytes as they are', () => {
    const value = Uint8Array.from([1, 2, 3])
    expect(bytes.decode(bytes.encode(value))).toBe(value)
  })

  it('keeps binding and preparing of the inner codec', async () => {
    const inner: Codec<string> = {
      ...text,
      name: 'inner',
      prepare: async () => {},
      bind: async context => ({ ...text, name: `bound to ${context.topic}` })
    }
    const outer = optional(inner)
    expect(outer.nullable).toBe(true)
    expect(outer.prepare?.([])).toBeInstanceOf(Promise)
    const bound = await outer.bind!({ topic: 'trades', part: 'value', registry: undefined })
    expect(bound).toMatchObject({ name: 'bound to trades', nullable: true })
    expect(optional(text).bind).toBeUndefined()
    expect(optional(text).prepare).toBeUndefined()
  })
})

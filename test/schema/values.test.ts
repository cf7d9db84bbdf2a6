import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { readDecimal, unscaledOf, writeDecimal } from '../../src/schema/avro/decimal.ts'
import { readLong, writeLong } from '../../src/schema/avro/long.ts'
import { createSlab } from '../../src/schema/slab.ts'
import { hex, varint } from './support.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
beforeAll(() => console.log(`fuzz seed ${seed}: repeat with FUZZ_SEED=${seed}`))
const options = { seed, numRuns: 2_000 }

test('every long of 64 bits, against the plain arithmetic', () => {
  const edges = [0n, 1n, 2n ** 27n, 2n ** 31n, 2n ** 48n, 2n ** 52n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n].flatMap(
    edge => [edge - 1n, edge, edge + 1n, -edge, -edge - 1n, 1n - edge].map(value => BigInt.asIntN(64, value))
  )
  const check = (value: bigint): void => {
    const bytes = Buffer.from(writeLong(value))
    expect(bytes).toEqual(varint(value))
    expect(readLong(bytes)).toBe(value)
  }
  edges.forEach(check)
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), check), options)
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.nat(63), (value, shift) =>
      check(value >> BigInt(shift))
    ),
    options
  )
})

test('decimals, against known bytes and back', () => {
  const known: [string, number, number, string][] = [
    ['0.00', 4, 2, '00'],
    ['1.28', 4, 2, '0080'],
    ['-1.28', 4, 2, '80'],
    ['-1.29', 4, 2, 'ff7f'],
    ['655.36', 6, 2, '010000'],
    ['-0.01', 4, 2, 'ff'],
    ['12', 4, 0, '0c']
  ]
  for (const [text, precision, scale, bytes] of known) {
    expect(writeDecimal(unscaledOf(text, precision, scale)!)).toEqual(hex(bytes))
    expect(readDecimal(hex(bytes), scale)).toBe(text)
    expect(readDecimal(writeDecimal(unscaledOf(text, precision, scale)!, 16), scale)).toBe(text)
  }
  expect(readDecimal(hex(''), 2)).toBe('0.00')
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 30n) + 1n, max: 10n ** 30n - 1n }), fc.nat(30), (unscaled, scale) => {
      const text = readDecimal(writeDecimal(unscaled), scale)
      expect(unscaledOf(text, 30, scale)).toBe(unscaled)
    }),
    options
  )
})

test('a slab hands out ranges that never overlap, of any size', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(200), fc.nat(5)), { maxLength: 40 }), sizes => {
      const slab = createSlab(64)
      const results = sizes.map(([size, header], index) => {
        const bytes = slab.carve(header, (target, position) => {
          for (let offset = 0; offset < size; offset++)
            if (position + offset < target.length) target[position + offset] = index + 1
          const end = position + size
          return end <= target.length ? end : target.length - end
        })
        bytes.fill(0xff, 0, header)
        return bytes
      })
      for (const [index, [size, header]] of sizes.entries())
        expect(results[index]).toEqual(Buffer.concat([Buffer.alloc(header, 0xff), Buffer.alloc(size, index + 1)]))
    }),
    options
  )
})

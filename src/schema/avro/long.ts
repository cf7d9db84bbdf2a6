import type { Avsc, AvscType } from './peer.ts'

// One piece of memory, seen at each length: the package copies out of what `toBuffer` returns at once.
const scratch = Buffer.alloc(10)
const views: readonly Buffer[] = Array.from({ length: 11 }, (_, length) => scratch.subarray(0, length))

/** Whole numbers up to here can be doubled without a loss. */
const doubleable = 2 ** 52

/** `long` as bigint. The package's own hook for longs, with the arithmetic done in numbers wherever they are exact. */
export function bigintLong(avsc: Avsc): AvscType {
  return avsc.types.LongType.__with(
    {
      fromBuffer: readLong,
      toBuffer: writeLong,
      fromJSON: (value: number | bigint) => BigInt(value),
      // The package hands this to `fromJSON` and nowhere else.
      toJSON: (value: bigint) => value,
      isValid: value => typeof value === 'bigint' && BigInt.asIntN(64, value) === value,
      compare: (left: bigint, right: bigint) => (left < right ? -1 : left > right ? 1 : 0)
    },
    true
  )
}

/** Whole numbers that the package takes for a `long`. */
export const largestNumber: number = 2 ** 53 - 2

/** The package's place in bytes. */
export interface LongTap {
  readonly buf: Buffer
  readonly pos: number
  writeFixed(bytes: Buffer, length: number): void
  skipLong(): void
}

export function takeLong(tap: LongTap): bigint {
  const start = tap.pos
  tap.skipLong()
  return readLong(tap.buf.subarray(start, tap.pos))
}

type Overridable = new (
  schema: object,
  options: object
) => AvscType & { _read(tap: LongTap): number; _write(tap: LongTap, value: number): void }

/**
 * `long` as number. The package doubles it in a number, which below -2^52 loses the last bit: it would write and read another value,
 * with another sign.
 */
export function numberLong(avsc: Avsc): AvscType {
  return new (class extends (avsc.types.LongType as unknown as Overridable) {
    override _write(tap: LongTap, value: number): void {
      if (value >= -doubleable || value < -largestNumber || value % 1 !== 0) return super._write(tap, value)
      const bytes = writeLong(BigInt(value))
      tap.writeFixed(bytes, bytes.length)
    }
    override _read(tap: LongTap): number {
      const start = tap.pos
      const value = super._read(tap)
      if (value < doubleable && value > -doubleable) return value
      const exact = readLong(tap.buf.subarray(start, tap.pos))
      if (exact > BigInt(largestNumber) || exact < -BigInt(largestNumber)) throw new RangeError('a long is beyond 2^53')
      return Number(exact)
    }
  })({}, {})
}

/** A zigzag varint of at most ten bytes, proven before. */
export function readLong(bytes: Buffer): bigint {
  const { length } = bytes
  if (length <= 4) {
    let unsigned = 0
    for (let index = length - 1; index >= 0; index--) unsigned = (unsigned << 7) | (bytes[index]! & 0x7f)
    return BigInt((unsigned >>> 1) ^ -(unsigned & 1))
  }
  let low = 0
  for (let index = Math.min(length, 7) - 1; index >= 0; index--) low = low * 128 + (bytes[index]! & 0x7f)
  if (length <= 7) return BigInt(bytes[0]! & 1 ? -(low + 1) / 2 : low / 2)
  let high = 0
  for (let index = length - 1; index >= 7; index--) high = high * 128 + (bytes[index]! & 0x7f)
  const unsigned = (BigInt(high) << 49n) | BigInt(low)
  return (unsigned >> 1n) ^ -(unsigned & 1n)
}

/** Valid until the next call. */
export function writeLong(value: bigint): Buffer {
  const number = Number(value)
  if (number >= -doubleable && number < doubleable)
    return views[writeUnsigned(number < 0 ? -number * 2 - 1 : number * 2, 0)]!
  const zigzag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  const low = Number(zigzag & 0x1ffffffffffffn)
  for (let index = 0, rest = low; index < 7; index++, rest = Math.floor(rest / 128))
    scratch[index] = (rest % 128) | 0x80
  return views[writeUnsigned(Number(zigzag >> 49n), 7)]!
}

function writeUnsigned(value: number, position: number): number {
  let rest = value
  while (rest >= 0x80000000) {
    scratch[position++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest >= 0x80) {
    scratch[position++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  scratch[position] = rest
  return position + 1
}

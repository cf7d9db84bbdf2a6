import { StreamError } from '../../core/errors.ts'
import { readDecimal, unscaledOf, writeDecimal } from './decimal.ts'
import type { Avsc, AvscLogicalType, AvscType, AvscTypeClass } from './peer.ts'

/**
 * How a value of a type looks in JavaScript, where that is not how the package shows it. `toValue` answers `undefined`
 * for a value that does not fit; `fromValue` throws.
 */
interface Conversion {
  readonly toValue: (value: unknown) => unknown
  readonly fromValue: (raw: any) => unknown
  /** Reads what another type wrote: given the writer, how its decoded value becomes ours. Nothing: it cannot. */
  readonly resolve: (writer: AvscType) => ((value: any) => unknown) | undefined
}

/** A class of types for the package that shows values through a conversion. */
export function convertedType(avsc: Avsc, conversion: Conversion): AvscTypeClass {
  return class Converted extends (avsc.types.LogicalType as AvscTypeClass<AvscLogicalType>) {
    _toValue(value: unknown): unknown {
      return conversion.toValue(value)
    }
    _fromValue(raw: unknown): unknown {
      return conversion.fromValue(raw)
    }
    _resolve(writer: AvscType): ((value: any) => unknown) | undefined {
      return conversion.resolve(writer)
    }
  }
}

const millisPerDay = 86_400_000

/** `date`: days since the epoch. A `Date` at midnight UTC. */
export const day: Conversion = {
  toValue: value => (isValidDate(value) ? Math.floor(value.getTime() / millisPerDay) : undefined),
  fromValue: (days: number) => dateOf(days * millisPerDay),
  resolve: writer => {
    if (is(writer, 'date')) return date => date as Date
    return writer.typeName === 'int' ? (days: number) => dateOf(days * millisPerDay) : undefined
  }
}

/** `timestamp-millis` over a number. */
export const milliseconds: Conversion = {
  toValue: value => (isValidDate(value) ? value.getTime() : undefined),
  fromValue: dateOf,
  resolve: writer => {
    if (is(writer, 'timestamp-millis')) return date => date as Date
    return isWhole(writer) ? (raw: number | bigint) => dateOf(Number(raw)) : undefined
  }
}

/** `timestamp-micros` over a bigint: what a `Date` cannot hold below the millisecond is cut off. */
export const microseconds: Conversion = {
  toValue: value => (isValidDate(value) ? BigInt(value.getTime()) * 1000n : undefined),
  fromValue: fromMicros,
  resolve: writer => {
    if (is(writer, 'timestamp-micros')) return date => date as Date
    return isWhole(writer) ? (raw: number | bigint) => fromMicros(BigInt(raw)) : undefined
  }
}

/** `bytes`: the package insists on a Buffer, we take any `Uint8Array`. */
export const plainBytes: Conversion = {
  toValue: asBuffer,
  fromValue: (raw: Buffer) => raw,
  resolve: writer => {
    if (is(writer, 'bytes')) return raw => raw as Buffer
    if (is(writer, 'decimal') && underlying(writer) === 'bytes')
      return (value: string) => asBuffer(decimalBytes(writer, value))
    return writer.typeName === 'string' ? (value: string) => Buffer.from(value, 'utf8') : undefined
  }
}

export const plainFixed = (size: number, canRead: (writer: AvscType) => boolean): Conversion => ({
  toValue: asBuffer,
  fromValue: (raw: Buffer) => raw,
  resolve: writer => {
    if (!canRead(writer)) return undefined
    return is(writer, 'decimal') ? (value: string) => decimalBytes(writer, value, size) : raw => raw as Buffer
  }
})

/** `decimal`: a text, because no number holds it. */
export function decimal(
  precision: number,
  scale: number,
  size: number | undefined,
  canRead: (writer: AvscType) => boolean
): Conversion {
  return {
    toValue: value => {
      const unscaled = typeof value === 'string' ? unscaledOf(value, precision, scale) : undefined
      return unscaled === undefined ? undefined : writeDecimal(unscaled, size)
    },
    fromValue: (raw: Buffer) => readDecimal(raw, scale),
    resolve: writer => {
      if (!canRead(writer)) return undefined
      // Two decimals match when they agree on the scale; a writer without one wrote the unscaled number.
      if (is(writer, 'decimal')) return scaleOf(writer) === scale ? value => value as string : undefined
      return (raw: Buffer) => readDecimal(raw, scale)
    }
  }
}

/** What `decimal` types know beside what the package keeps. */
export const scales: WeakMap<AvscType, { readonly precision: number; readonly scale: number }> = new WeakMap()

function scaleOf(type: AvscType): number | undefined {
  return scales.get(type)?.scale
}

function decimalBytes(writer: AvscType, value: string, size?: number): Buffer {
  const { precision, scale } = scales.get(writer)!
  return writeDecimal(unscaledOf(value, precision, scale)!, size)
}

function is(type: AvscType, name: string): boolean {
  return type.typeName === `logical:${name}`
}

function underlying(type: AvscType): string {
  return (type as AvscLogicalType).underlyingType.typeName
}

function isWhole(type: AvscType): boolean {
  return type.typeName === 'int' || type.typeName === 'long' || type.typeName === 'abstract:long'
}

function isValidDate(value: unknown): value is Date {
  return value instanceof Date && !Number.isNaN(value.getTime())
}

function fromMicros(micros: bigint): Date {
  // BigInt division cuts towards zero; before 1970 that would be towards the future.
  const millis = micros / 1000n
  return dateOf(Number(micros < 0n && micros % 1000n !== 0n ? millis - 1n : millis))
}

function dateOf(millis: number): Date {
  const date = new Date(millis)
  if (Number.isNaN(date.getTime())) throw new StreamError('bad-record', 'a time is beyond what a Date holds')
  return date
}

function asBuffer(value: unknown): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined
}

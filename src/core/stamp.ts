import { view } from './codec.ts'
import { StreamError } from './errors.ts'

/**
 * What tidemark adds to a record: who wrote it, as which one, when it happened, and how far that producer has come.
 * Given inside the commit and never changed after (law 3).
 */
export interface Stamp {
  /** 16 bytes as a latin1 string: cheap to make, to compare and to use as a map key. */
  readonly producer: ProducerId
  /** Dense per producer and partition, from 1. */
  readonly sequence: number
  /** Milliseconds since the epoch. */
  readonly eventTime: number
  /** Every later record of this producer on this partition has `eventTime >= watermark`. Only present when it rose. */
  readonly watermark: number | undefined
  /** Its event time was behind the watermark that its producer had already promised. */
  readonly late: boolean
}

/** 16 bytes, as a latin1 string of 16 characters. */
export type ProducerId = string

/** Name of the header where a backend has headers; elsewhere the adapter says where the stamp lives. */
export const stampHeader = '~s'

const version = 1
const hasWatermark = 0x10
const isLate = 0x20

/**
 * 20 to 33 bytes: version and flags (1), producer (16), sequence (varint), event time (zigzag varint), and, if it rose,
 * event time - watermark (zigzag varint).
 */
export function encodeStamp(
  producer: ProducerId,
  sequence: number,
  eventTime: number,
  watermark: number | undefined,
  late: boolean
): Buffer {
  const bytes = Buffer.allocUnsafe(47)
  bytes[0] = version | (watermark === undefined ? 0 : hasWatermark) | (late ? isLate : 0)
  bytes.write(producer, 1, 16, 'latin1')
  let end = writeVarint(bytes, 17, sequence)
  end = writeVarint(bytes, end, zigzag(eventTime))
  if (watermark !== undefined) end = writeVarint(bytes, end, zigzag(eventTime - watermark))
  return bytes.subarray(0, end)
}

/** Throws `corrupt`: whatever comes from a broker is checked. One version back is read. */
export function decodeStamp(stamp: Uint8Array): Stamp {
  const bytes = view(stamp)
  if (bytes.length < 19 || (bytes[0]! & 0x0f) !== version)
    throw new StreamError(
      'corrupt',
      `stamp of ${bytes.length} bytes has version ${bytes[0]! & 0x0f}, this release reads ${version}`
    )
  reader.at = 17
  const sequence = readVarint(bytes)
  const eventTime = unzigzag(readVarint(bytes))
  const watermark = bytes[0]! & hasWatermark ? eventTime - unzigzag(readVarint(bytes)) : undefined
  return { producer: bytes.toString('latin1', 1, 17), sequence, eventTime, watermark, late: (bytes[0]! & isLate) !== 0 }
}

// Varints of up to 53 bits; shifts would stop at 32, so the high part is done by division.
const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  bytes[at++] = value
  return at
}

const reader = { at: 0 }

function readVarint(bytes: Uint8Array): number {
  let value = 0
  let scale = 1
  for (;;) {
    const byte = bytes[reader.at++]
    if (byte === undefined || scale > 2 ** 49) throw new StreamError('corrupt', 'stamp ends inside a number')
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 0x80
  }
}

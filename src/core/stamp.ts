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
  readNumber(bytes)
  const sequence = reader.low + reader.high * 2 ** 28
  const eventTime = readZigzag(bytes)
  const watermark = bytes[0]! & hasWatermark ? eventTime - readZigzag(bytes) : undefined
  return { producer: producerIn(bytes), sequence, eventTime, watermark, late: (bytes[0]! & isLate) !== 0 }
}

/**
 * The producers of a partition are few: the text of each is made once, and is one string to whoever compares. A table of
 * fixed size, by the last byte, which is random; the text of a producer that is not in it any more is made again.
 */
const known = Array.from({ length: 64 }, () => ({ bytes: new Uint8Array(16), text: '\0'.repeat(16) }))

function producerIn(bytes: Buffer): ProducerId {
  const entry = known[bytes[16]! & 63]!
  for (let index = 0; index < 16; index++) {
    if (bytes[index + 1] === entry.bytes[index]) continue
    bytes.copy(entry.bytes, 0, 1, 17)
    return (entry.text = bytes.toString('latin1', 1, 17))
  }
  return entry.text
}

// Varints of up to 53 bits; shifts would stop at 32, so the high part is done by division.
const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)

export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  bytes[at++] = value
  return at
}

/** Where the next number begins, and the last one that was read: 28 bits and the rest, each a small integer to the engine. */
const reader = { at: 0, low: 0, high: 0 }

function readNumber(bytes: Uint8Array): void {
  reader.high = 0
  let part = 0
  for (let shift = 0; shift < 56; shift += 7) {
    const byte = bytes[reader.at++]
    if (byte === undefined) break
    if (shift === 28) {
      reader.low = part
      part = 0
    }
    part |= (byte & 0x7f) << (shift % 28)
    if (byte >= 0x80) continue
    if (shift < 28) reader.low = part
    else reader.high = part
    return
  }
  throw new StreamError('corrupt', 'stamp ends inside a number')
}

function readZigzag(bytes: Uint8Array): number {
  readNumber(bytes)
  const { low, high } = reader
  const half = (low >>> 1) + high * 2 ** 27
  return low & 1 ? -half - 1 : half
}

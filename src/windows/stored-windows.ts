import { view, type Codec } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'
import type { Window } from './windowing.ts'

/** One window of one key, as it is kept between two records. Never changed in place: an attempt may be undone. */
export interface StoredWindow<Accumulator = unknown> extends Window {
  readonly accumulator: Accumulator
  /** The watermark has passed its end: there has been a result that was not early. */
  readonly closed: boolean
  /** Records since the last result. */
  readonly fresh: number
  /** Of a session: the extents under which results of it have gone out. */
  readonly reported: readonly Window[]
}

export type StoredWindows<Accumulator = unknown> = readonly StoredWindow<Accumulator>[]

export const noWindows: StoredWindows<never> = []
export const noReports: readonly Window[] = []

const version = 1
const headerBytes = 5
/** start, end, closed, fresh, count of reports, length of the accumulator. */
const windowBytes = 8 + 8 + 1 + 4 + 4 + 4
const reportBytes = 16

/** All windows of a key as one value of its state, in order of their start. */
export function storedWindows<Accumulator>(accumulator: Codec<Accumulator>): Codec<StoredWindows<Accumulator>> {
  return {
    name: `windows of ${accumulator.name}`,
    encode(windows) {
      const bodies = windows.map(window => accumulator.encode(window.accumulator))
      const size = windows.reduce(
        (sum, { reported }, index) => sum + windowBytes + reported.length * reportBytes + bodies[index]!.byteLength,
        headerBytes
      )
      const bytes = Buffer.allocUnsafe(size)
      let at = bytes.writeUInt8(version, 0)
      at = bytes.writeUInt32BE(windows.length, at)
      for (const [index, { start, end, closed, fresh, reported }] of windows.entries()) {
        const body = bodies[index]!
        at = writeWindow(bytes, at, start, end)
        at = bytes.writeUInt8(closed ? 1 : 0, at)
        at = bytes.writeUInt32BE(fresh, at)
        at = bytes.writeUInt32BE(reported.length, at)
        at = bytes.writeUInt32BE(body.byteLength, at)
        for (const window of reported) at = writeWindow(bytes, at, window.start, window.end)
        bytes.set(body, at)
        at += body.byteLength
      }
      return bytes
    },
    decode: bytes => read(bytes, body => accumulator.decode(body)),
    ...(accumulator.prepare && { prepare: rows => accumulator.prepare!(rows.flatMap(bodiesOf)) }),
    ...(accumulator.bind && { bind: async context => storedWindows(await accumulator.bind!(context)) })
  }
}

function bodiesOf(row: Uint8Array): Uint8Array[] {
  return read(row, body => body).map(({ accumulator }) => accumulator)
}

function read<Accumulator>(row: Uint8Array, decode: (body: Uint8Array) => Accumulator): StoredWindow<Accumulator>[] {
  const bytes = view(row)
  if (bytes[0] !== version)
    throw new StreamError('corrupt', `stored windows are of version ${bytes[0]}, this release reads ${version}`)
  const windows: StoredWindow<Accumulator>[] = []
  let at = headerBytes
  for (let left = bytes.readUInt32BE(1); left > 0; left--) {
    const { start, end } = readWindow(bytes, at)
    const closed = bytes[at + 16] === 1
    const fresh = bytes.readUInt32BE(at + 17)
    const reports = bytes.readUInt32BE(at + 21)
    const length = bytes.readUInt32BE(at + 25)
    at += windowBytes
    const reported =
      reports === 0 ? noReports : Array.from({ length: reports }, (_, n) => readWindow(bytes, at + n * reportBytes))
    at += reports * reportBytes
    windows.push({ start, end, closed, fresh, reported, accumulator: decode(bytes.subarray(at, at + length)) })
    at += length
  }
  return windows
}

function writeWindow(bytes: Buffer, at: number, start: number, end: number): number {
  return bytes.writeDoubleBE(end, bytes.writeDoubleBE(start, at))
}

function readWindow(bytes: Buffer, at: number): Window {
  return { start: bytes.readDoubleBE(at), end: bytes.readDoubleBE(at + 8) }
}

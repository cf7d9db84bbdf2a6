import * as zlib from 'node:zlib'
import { StreamError } from '../../core/errors.ts'
import { view } from '../../core/codec.ts'

// How the blocks of object container files are compressed. Source: Apache Avro 1.12 specification, "Required Codecs", "Optional
// Codecs".

const names = ['null', 'deflate', 'snappy', 'zstandard'] as const

export type Compression = (typeof names)[number]

/** For messages. */
export const compressions = 'null, deflate, snappy and zstandard'

export function isCompression(name: string): name is Compression {
  return (names as readonly string[]).includes(name)
}

export interface Compressor {
  compress(data: Buffer): Buffer
  /** Throws `corrupt` for what cannot be decompressed, or becomes more than `limit` bytes. */
  decompress(data: Buffer, limit: number): Buffer
}

/** Throws `peer-missing` (snappy), `unsupported` (a Node without zstd). */
export async function compressorOf(compression: Compression): Promise<Compressor> {
  switch (compression) {
    case 'null':
      return { compress: data => data, decompress: data => data }
    case 'deflate':
      return {
        compress: data => zlib.deflateRawSync(data),
        decompress: (data, limit) => guarded(() => zlib.inflateRawSync(data, { maxOutputLength: limit }))
      }
    case 'zstandard': {
      const { zstdCompressSync, zstdDecompressSync } = zlib
      if (!zstdCompressSync)
        throw new StreamError('unsupported', 'Avro files compressed by zstandard need Node 22.15, 23.8 or later')
      return {
        compress: data => zstdCompressSync(data),
        decompress: (data, limit) => guarded(() => zstdDecompressSync(data, { maxOutputLength: limit }))
      }
    }
    case 'snappy':
      return snappyOf(await load(() => import('snappy')))
  }
}

/** The part of the package that is used here. */
interface Snappy {
  compressSync(data: Uint8Array): Buffer
  uncompressSync(data: Uint8Array): Uint8Array | string
}

const checksumSize = 4

/** Behind each block stand four bytes, big endian: the CRC 32 of what it was before. */
function snappyOf({ compressSync, uncompressSync }: Snappy): Compressor {
  return {
    compress(data) {
      const checksum = Buffer.alloc(checksumSize)
      checksum.writeUInt32BE(zlib.crc32(data))
      return Buffer.concat([compressSync(data), checksum])
    },
    decompress(data, limit) {
      const end = data.length - checksumSize
      if (end < 1) throw corrupt('it is too short')
      const packed = data.subarray(0, end)
      // The package makes room for what the first bytes announce, before it looks at the rest.
      if (announced(packed) > limit) throw corrupt(`it announces more than ${limit} bytes`)
      const unpacked = view(guarded(() => uncompressSync(packed)) as Uint8Array)
      if (zlib.crc32(unpacked) !== data.readUInt32BE(end)) throw corrupt('its checksum is another')
      return unpacked
    }
  }
}

/** The length of the whole, which stands in front as a varint. */
function announced(packed: Buffer): number {
  let value = 0
  for (let index = 0, factor = 1; index < packed.length && index < 5; index++, factor *= 128) {
    value += (packed[index]! & 127) * factor
    if (packed[index]! < 128) return value
  }
  return Infinity
}

function guarded<Result>(attempt: () => Result): Result {
  try {
    return attempt()
  } catch (error) {
    throw corrupt((error as Error).message, error)
  }
}

function corrupt(reason: string, cause?: unknown): StreamError {
  return new StreamError('corrupt', `Avro file: a block cannot be decompressed: ${reason}`, { cause })
}

/** `importer` is the import itself, handed in so that its failure can be tested. */
export async function load(importer: () => Promise<unknown>): Promise<Snappy> {
  let module: { default?: unknown }
  try {
    module = (await importer()) as typeof module
  } catch (error) {
    throw new StreamError('peer-missing', "Avro files with snappy need the package 'snappy': npm install snappy@7", {
      cause: error
    })
  }
  const snappy = (module.default ?? module) as Snappy
  if (typeof snappy.compressSync === 'function' && typeof snappy.uncompressSync === 'function') return snappy
  throw new StreamError('peer-missing', "the installed 'snappy' is not one that avroFile() knows: npm install snappy@7")
}

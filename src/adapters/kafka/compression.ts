// By namespace: an import of a name that Node 22.13 does not have yet (zstd) would not link there.
import * as zlib from 'node:zlib'
import { view } from '../../core/codec.ts'
import { messageOf, StreamError } from '../../core/errors.ts'
import type { KafkaModule } from './client.ts'

/** Names of the codecs, at the number that the attributes of a batch carry. */
export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export type Compression = (typeof compressions)[number]

/** Bytes of records to bytes in the batch and back. */
export interface Codec {
  compress(records: Buffer): Buffer | Promise<Buffer>
  decompress(records: Buffer): Buffer | Promise<Buffer>
}

/** Finds the codec of a batch; rejects with `unsupported`, saying which package to install. */
export type FindCodec = (compression: number) => Promise<Codec | undefined>

/** The shape in which kafkajs and its codec packages hold a codec: an encoder has its bytes in `buffer`. */
interface KafkajsCodec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Uint8Array>
  decompress(bytes: Buffer): Promise<Uint8Array>
}

const packages: Readonly<Record<number, string>> = { 2: 'kafkajs-snappy', 3: 'kafkajs-lz4', 4: '@kafkajs/zstd' }

/**
 * The codecs that can be had here. gzip comes with Node, zstd too since 22.15; otherwise what the user has registered in
 * `CompressionCodecs` of kafkajs, else the codec package when it is installed.
 */
export function codecFinder(module: KafkaModule | undefined): FindCodec {
  const found = new Map<number, Promise<Codec | undefined>>()
  return compression => {
    let codec = found.get(compression)
    if (!codec) found.set(compression, (codec = findCodec(compression, module)))
    return codec
  }
}

async function findCodec(compression: number, module: KafkaModule | undefined): Promise<Codec | undefined> {
  if (compression === 0) return undefined
  if (compression === 1)
    return { compress: bytes => zlib.gzipSync(bytes), decompress: bytes => zlib.gunzipSync(bytes, limitFor(bytes)) }
  if (compression === 4 && typeof zlib.zstdCompressSync === 'function')
    return {
      compress: bytes => zlib.zstdCompressSync(bytes),
      decompress: bytes => zlib.zstdDecompressSync(bytes, limitFor(bytes))
    }
  const codec = registered(compression, module) ?? (await installed(compression))
  return {
    compress: async bytes => view(await codec.compress({ buffer: bytes })),
    decompress: async bytes => view(await codec.decompress(bytes))
  }
}

/** A few kilobytes can be made to unpack to gigabytes. No real batch comes near this. */
function limitFor(packed: Buffer): { readonly maxOutputLength: number } {
  return { maxOutputLength: Math.max(64 * 1024 * 1024, packed.byteLength * 100) }
}

/** kafkajs holds a function that throws where nothing was registered. */
function registered(compression: number, module: KafkaModule | undefined): KafkajsCodec | undefined {
  try {
    return module?.CompressionCodecs?.[compression]?.() as KafkajsCodec | undefined
  } catch {
    return undefined
  }
}

async function installed(compression: number): Promise<KafkajsCodec> {
  const name = packages[compression]
  if (!name)
    throw new StreamError('corrupt', `a record batch names compression ${compression}, which is none of Kafka's`)
  try {
    return makeCodec(((await import(name)) as { readonly default: unknown }).default)
  } catch (error) {
    throw new StreamError(
      'unsupported',
      `records compressed with ${compressions[compression]} need the package '${name}' (npm install ${name}); ` +
        `loading it said: ${messageOf(error)}`,
      { adapter: 'kafka', cause: error }
    )
  }
}

/** kafkajs-snappy exports a factory, @kafkajs/zstd a factory of factories, kafkajs-lz4 a class with a factory inside. */
function makeCodec(exported: unknown): KafkajsCodec {
  const factory = exported as { new (options: object): { codec(): KafkajsCodec }; (options?: object): unknown }
  if (factory.prototype && 'constructor' in factory.prototype && /^class\b/.test(String(factory)))
    return new factory({}).codec()
  const made = factory({})
  return (typeof made === 'function' ? made() : made) as KafkajsCodec
}

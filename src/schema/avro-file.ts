import { randomBytes } from 'node:crypto'
import { StreamError } from '../core/errors.ts'
import { checkAvro } from './avro/compatibility.ts'
import { canonicalOf } from './avro/canonical.ts'
import { buildChecked, createEngine, resolve, type AvroEngine } from './avro/codec.ts'
import { compressions, compressorOf, isCompression, type Compression } from './avro/compression.ts'
import { blockLimit, ChunkReader, magic, sized, syncSize, varint } from './avro/container.ts'
import type { AvroSchema, AvroValue } from './avro/infer.ts'
import { fromText, parseAvro } from './avro/parse.ts'
import { loadAvsc, type AvscResolver } from './avro/peer.ts'
import { proofOf, type Proof } from './avro/proof.ts'

export interface AvroFileOptions {
  /** How blocks are written; all kinds are read. Default `null`, none. `snappy` needs the package `snappy`. */
  readonly compression?: 'null' | 'deflate' | 'snappy' | 'zstandard'
  /** Bytes of values in a block, before it is compressed. Default 65,536. */
  readonly blockSize?: number
  /** How `long` looks, see `avro`. */
  readonly long?: 'bigint' | 'number'
}

/** Files of one schema: the object container files of Avro, which hold the schema that they were written with. */
export interface AvroFile<Value> {
  /**
   * The bytes of a file, a block at a time. Rejects with `bad-record` for a value that does not fit.
   */
  write(values: Iterable<Value> | AsyncIterable<Value>): AsyncGenerator<Buffer, void, undefined>
  /**
   * The values of a file, given in chunks of any size, whatever schema it was written with that this one can read. Rejects with
   * `bad-schema` (it cannot), `corrupt` (cut, spoiled, no Avro file), `bad-record` (bytes that are no values of the schema),
   * `unsupported` (another compression), `peer-missing`.
   */
  read(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Value, void, undefined>
}

type LongOf<Options> = Options extends { readonly long: 'number' } ? number : bigint

/**
 * Avro files, `.avro`, as Spark, Hive, BigQuery and the tools of Avro write and read them. Values are those of `avro(schema)`, and
 * are proven like those of records before anything is built of them; blocks of more than 64 MiB are refused.
 *
 * Needs the package `avsc`, and `snappy` for that compression. Throws `bad-schema` here for a malformed schema.
 *
 * @example
 * const trades = avroFile({ type: 'record', name: 'Trade', fields: [{ name: 'cents', type: 'long' }] })
 * await pipeline(trades.write([{ cents: 120n }]), createWriteStream('trades.avro'))
 * for await (const { cents } of trades.read(createReadStream('trades.avro'))) console.log(cents)
 */
export function avroFile<const Schema extends AvroSchema, const Options extends AvroFileOptions>(
  schema: Schema,
  options?: Options
): AvroFile<AvroValue<Schema, LongOf<Options>>>
/** For a schema that is only known as text, or imported from JSON: the type is promised. */
export function avroFile<Value>(schema: string | object, options?: AvroFileOptions): AvroFile<Value>
export function avroFile(schema: unknown, options: AvroFileOptions = {}): AvroFile<any> {
  const { compression = 'null', blockSize = 65_536, long = 'bigint' } = options
  checkOptions(options)
  const definition = fromText(schema)
  const parsed = parseAvro(definition)
  // A block is read as what it is but for its first and its last byte: an array.
  const parsedBlock = parseAvro({ type: 'array', items: definition })
  // Compiled once: files are often small, and many.
  let valueEngine: AvroEngine | undefined
  let blockEngine: AvroEngine | undefined
  let last: { readonly schema: string; readonly writer: Writer } | undefined
  return {
    async *write(values) {
      const engine = (valueEngine ??= createEngine(await loadAvsc(), parsed, long))
      const { compress } = await compressorOf(compression)
      const sync = randomBytes(syncSize)
      yield header(definition, compression, sync)
      let items: Buffer[] = []
      let size = 0
      const block = (): Buffer => {
        const made = Buffer.concat([varint(items.length), ...sized(compress(Buffer.concat(items))), sync])
        items = []
        size = 0
        return made
      }
      for await (const value of values) {
        const bytes = engine.encode(value, 0)
        if (bytes.length > blockLimit)
          throw new StreamError(
            'too-large',
            `Avro file: a value of ${bytes.length} bytes, more than the ${blockLimit} that a block holds`
          )
        items.push(bytes)
        size += bytes.length
        if (size >= blockSize || items.length >= mostItems) yield block()
      }
      if (items.length > 0) yield block()
    },
    async *read(chunks) {
      const reader = new ChunkReader(chunks)
      try {
        const avsc = await loadAvsc()
        const head = await readHeader(reader)
        const { decompress } = await compressorOf(head.compression)
        const engine = (blockEngine ??= createEngine(avsc, parsedBlock, long))
        if (last?.schema !== head.schema)
          last = {
            schema: head.schema,
            writer: writerOf(engine, head.schema, text => buildChecked(avsc, text, long, false))
          }
        const { writer } = last
        while (!(await reader.atEnd())) {
          const count = await reader.long()
          const data = decompress(await reader.bytes(), blockLimit)
          if (count < 0) throw new StreamError('corrupt', 'Avro file: a block announces a negative count')
          const bytes = Buffer.concat(count === 0 ? [data, end] : [varint(count), data, end])
          const values = engine.decode(bytes, 0, writer.proof, writer.resolver) as unknown[]
          if (!(await reader.take(syncSize)).equals(head.sync))
            throw new StreamError('corrupt', 'Avro file: the mark behind a block is not that of the file')
          yield* values
        }
      } finally {
        await reader.close()
      }
    }
  }
}

const end = Buffer.from([0])
/** A reader may build something of items that take no bytes. */
const mostItems = 10_000

function header(definition: unknown, compression: Compression, sync: Buffer): Buffer {
  const entries = { 'avro.schema': JSON.stringify(definition), 'avro.codec': compression }
  const meta = Object.entries(entries).flatMap(([name, text]) => [
    ...sized(Buffer.from(name, 'utf8')),
    ...sized(Buffer.from(text, 'utf8'))
  ])
  return Buffer.concat([magic, varint(2), ...meta, end, sync])
}

interface Header {
  readonly schema: string
  readonly compression: Compression
  readonly sync: Buffer
}

async function readHeader(reader: ChunkReader): Promise<Header> {
  const start = await reader.take(magic.length).catch(() => undefined)
  if (!start?.equals(magic)) throw new StreamError('corrupt', 'no Avro file: it does not begin with Obj and a 1')
  const meta = new Map<string, string>()
  for (;;) {
    let count = await reader.long()
    if (count === 0) break
    if (count < 0) {
      count = -count
      await reader.long() // the size of the block
    }
    for (; count > 0; count--) {
      const name = (await reader.bytes()).toString('utf8')
      meta.set(name, (await reader.bytes()).toString('utf8'))
      if (meta.size > mostMeta) throw new StreamError('corrupt', `Avro file: more than ${mostMeta} properties`)
    }
  }
  const sync = Buffer.from(await reader.take(syncSize))
  const compression = meta.get('avro.codec') ?? 'null'
  if (!isCompression(compression))
    throw new StreamError('unsupported', `Avro file: it is compressed by '${compression}'; read are ${compressions}`)
  const schema = meta.get('avro.schema')
  if (schema === undefined) throw new StreamError('corrupt', 'Avro file: it holds no schema')
  return { schema, compression, sync }
}

const mostMeta = 1_000

interface Writer {
  readonly proof: Proof
  readonly resolver: AvscResolver | undefined
}

function writerOf(
  engine: AvroEngine,
  schema: string,
  build: (type: ReturnType<typeof parseAvro>) => Parameters<typeof resolve>[1]
): Writer {
  const writer = parseAvro({ type: 'array', items: fromText(schema) }, { lenient: true })
  if (canonicalOf(writer) === canonicalOf(engine.schema)) return { proof: engine.proof, resolver: undefined }
  const problems = checkAvro(engine.schema, writer)
  if (problems.length > 0) {
    const sentences = problems.map(problem => `${problem.where} ${problem.reason}`).join('; ')
    throw new StreamError('bad-schema', `this schema cannot read the Avro file: ${sentences}`)
  }
  return { proof: proofOf(writer), resolver: resolve(engine, build(writer), 'of the file') }
}

function checkOptions(options: AvroFileOptions): void {
  const refuse = (message: string): never => {
    throw new StreamError('bad-config', `avroFile: ${message}`)
  }
  const known = ['compression', 'blockSize', 'long']
  for (const name of Object.keys(options))
    if (!known.includes(name)) refuse(`unknown option '${name}'; known are ${known.join(', ')}`)
  const { compression, blockSize, long } = options
  if (compression !== undefined && !isCompression(compression))
    refuse(`option 'compression' must be one of ${compressions}`)
  if (blockSize !== undefined && !(Number.isInteger(blockSize) && blockSize >= 1 && blockSize <= blockLimit))
    refuse(`option 'blockSize' must be a whole number from 1 to ${blockLimit}`)
  if (long !== undefined && long !== 'bigint' && long !== 'number') refuse("option 'long' must be 'bigint' or 'number'")
}

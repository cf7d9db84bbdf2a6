import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import avsc from 'avsc'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import { compressorOf, load, type Compression } from '../../src/schema/avro/compression.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import { avroFile, type AvroFile } from '../../src/schema/index.ts'
import { missingPython, pythonWith, runPython } from '../support/python.ts'
import { anySchema, isPlain } from './any-schema.ts'
import { anyValue } from './any-value.ts'
import { failure, varint } from './support.ts'

// Object container files: ours read by fastavro, by Apache's package for Python and by the streams of avsc, and theirs by us.

const compressions = ['null', 'deflate', 'snappy', 'zstandard'] as const
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
beforeAll(() => console.log(`seed ${seed}: repeat with FUZZ_SEED=${seed}`))
const noPython = await missingPython()
const requirements = [
  'avro==1.12.2',
  'fastavro==1.13.1',
  'backports.zstd==1.8.0',
  'cramjam==2.14.0',
  'python-snappy==0.7.3',
  'zstandard==0.25.0'
]
const script = fileURLToPath(new URL('./avro-file.py', import.meta.url))
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-avro-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const schema = {
  type: 'record',
  name: 'Trade',
  fields: [
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'price', type: ['null', 'double'] },
    { name: 'tags', type: { type: 'map', values: 'int' } },
    { name: 'legs', type: { type: 'array', items: 'string' } }
  ]
} as const
const valueAt = (index: number) => ({
  symbol: `S-${index}`,
  cents: index * 1_000_003,
  price: index % 3 ? index / 7 : null,
  tags: { [`t${index % 5}`]: index },
  legs: Array.from({ length: index % 4 }, (_, leg) => `leg ${leg} é`)
})
const values = Array.from({ length: 2_000 }, (_, index) => valueAt(index))
const lines = values.map(value => `${JSON.stringify(value)}\n`).join('')

async function all<Value>(source: AsyncIterable<Value>): Promise<Value[]> {
  const found: Value[] = []
  for await (const value of source) found.push(value)
  return found
}

/** In chunks of that size. */
function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const whole = async <Value>(file: AvroFile<Value>, given: Iterable<Value>): Promise<Buffer> =>
  Buffer.concat(await all(file.write(given)))

describe.each(compressions)('%s', compression => {
  // Apache's own package looks at the checksum of snappy blocks, fastavro does not.
  test.skipIf(noPython).each(['fastavro', 'apache'])(
    '%s reads ours, and we read its',
    async library => {
      const python = await pythonWith(requirements)
      const file = avroFile(schema, { long: 'number', compression, blockSize: 3_000 })
      const ours = join(folder, `ours-${library}-${compression}.avro`)
      await pipeline(file.write(values), createWriteStream(ours))
      const read = await runPython(python, script, [library, 'read', ours], '')
      expect(
        read
          .trim()
          .split('\n')
          .map(line => JSON.parse(line) as unknown)
      ).toEqual(values)

      const theirs = join(folder, `theirs-${library}-${compression}.avro`)
      await runPython(python, script, [library, 'write', theirs, compression], lines)
      expect(await all(file.read(createReadStream(theirs, { highWaterMark: 777 })))).toEqual(values)
    },
    400_000
  )

  // Its streams have no other compressions of their own.
  test.runIf(compression === 'null' || compression === 'deflate')(
    'the streams of avsc read ours, and we read theirs',
    async () => {
      const file = avroFile(schema, { long: 'number', compression })
      const ours = join(folder, `ours-avsc-${compression}.avro`)
      await pipeline(file.write(values), createWriteStream(ours))
      expect(await all(avsc.createFileDecoder(ours) as AsyncIterable<object>)).toMatchObject(values)
      const theirs = join(folder, `theirs-avsc-${compression}.avro`)
      const encoder = new avsc.streams.BlockEncoder(schema as never, { codec: compression })
      await pipeline(Readable.from(values), encoder, createWriteStream(theirs))
      expect(await all(file.read(createReadStream(theirs)))).toEqual(values)
    }
  )

  test('chunks of any size, and a file that was cut anywhere', async () => {
    const file = avroFile(schema, { long: 'number', compression, blockSize: 100 })
    const bytes = await whole(file, values.slice(0, 12))
    for (const size of [1, 2, 7, 100, 1 << 20])
      expect(await all(file.read(cut(bytes, size)))).toEqual(values.slice(0, 12))
    let complete = 0
    for (let length = 0; length < bytes.length; length++) {
      const error = await all(file.read([bytes.subarray(0, length)])).then(
        () => undefined,
        (thrown: unknown) => thrown as StreamError
      )
      // Between two blocks it is a shorter file.
      if (error) expect(error.code).toBe('corrupt')
      else complete++
    }
    expect(complete).toBeGreaterThan(2)
    expect(complete).toBeLessThan(14)
  })
})

test('a file of another version of the schema', async () => {
  const older = avroFile({ type: 'record', name: 'T', fields: [{ name: 'n', type: 'int' }] })
  const newer = avroFile({
    type: 'record',
    name: 'T',
    fields: [
      { name: 'n', type: 'long' },
      { name: 'note', type: 'string', default: '-' }
    ]
  })
  expect(await all(newer.read(older.write([{ n: 1 }, { n: 2 }])))).toEqual([
    { n: 1n, note: '-' },
    { n: 2n, note: '-' }
  ])
  const other = avroFile({ type: 'record', name: 'T', fields: [{ name: 'm', type: 'int' }] })
  expect((await failure('bad-schema', () => all(other.read(older.write([{ n: 1 }]))))).message).toContain("'T.m'")
  expect(await all(newer.read(newer.write([])))).toEqual([])
})

test.skipIf(noPython)(
  'fastavro: 10,000 values of random schemas, read and written again',
  async () => {
    const python = await pythonWith(requirements)
    const schemas = fc.sample(
      anySchema(3).filter(any => isPlain(any) && typeof any === 'object'),
      { seed, numRuns: 500 }
    )
    const files = schemas.map((any, index) => {
      const file = avroFile<unknown>(any as object, { compression: compressions[index % 4]!, blockSize: 200 })
      return { file, values: fc.sample(anyValue(parseAvro(any)), { seed: seed + index, numRuns: 20 }) }
    })
    const input: string[] = []
    for (const { file, values: given } of files) input.push((await whole(file, given)).toString('base64'))
    const output = await runPython(python, script, ['fastavro', 'again'], `${input.join('\n')}\n`)
    const back = output.trim().split('\n')
    expect(back).toHaveLength(files.length)
    for (const [index, { file, values: given }] of files.entries())
      expect(await all(file.read([Buffer.from(back[index]!, 'base64')]))).toEqual(given)
  },
  400_000
)

const everyCompression = fc.constantFrom(...compressions)

test('values of any schema, there and back', async () => {
  const numbers = [fc.nat(2 ** 30), fc.integer({ min: 1, max: 400 })] as const
  await fc.assert(
    fc.asyncProperty(anySchema(2), everyCompression, ...numbers, async (any, compression, seed, blockSize) => {
      const given = fc.sample(anyValue(parseAvro(any)), { seed, numRuns: 5 })
      const file = avroFile<unknown>(any as object, { blockSize, compression })
      expect(await all(file.read(file.write(given)))).toEqual(given)
    }),
    { numRuns: 150 }
  )
})

test('what is no file, or a spoiled one', async () => {
  const file = avroFile(schema, { long: 'number', blockSize: 100 })
  const bytes = await whole(file, values.slice(0, 12))
  const refusal = async (given: Uint8Array): Promise<StreamError> => {
    try {
      await all(file.read([given]))
    } catch (error) {
      if (StreamError.is(error)) return error
      throw error
    }
    throw new Error('nothing was thrown')
  }
  for (const none of ['', 'Obj', '{"json":1}', 'PAR1 and more'])
    expect((await refusal(Buffer.from(none))).message).toContain('no Avro file')
  // Whatever byte is spoiled: values, or a refusal; never anything else, nor a hang.
  const codes = new Set<string>()
  for (let at = 0; at < bytes.length; at++)
    for (const byte of [0, 0xff, bytes[at]! ^ 1]) {
      const spoiled = Buffer.from(bytes)
      spoiled[at] = byte
      const start = performance.now()
      await all(file.read([spoiled])).catch((error: unknown) => {
        if (!StreamError.is(error)) throw error
        codes.add(error.code)
      })
      expect(performance.now() - start).toBeLessThan(500)
    }
  expect([...codes]).toEqual(expect.arrayContaining(['corrupt', 'bad-record']))
  const packed = avroFile(schema, { long: 'number', compression: 'deflate' })
  const text = (await whole(packed, values.slice(0, 2))).toString('latin1').replace('deflate', 'bzip2!!')
  expect((await refusal(Buffer.from(text, 'latin1'))).code).toBe('unsupported')
  await failure('bad-record', () => whole(file, [{ symbol: 1 } as never]))
  for (const wrong of [{ compression: 'bzip2' }, { blockSize: 0 }, { long: 'text' }, { other: 1 }])
    expect(() => avroFile(schema, wrong as never)).toThrow(StreamError)
  expect(() => avroFile({ type: 'recrod' } as never)).toThrow('Avro schema')
})

test('spoiled blocks: a checksum of snappy that is another, lengths out of all proportion, bombs', async () => {
  const reading = async (compression: Compression, block: Buffer): Promise<StreamError> => {
    const bytes = await whole(avroFile('"string"', { compression }), ['a'])
    // Behind the header, whose end is the mark, stands the only block.
    const start = bytes.indexOf(bytes.subarray(-16)) + 16
    const spoiled = Buffer.concat([
      bytes.subarray(0, start),
      varint(1),
      varint(block.length),
      block,
      bytes.subarray(-16)
    ])
    return failure('corrupt', () => all(avroFile('"string"').read([spoiled])))
  }
  const { compress } = await compressorOf('snappy')
  const block = compress(Buffer.from('0461626364', 'hex'))
  const other = Buffer.from(block)
  other[block.length - 1]! ^= 1
  expect((await reading('snappy', other)).message).toContain('checksum')
  expect((await reading('snappy', Buffer.from('00', 'hex'))).message).toContain('too short')
  expect((await reading('snappy', Buffer.from('ffffffff0f0000000000', 'hex'))).message).toContain('announces more than')
  expect((await reading('snappy', Buffer.from('ffffffffffffffff00', 'hex'))).message).toContain('announces more than')
  await reading('snappy', Buffer.from('10ff0000000000', 'hex'))
  const zeros = Buffer.alloc(80 << 20)
  await reading('snappy', compress(zeros))
  await reading('deflate', deflateRawSync(zeros))
  await reading('zstandard', zstdCompressSync(zeros))
  await reading('zstandard', Buffer.from('28b52ffd00', 'hex'))
  const missing = await failure('peer-missing', () => load(() => Promise.reject(new Error('no'))))
  expect(missing.message).toContain('npm install snappy@7')
  await failure('peer-missing', () => load(async () => ({})))
})

test('the source is closed when the loop ends early', async () => {
  const file = avroFile(schema, { long: 'number', blockSize: 100 })
  const bytes = await whole(file, values)
  let closed = false
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield* cut(bytes, 1_000)
    } finally {
      closed = true
    }
  }
  for await (const _ of file.read(source())) break
  expect(closed).toBe(true)
})

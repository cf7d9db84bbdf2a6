import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import avsc from 'avsc'
import { encodeEntry, decodePart, type BoundTopic } from '../../src/broker/index.ts'
import type { Codec } from '../../src/core/codec.ts'
import { topic } from '../../src/core/topic.ts'
import { avro, memoryRegistry } from '../../src/schema/index.ts'
import { Clock, sideBySide, type Figure, type Run } from '../measure.ts'

const schema = {
  type: 'record',
  name: 'Ten',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'symbol', type: 'string' },
    { name: 'cents', type: 'long' },
    { name: 'count', type: 'int' },
    { name: 'price', type: 'double' },
    { name: 'live', type: 'boolean' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'note', type: ['null', 'string'] },
    { name: 'at', type: 'long' },
    { name: 'tags', type: { type: 'array', items: 'string' } }
  ]
} as const

const valueAt = (index: number): object => ({
  id: `order-${index}`,
  symbol: 'TIDE',
  cents: 123_456 + index,
  count: index,
  price: index / 7,
  live: index % 2 === 0,
  side: index % 3 === 0 ? 'BUY' : 'SELL',
  note: index % 4 === 0 ? null : 'a short note',
  at: 1_700_000_000_000 + index,
  tags: ['one', 'two']
})

interface Encoding {
  encode(value: object): unknown
  decode(bytes: Buffer): unknown
  readonly slow?: boolean
}

/** Ours through the front, bare `avsc`, and the clients of others, on a record of ten fields; the same values in all. */
export async function benchSchema(
  sizes: { readonly records: number; readonly pairs: number },
  wanted: (name: string) => boolean
): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  const values = Array.from({ length: 1_000 }, (_, index) => valueAt(index))
  const ours = await front()
  const rivals: readonly (readonly [string, () => Promise<Encoding & { close?(): void }>])[] = [
    ['', bare],
    [', kafkajs registry', kafkajsRegistry],
    [', confluentinc registry', confluentinc]
  ]
  for (const [suffix, open] of rivals) {
    const [encode, decode] = [`schema encode${suffix}`, `schema decode${suffix}`]
    if (![encode, decode, 'schema encode and decode'].some(wanted)) continue
    const raw = await open()
    const [mine, theirs]: Buffer[][] = [[], []]
    for (const value of values) {
      mine!.push(ours.encode(value) as Buffer)
      theirs!.push((await raw.encode(value)) as Buffer)
    }
    // Slow enough that fewer tell as much.
    const records = raw.slow ? sizes.records / 10 : sizes.records
    // A promise for each record is how these clients work, and none is how avsc and ours do.
    const waits = raw.encode(values[0]!) instanceof Promise
    const timed = (task: (index: number) => unknown, wait: boolean) => (): Promise<Run> => repeat(records, task, wait)
    const both = suffix === '' ? 'schema encode and decode' : ''
    if (both && wanted(both)) {
      const turn =
        (one: Encoding) =>
        (index: number): unknown =>
          one.decode(one.encode(values[index]!) as Buffer)
      figures.push(await sideBySide(both, sizes.pairs, timed(turn(ours), false), timed(turn(raw), false)))
    }
    if (wanted(encode))
      figures.push(
        await sideBySide(
          encode,
          sizes.pairs,
          timed(index => ours.encode(values[index]!), false),
          timed(index => raw.encode(values[index]!), waits)
        )
      )
    if (wanted(decode))
      figures.push(
        await sideBySide(
          decode,
          sizes.pairs,
          timed(index => ours.decode(mine![index]!), false),
          timed(index => raw.decode(theirs![index]!), waits)
        )
      )
    raw.close?.()
  }
  return figures
}

async function repeat(records: number, task: (index: number) => unknown, wait: boolean): Promise<Run> {
  const clock = new Clock()
  clock.start()
  if (wait) for (let index = 0; index < records; index++) await task(index % 1_000)
  else for (let index = 0; index < records; index++) task(index % 1_000)
  clock.stop(records)
  return clock.run
}

async function front(): Promise<Encoding> {
  const codec = (await avro(schema, { long: 'number' }).bind!({
    topic: 'ten',
    part: 'value',
    registry: memoryRegistry()
  })) as Codec<unknown>
  const bound = {
    topic: topic('ten', { value: codec }),
    adapter: { name: 'none', capabilities: { maxRecord: 1 << 20 } },
    key: codec,
    value: codec,
    partitions: 4
  } as unknown as BoundTopic
  const keyed = { ...bound, key: { ...codec, nullable: true } }
  return {
    encode: value => encodeEntry(keyed, { value } as never, 0, 0).value,
    decode: bytes => decodePart(keyed, 'value', bytes)
  }
}

async function bare(): Promise<Encoding> {
  const type = avsc.Type.forSchema(schema as unknown as avsc.Schema)
  return { encode: value => type.toBuffer(value), decode: bytes => type.fromBuffer(bytes) }
}

async function kafkajsRegistry(): Promise<Encoding & { close(): void }> {
  const { SchemaRegistry } = await import('@kafkajs/confluent-schema-registry')
  // All that it asks is the schema of an id, once.
  const server = createServer((_, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ schema: JSON.stringify(schema) }))
  ).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const registry = new SchemaRegistry({ host: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  return {
    encode: value => registry.encode(1, value),
    decode: bytes => registry.decode(bytes),
    close: () => server.closeAllConnections() ?? server.close()
  }
}

async function confluentinc(): Promise<Encoding> {
  const { AvroDeserializer, AvroSerializer, SchemaRegistryClient, SerdeType } =
    await import('@confluentinc/schemaregistry')
  // Its own double, in this process.
  const client = SchemaRegistryClient.newClient({ baseURLs: ['mock://bench'] })
  await client.register('ten-value', { schemaType: 'AVRO', schema: JSON.stringify(schema) }, false)
  const serializer = new AvroSerializer(client, SerdeType.VALUE, { autoRegisterSchemas: false, useLatestVersion: true })
  const deserializer = new AvroDeserializer(client, SerdeType.VALUE, {})
  return {
    slow: true,
    encode: value => serializer.serialize('ten', value),
    decode: bytes => deserializer.deserialize('ten', bytes)
  }
}

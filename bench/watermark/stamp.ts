import { gzipSync, zstdCompressSync } from 'node:zlib'
import { anonymous, encodeBatch } from '../../src/adapters/kafka/record-batch.ts'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import type { OutgoingRecord } from '../../src/core/record.ts'
import { bytes, connect, topic } from '../../src/index.ts'
import { spread, type Amount } from '../measure.ts'
import { process } from '../ours.ts'
import { fresh, keyBytes, partitions, recordAt, valueBytes } from '../records.ts'

/** Records of a partition that go out as one batch. */
const batchRecords = 1_000

const codecs = { plain: undefined, gzip: gzipSync, zstd: zstdCompressSync } as const

/**
 * What the stamps cost on the wire and on the disk of a broker: record batches of Kafka, with the stamps that a producer and a processor
 * have written, less the same batches without them. Each stamp carries a watermark: the event time of each record is later than that of
 * the one before.
 */
export async function benchStamp(records: number): Promise<Amount[]> {
  const written = await stamped(records)
  const amounts: Amount[] = []
  for (const [name, compress] of Object.entries(codecs)) {
    const codec = compress && {
      compress: (batch: Buffer): Buffer => compress(batch),
      decompress: (batch: Buffer): Buffer => batch
    }
    const perBatch: number[] = []
    for (const lane of written)
      for (let at = 0; at < lane.length; at += batchRecords) {
        const batch = lane.slice(at, at + batchRecords)
        const sizeOf = async (given: readonly OutgoingRecord[]): Promise<number> =>
          (await encodeBatch(given, anonymous, { compression: codec ? 1 : 0, codec })).byteLength
        const bare = batch.map(record => ({ ...record, stamp: undefined }))
        perBatch.push(((await sizeOf(batch)) - (await sizeOf(bare))) / batch.length)
      }
    const of = name === 'plain' ? 'a batch' : `a batch with ${name}`
    amounts.push({ name: `watermark stamp, in ${of}`, unit: 'bytes a record', amount: spread(perBatch), records })
  }
  return amounts
}

let seed = 1

/** The values of the other figures come again after a while, and a window of gzip sees just as far without stamps. These never do. */
function random(): Buffer {
  const value = Buffer.allocUnsafe(valueBytes)
  for (let at = 0; at < valueBytes; at++) value[at] = (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) >>> 24
  return value
}

/** What a producer has written, and a processor behind it, by partitions. */
async function stamped(records: number): Promise<OutgoingRecord[][]> {
  const broker = new MemoryBroker()
  await using client = await connect({ brokers: { default: memory({ broker }) }, variables: {} })
  const start = systemEnvironment.now() - records
  const [from, to] = ['in', 'out'].map(name =>
    topic(fresh(name), { key: bytes, value: bytes, partitions, lateness: 1_000 })
  )
  const producer = await client.producer(from!)
  for (let index = 0; index < records; index += 1_000)
    await producer.sendAll(
      Array.from({ length: 1_000 }, (_, more) => ({ ...recordAt(index + more), eventTime: start + index + more }))
    )
  await producer.close()
  await process(client, from!, to!, records, false)
  return [from!, to!].flatMap(({ name }) =>
    broker.findTopic(name)!.partitions.map(log => {
      const all: OutgoingRecord[] = []
      while (log.start + all.length < log.end)
        for (const record of log.slice(log.start + all.length, Infinity, true).records)
          all.push({ ...record, value: random(), topic: name, partition: 0 })
      const size = all.reduce((sum, { key, value }) => sum + key!.byteLength + value!.byteLength, 0)
      if (size !== all.length * (keyBytes + valueBytes)) throw new Error(`${name} holds other records than were sent`)
      return all
    })
  )
}

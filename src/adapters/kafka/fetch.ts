import { versionOf } from './call.ts'
import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { protocolError } from './errors.ts'
import type { AbortedTransaction } from './records.ts'
import { type Reader, Writer } from './wire.ts'

/** One fetch, versions 4 to 11 (Kafka 0.11 and later). Source: kafka.apache.org/protocol#The_Messages_Fetch. */

export interface FetchFrom {
  readonly topic: string
  readonly partition: number
  /** The next offset to read. */
  readonly offset: number
}

export interface FetchOptions {
  /** The broker may wait so many ms for the first byte. */
  readonly wait: number
  /** Bytes of batches in the whole answer; one batch may be larger than that. */
  readonly maxBytes: number
  readonly partitionBytes: number
  readonly readCommitted: boolean
  /** Ms beyond `wait` after which the broker counts as dead. */
  readonly timeout: number
  /** For tests: the newest version to speak. */
  readonly newest?: number
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** The offset after the last replicated record. */
  readonly highWatermark: number
  /** The offset before which no transaction is open. */
  readonly lastStable: number
  readonly aborted: readonly AbortedTransaction[]
  readonly bytes: Buffer
}

export async function fetchRecords(
  connection: Connection,
  broker: VendorBroker,
  from: readonly FetchFrom[],
  options: FetchOptions
): Promise<readonly FetchedPartition[]> {
  const version = versionOf(broker, 1, 'Fetch', 4, options.newest ?? 11)
  return connection.call(broker, {
    apiKey: 1,
    apiVersion: version,
    apiName: 'Fetch',
    body: encode(version, from, options),
    decode: reader => decode(version, reader),
    throttleFirst: true,
    timeout: options.wait + options.timeout
  })
}

function encode(version: number, from: readonly FetchFrom[], options: FetchOptions): Buffer {
  const writer = new Writer(64 + from.length * 64)
  writer.int32(-1) // no replica
  writer.int32(options.wait).int32(1).int32(options.maxBytes)
  writer.int8(options.readCommitted ? 1 : 0)
  if (version >= 7) writer.int32(0).int32(-1) // no fetch session
  writer.array(byTopic(from), ([topic, partitions]) => {
    writer.string(topic).array(partitions, ({ partition, offset }) => {
      writer.int32(partition)
      if (version >= 9) writer.int32(-1) // any leader epoch
      writer.int64(offset)
      if (version >= 5) writer.int64(-1) // no log start: for followers only
      writer.int32(options.partitionBytes)
    })
  })
  if (version >= 7) writer.int32(0) // nothing to leave out of a session
  if (version >= 11) writer.string('') // no rack: read from the leader
  return writer.bytes
}

function byTopic(from: readonly FetchFrom[]): [string, FetchFrom[]][] {
  const topics = new Map<string, FetchFrom[]>()
  for (const entry of from) {
    const partitions = topics.get(entry.topic)
    if (partitions) partitions.push(entry)
    else topics.set(entry.topic, [entry])
  }
  return [...topics]
}

function decode(version: number, reader: Reader): FetchedPartition[] {
  if (version >= 7) {
    const errorCode = reader.int16()
    reader.int32() // session
    if (errorCode !== 0) throw protocolError(errorCode, 'a fetch failed')
  }
  const fetched: FetchedPartition[] = []
  reader.array(() => {
    const topic = reader.string() ?? ''
    reader.array(() => {
      const partition = reader.int32()
      const errorCode = reader.int16()
      const highWatermark = reader.int64()
      const lastStable = reader.int64()
      if (version >= 5) reader.int64() // log start
      const aborted = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }))
      if (version >= 11) reader.int32() // preferred replica: none, we name no rack
      fetched.push({ topic, partition, errorCode, highWatermark, lastStable, aborted, bytes: reader.block() })
    })
  })
  return fetched
}

import type { SendResult } from '../../spec/producer.ts'
import type { PutEntry, PutResult } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, kinesisError, refusedRecord, unknownStream } from './errors.ts'
import { compareSequences } from './positions.ts'
import { outerKey, type Packed } from './records.ts'
import { fail, type PartitionBatch, succeed, type Writer } from './strict-writer.ts'

/** Limits of one `PutRecords`. */
const mostEntries = 500
const mostBytes = 5 * 1024 * 1024

interface Lane {
  readonly name: string
  readonly hashKey: string
  /** Not yet written. */
  readonly packed: Packed[]
}

/**
 * `PutRecords`: many partitions in one request, each at most once, because the entries of a request have no order among
 * themselves. What was refused alone is reported alone: the front sends it again before anything else of its partition.
 */
export class CoarseWriter implements Writer {
  readonly #connection: Connection
  /** `partition stream shard` -> the last sequence number. */
  readonly #last = new Map<string, string>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async write(
    stream: string,
    parts: readonly PartitionBatch[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    let lanes: Lane[] = parts.map(({ partition, hashKey, packed }) => ({
      name: `${partition} ${stream}`,
      hashKey,
      packed: [...packed]
    }))
    while (lanes.length > 0) {
      for (const request of cut(lanes)) await this.#put(stream, request, results, signal)
      lanes = lanes.filter(({ packed }) => packed.length > 0)
    }
  }

  async #put(
    stream: string,
    lanes: readonly Lane[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    const entries = lanes.map(({ hashKey, packed }): PutEntry => ({
      Data: packed[0]!.data,
      PartitionKey: outerKey,
      ExplicitHashKey: hashKey
    }))
    try {
      const answer = await this.#connection.request('PutRecords', { StreamName: stream, Records: entries }, signal)
      for (const [place, lane] of lanes.entries()) this.#settle(stream, lane, answer.Records[place], results)
    } catch (error) {
      const failure = classify(error).code === 'unknown-topic' ? unknownStream(stream, error) : error
      for (const lane of lanes) stop(lane, results, failure)
    }
  }

  #settle(stream: string, lane: Lane, answer: PutResult, results: SendResult[]): void {
    const { ShardId: shard, SequenceNumber: sequence, ErrorCode: name, ErrorMessage: message = '' } = answer
    if (name !== undefined && name !== null) return stop(lane, results, refusedRecord(stream, name, message))
    if (shard === undefined || sequence === undefined)
      return stop(lane, results, kinesisError('internal', `stream '${stream}' gave no sequence number`))
    const place = `${lane.name} ${shard}`
    const last = this.#last.get(place)
    this.#last.set(place, sequence)
    // It is written, but before what it should come behind: readers will meet it too early, and must not do so unnoticed.
    if (last !== undefined && compareSequences(sequence, last) <= 0)
      return stop(lane, results, outOfOrder(stream, lane.name))
    succeed(results, lane.packed.shift()!.indexes, shard, sequence)
  }
}

function stop(lane: Lane, results: SendResult[], error: unknown): void {
  for (const { indexes } of lane.packed.splice(0)) fail(results, indexes, error)
}

function outOfOrder(stream: string, lane: string): Error {
  return kinesisError(
    'internal',
    `stream '${stream}' has put a record before the one that it was sent after (partition ${lane.split(' ')[0]}): use ordering 'strict'`
  )
}

/** One aggregate of each lane, in requests that the service takes. */
function cut(lanes: readonly Lane[]): readonly (readonly Lane[])[] {
  const requests: Lane[][] = []
  let bytes = Infinity
  for (const lane of lanes) {
    const size = lane.packed[0]!.data.length + outerKey.length
    const last = requests.at(-1)
    if (!last || last.length === mostEntries || bytes + size > mostBytes) {
      requests.push([lane])
      bytes = size
    } else {
      last.push(lane)
      bytes += size
    }
  }
  return requests
}

import type { SendResult } from '../../spec/producer.ts'
import type { PutResult } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, kinesisError, nameOf, unknownStream } from './errors.ts'
import { positionOf, shardNumber } from './positions.ts'
import { outerKey, type Packed } from './records.ts'

/** What goes to one partition: its aggregates, in order. */
export interface PartitionBatch {
  readonly partition: number
  readonly hashKey: string
  readonly packed: readonly Packed[]
}

export interface Writer {
  /** Fills in a result for every record of these. When an aggregate fails, none behind it in its partition is written. */
  write(
    stream: string,
    parts: readonly PartitionBatch[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void>
}

/** The last record that was put into a partition. */
interface Last {
  readonly shard: string
  readonly sequence: string
}

/**
 * One `PutRecord` per aggregate, each told which one it comes behind. AWS orders puts of one client in quick succession by
 * `SequenceNumberForOrdering` and by nothing else; a batch of `PutRecords` has no order at all.
 */
export class StrictWriter implements Writer {
  readonly #connection: Connection
  /** `partition stream` -> what was put last. */
  readonly #last = new Map<string, Last>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async write(
    stream: string,
    parts: readonly PartitionBatch[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    await Promise.all(parts.map(part => this.#partition(stream, part, results, signal)))
  }

  async #partition(
    stream: string,
    { partition, hashKey, packed }: PartitionBatch,
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    const lane = `${partition} ${stream}`
    for (const [number, { data, indexes }] of packed.entries()) {
      const last = this.#last.get(lane)
      const input = {
        StreamName: stream,
        Data: data,
        PartitionKey: outerKey,
        ExplicitHashKey: hashKey,
        ...(last && { SequenceNumberForOrdering: last.sequence })
      }
      try {
        const answer: PutResult = await this.#connection.request('PutRecord', input, signal)
        const { ShardId: shard = '', SequenceNumber: sequence = '' } = answer
        this.#last.set(lane, { shard, sequence })
        succeed(results, indexes, shard, sequence)
      } catch (error) {
        if (nameOf(error) === 'InvalidArgumentException' || classify(error).code === 'unknown-topic')
          this.#last.delete(lane)
        for (const { indexes } of packed.slice(number)) fail(results, indexes, failureOf(stream, error, last))
        return
      }
    }
  }
}

/** The number of a shard that is gone may be refused: the next attempt goes without. */
function failureOf(stream: string, error: unknown, last: Last | undefined): unknown {
  const { code } = classify(error)
  if (code === 'unknown-topic') return unknownStream(stream, error)
  if (last && code === 'bad-config' && /sequence/i.test(String((error as Error).message)))
    return kinesisError('connection', `stream '${stream}' does not go on from ${last.shard}`, true, error)
  return error
}

export function succeed(results: SendResult[], indexes: readonly number[], shard: string, sequence: string): void {
  const number = shardNumber(shard)
  for (const [sub, index] of indexes.entries())
    results[index] = { ok: true, position: positionOf(number, sequence, sub) }
}

export function fail(results: SendResult[], indexes: readonly number[], error: unknown): void {
  for (const index of indexes) results[index] = { ok: false, error }
}

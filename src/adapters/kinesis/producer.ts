import { abortedError } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/producer.ts'
import { closedError, noSuchPartition } from './errors.ts'
import { centreOf } from './hash-keys.ts'
import type { ReadKinesisOptions } from './options.ts'
import { pack } from './records.ts'
import type { Streams } from './streams.ts'
import { CoarseWriter } from './coarse-writer.ts'
import { type PartitionBatch, StrictWriter, type Writer } from './strict-writer.ts'

/** Writes batches: streams side by side, and the aggregates of a partition one after the other. */
export class KinesisProducer implements ProducerDriver {
  readonly #streams: Streams
  readonly #aggregateBytes: number
  readonly #writer: Writer
  readonly #inFlight = new Set<Promise<unknown>>()
  #closed = false

  constructor(streams: Streams, { ordering, aggregateBytes }: Pick<ReadKinesisOptions, 'ordering' | 'aggregateBytes'>) {
    this.#streams = streams
    this.#aggregateBytes = aggregateBytes
    this.#writer = ordering === 'strict' ? new StrictWriter(streams.connection) : new CoarseWriter(streams.connection)
  }

  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) return Promise.reject(closedError())
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    const sending = this.#send(batch, signal)
    this.#inFlight.add(sending)
    const forget = (): void => void this.#inFlight.delete(sending)
    sending.then(forget, forget)
    return sending
  }

  /** Waits for what was sent. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#inFlight)
  }

  async #send(batch: readonly OutgoingRecord[], signal: AbortSignal | undefined): Promise<readonly SendResult[]> {
    const results: SendResult[] = new Array(batch.length)
    const parts = new Map<string, Map<number, number[]>>()
    for (const [index, { topic, partition }] of batch.entries()) {
      let partitions = parts.get(topic)
      if (!partitions) parts.set(topic, (partitions = new Map()))
      const indexes = partitions.get(partition)
      if (indexes) indexes.push(index)
      else partitions.set(partition, [index])
    }
    await Promise.all(
      Array.from(parts, async ([stream, partitions]) => {
        try {
          await this.#write(stream, partitions, batch, results, signal)
        } catch (error) {
          for (const indexes of partitions.values())
            for (const index of indexes) results[index] ??= { ok: false, error }
        }
      })
    )
    // Nothing is known of a request that was given up.
    if (signal?.aborted) throw abortedError(signal)
    return results
  }

  async #write(
    stream: string,
    partitions: ReadonlyMap<number, readonly number[]>,
    batch: readonly OutgoingRecord[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    const count = await this.#streams.partitions(stream)
    const parts: PartitionBatch[] = []
    for (const [partition, indexes] of partitions) {
      if (partition >= count) {
        const error = noSuchPartition(stream, partition, count)
        for (const index of indexes) results[index] = { ok: false, error }
        this.#streams.forget(stream)
        continue
      }
      const hashKey = String(centreOf(partition, count))
      const { packed, refused } = pack(batch, indexes, hashKey, this.#aggregateBytes)
      if (refused) for (const index of indexes.slice(refused.at)) results[index] = { ok: false, error: refused.error }
      if (packed.length > 0) parts.push({ partition, hashKey, packed })
    }
    try {
      await this.#writer.write(stream, parts, results, signal)
    } finally {
      // The stream may have been made anew, with another partition count.
      if (parts.some(({ packed }) => packed.some(({ indexes }) => isUnknown(results[indexes[0]!]))))
        this.#streams.forget(stream)
    }
  }
}

function isUnknown(result: SendResult | undefined): boolean {
  return result?.ok === false && (result.error as { code?: unknown } | null)?.code === 'unknown-topic'
}

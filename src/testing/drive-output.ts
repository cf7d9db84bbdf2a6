import { bindTopic, decodeRecord, parkedHeaders, parkedTopic, type BoundTopic } from '../broker/index.ts'
import { headerText, type RawRecord, type StreamRecord } from '../core/record.ts'
import type { SchemaRegistry } from '../core/registry.ts'
import { decodeStamp } from '../core/stamp.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { MemoryAdapter } from '../adapters/memory/index.ts'

/** A record that a stage gave up on. */
export interface ParkedRecord {
  /** Where it was: topic, partition, position. */
  readonly origin: string
  /** The task that gave up. */
  readonly by: string
  readonly code: string
  readonly error: string
  readonly attempts: number
  /** Decoded; `undefined` where it does not decode. */
  readonly record: StreamRecord<string, any, any> | undefined
  readonly raw: RawRecord
}

/** Reads what topics of a memory broker hold, as a reader with this library sees it: repeats are dropped. */
export class TopicContents {
  readonly #adapter: MemoryAdapter
  readonly #registry: SchemaRegistry | undefined

  constructor(adapter: MemoryAdapter, registry: SchemaRegistry | undefined) {
    this.#adapter = adapter
    this.#registry = registry
  }

  /** All records, partition by partition, in the order of each. */
  async records(topic: AnyTopic): Promise<StreamRecord<string, any, any>[]> {
    const bound = await this.#bind(topic)
    const seen = new Set<string>()
    const isNew = ({ stamp }: RawRecord, partition: number): boolean => {
      if (!stamp) return true
      const { producer, sequence } = decodeStamp(stamp)
      const id = `${partition} ${sequence} ${producer}`
      return !seen.has(id) && seen.add(id) !== undefined
    }
    return this.#raw(topic.name).flatMap(({ partition, record }) =>
      isNew(record, partition) ? [decodeRecord(bound, { topic: topic.name, partition }, record)] : []
    )
  }

  async parked(topic: AnyTopic): Promise<ParkedRecord[]> {
    const bound = await this.#bind(topic)
    return this.#raw(parkedTopic(topic.name)).map(({ partition, record: raw }) => {
      const header = (name: string): string => headerText(raw.headers, name) ?? ''
      return {
        origin: header(parkedHeaders.origin),
        by: header(parkedHeaders.by),
        code: header(parkedHeaders.code),
        error: header(parkedHeaders.error),
        attempts: Number(header(parkedHeaders.attempts)),
        record: decoded(bound, partition, raw),
        raw
      }
    })
  }

  #bind(topic: AnyTopic): Promise<BoundTopic> {
    return bindTopic(topic, this.#adapter, 1, this.#registry)
  }

  #raw(topic: string): { readonly partition: number; readonly record: RawRecord }[] {
    const found = this.#adapter.native.findTopic(topic)
    return (found?.partitions ?? []).flatMap((log, partition) => {
      const records: { partition: number; record: RawRecord }[] = []
      while (log.start + records.length < log.end)
        for (const record of log.slice(log.start + records.length, Infinity, true).records)
          records.push({ partition, record })
      return records
    })
  }
}

function decoded(bound: BoundTopic, partition: number, raw: RawRecord): StreamRecord<string, any, any> | undefined {
  try {
    return decodeRecord(bound, { topic: bound.topic.name, partition }, raw)
  } catch {
    return undefined // poison: that is why it is here
  }
}

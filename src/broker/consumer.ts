import { diagnose } from '../core/diagnostics.ts'
import { sleep, type Environment } from '../core/environment.ts'
import type { Position, RawRecord, StreamRecord } from '../core/record.ts'
import { decodeStamp } from '../core/stamp.ts'
import type {
  LogReader,
  LogReaderOptions,
  PartitionsAssigned,
  PartitionsRevoked,
  RecordsReceived,
  StartAt,
  TopicPartition
} from '../spec/index.ts'
import { assertTime, decodePart, prepareBatch, type BoundTopic } from './bound-topic.ts'
import { LoopPulse, type ConsumerHealth } from './loop-pulse.ts'
import { isForAnother, park, schemaOf } from './parked.ts'
import { classified, delayOf, hasCode } from './retry.ts'
import { Sender } from './sender.ts'

export interface ConsumerOptions {
  readonly group: string
  /** Where a group starts that has committed nothing. Default `earliest`. */
  readonly startAt?: StartAt
  /** Records whose bytes do not decode: to the parked topic (default), or out of the loop as an error. */
  readonly poison?: 'park' | 'throw'
  readonly signal?: AbortSignal
  /** A crashed consumer's partitions are free after this long, ms. Default 10,000. */
  readonly sessionTimeout?: number
  /**
   * A loop that has not asked for the next record for so long hangs: `client.health()` says so. Longer than the longest
   * turn, ms. Default 60,000.
   */
  readonly stalledAfter?: number
  /** Most bytes that are held for the loop. Default 16 MiB. */
  readonly maxBufferedBytes?: number
}

/** The positions of a group, by partition, `undefined` where none. */
export type ReadCommitted = (bound: BoundTopic, group: string) => Promise<readonly (Position | undefined)[]>

export type OpenReader = (bound: BoundTopic, options: LogReaderOptions) => Promise<LogReader>

/**
 * Reads a topic as a member of a group, at least once.
 *
 * **When a record is done:** the moment the loop asks for the next one (`batches`: the next batch). `break`, `return` and
 * `throw` leave the last one unacknowledged: it comes again, here or at another member. Positions are committed twice a
 * second, at a hand-over and at the end.
 *
 * @example
 * for await (const trade of client.consumer(trades, { group: 'audit' })) await store(trade.value)
 */
export class Consumer<Name extends string, Key, Value> implements AsyncIterable<StreamRecord<Name, Key, Value>> {
  readonly #open: () => Promise<BoundTopic>
  readonly #openReader: OpenReader
  readonly #committed: ReadCommitted
  readonly #environment: Environment
  readonly #options: ConsumerOptions
  readonly #health: ConsumerHealth
  /** Partition -> position that may be committed. */
  readonly #done = new Map<number, Position>()
  #reader: LogReader | undefined
  #parked: Sender | undefined
  #committedAt = 0
  #loop: LoopPulse | undefined

  /** @param openReader joins a group; the client knows how, also where the broker has none, and what it has committed */
  constructor(
    open: () => Promise<BoundTopic>,
    openReader: OpenReader,
    committed: ReadCommitted,
    environment: Environment,
    options: ConsumerOptions,
    health: ConsumerHealth
  ) {
    this.#health = health
    this.#open = open
    this.#openReader = openReader
    this.#committed = committed
    this.#environment = environment
    this.#options = options
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StreamRecord<Name, Key, Value>, void, undefined> {
    for await (const records of this.batches()) {
      for (const record of records) {
        this.#loop?.at(record.position)
        yield record
        this.#done.set(record.partition, record.position)
      }
    }
  }

  /** The same, a batch of one partition at a time: no await per record. */
  async *batches(): AsyncGenerator<readonly StreamRecord<Name, Key, Value>[], void, undefined> {
    const bound = await this.#open()
    const { signal } = this.#options
    let attempt = 0
    const { pulse, end } = this.#health()
    this.#loop = new LoopPulse(pulse)
    try {
      while (!signal?.aborted) {
        try {
          this.#reader ??= await this.#connect(bound)
          const events = await this.#reader.receive({ wait: 500, ...(signal && { signal }) })
          attempt = 0
          pulse.found()
          for (const event of events) {
            if (event.kind !== 'records') {
              await this.#reassign(bound, this.#reader, event)
              continue
            }
            const records = await this.#decode(bound, event)
            if (records.length > 0) {
              this.#loop.begin(event, records[0]!.position)
              yield records
              this.#loop.end()
            }
            this.#done.set(event.partition, event.records.at(-1)!.position)
          }
          if (this.#environment.monotonic() - this.#committedAt >= commitInterval) await this.#commit(bound)
        } catch (thrown) {
          const error = classified(bound.adapter, thrown, `reading '${bound.topic.name}'`)
          if (hasCode(error, 'aborted')) break
          if (!error.retryable) throw error
          diagnose('receive-retried', { topics: [bound.topic.name], attempt: ++attempt, error })
          pulse.lost(error)
          await this.#disconnect()
          await sleep(this.#environment, delayOf(backoff, attempt, this.#environment), signal).catch(() => {})
        }
      }
    } finally {
      end()
      await this.#commit(bound).catch(() => {}) // what is not committed comes again: at least once
      await this.#disconnect()
      await this.#parked?.close()
    }
  }

  #connect(bound: BoundTopic): Promise<LogReader> {
    return this.#openReader(bound, {
      group: this.#options.group,
      topics: [bound.topic.name],
      sessionTimeout: this.#options.sessionTimeout ?? 10_000,
      maxBytes: this.#options.maxBufferedBytes ?? 16 * 1024 * 1024
    })
  }

  async #disconnect(): Promise<void> {
    this.#done.clear()
    const reader = this.#reader
    this.#reader = undefined
    await reader?.close().catch(() => {})
  }

  async #reassign(bound: BoundTopic, reader: LogReader, event: PartitionsAssigned | PartitionsRevoked): Promise<void> {
    if (event.kind === 'partitions-revoked') {
      await this.#commit(bound)
      for (const { partition } of event.partitions) this.#done.delete(partition)
      return event.release()
    }
    const { group, startAt = 'earliest' } = this.#options
    const committed = startAt === 'earliest' ? [] : await this.#committed(bound, group)
    for (const partition of event.partitions) {
      const fresh = startAt !== 'earliest' && committed[partition.partition] === undefined
      await reader.seek(partition, fresh ? startAt : 'committed').catch(ignoreLost)
    }
  }

  async #decode(bound: BoundTopic, event: RecordsReceived): Promise<StreamRecord<Name, Key, Value>[]> {
    await prepareBatch(bound, event.records)
    const decoded: StreamRecord<Name, Key, Value>[] = []
    for (const record of event.records) {
      if (isForAnother(record, this.#options.group)) continue
      try {
        decoded.push(decodeRecord(bound, event, record) as StreamRecord<Name, Key, Value>)
      } catch (error) {
        if (this.#options.poison === 'throw') throw error
        await this.#park(bound, event, record, error)
      }
    }
    return decoded
  }

  async #park(bound: BoundTopic, event: TopicPartition, record: RawRecord, error: unknown): Promise<void> {
    const by = this.#options.group
    const { topic, partition } = event
    diagnose('record-parked', { task: by, topic, partition, position: record.position, attempts: 1, error })
    this.#parked ??= new Sender(bound.adapter, this.#environment)
    await this.#parked.send([
      park(event, record, by, error, { attempts: 1, at: this.#environment.now(), schema: schemaOf(bound, record) })
    ])
  }

  async #commit(bound: BoundTopic): Promise<void> {
    this.#committedAt = this.#environment.monotonic()
    if (!this.#reader || this.#done.size === 0) return
    const { name: topic } = bound.topic
    const positions = [...this.#done].map(([partition, position]) => ({ topic, partition, position }))
    this.#done.clear()
    await this.#reader.commit(positions).catch(ignoreLost)
  }
}

const commitInterval = 500
const backoff = { first: 100, most: 5_000 }

/** The record as a handler sees it. Throws `bad-record` or `corrupt`. */
export function decodeRecord(bound: BoundTopic, place: TopicPartition, raw: RawRecord): StreamRecord {
  const key = decodePart(bound, 'key', raw.key, raw.headers)
  const value = decodePart(bound, 'value', raw.value, raw.headers)
  const stamp = raw.stamp && decodeStamp(raw.stamp)
  return {
    topic: place.topic,
    partition: place.partition,
    position: raw.position,
    key,
    value,
    headers: raw.headers,
    eventTime: stamp?.eventTime ?? eventTimeOf(bound, key, value, raw),
    late: stamp?.late ?? false
  }
}

/** The event time of a record of a foreign producer. Throws `bad-record`: a time that is none would poison the watermark. */
export function eventTimeOf(bound: BoundTopic, key: unknown, value: unknown, raw: RawRecord): number {
  const time = (raw.value === null ? undefined : bound.topic.eventTime?.(value, key)) ?? raw.timestamp
  assertTime(bound.topic.name, time)
  return Math.trunc(time) // as a stamp carries it
}

// Lost to another member while we were busy: its owner goes on from what was committed before.
function ignoreLost(error: unknown): void {
  if (!hasCode(error, 'not-owner', 'fenced', 'closed')) throw error
}

import { abortedError, type Environment, unlessAborted } from '../../core/environment.ts'
import type { RawRecord } from '../../core/record.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/log-reader.ts'
import type { FindCodec } from './compression.ts'
import { closedError, type Connection } from './connection.ts'
import { protocolError } from './errors.ts'
import { type FetchedPartition, fetchRecords } from './fetch.ts'
import { positionLost } from './fetcher.ts'
import { offsetOf } from './offsets.ts'
import { StableEnd } from './stable-end.ts'
import { countWithin, decodeRecords, scanBatches } from './records.ts'

export interface PartitionReaderContext {
  readonly connection: Connection
  readonly environment: Environment
  readonly findCodec: FindCodec
  /** Ms after which a request counts as lost. */
  readonly timeout: number
  /** Ms for which no transaction of ours may be open. */
  readonly longestTransaction: number
}

/** Longest wait at the broker in one request: how long a close may find it busy. */
const longestWait = 500

interface Fetched {
  readonly answer: FetchedPartition
  /** The offset that was asked for. */
  readonly from: number
  /** When it was asked, by number: an answer says where the end was *then*. */
  readonly asked: number
}

/**
 * Reads one partition by fetching it: kafkajs itself reads as a member of a group only. The next fetch runs while the
 * caller works on the last one.
 */
export class KafkaPartitionReader implements PartitionReader {
  readonly #context: PartitionReaderContext
  readonly #options: PartitionReaderOptions
  #offset: number | undefined
  #next: Promise<Fetched> | undefined
  #calls = 0
  /** Decoded and not handed over yet. */
  #rest: RawRecord[] = []
  /** Of the last answer: did it reach the end of then, and in which call was it asked for? */
  #reached = false
  #asked = 0
  #closed = false
  readonly #stable = new StableEnd()

  constructor(options: PartitionReaderOptions, context: PartitionReaderContext) {
    this.#options = options
    this.#context = context
  }

  /** Finds the place to begin. Rejects with `unknown-topic`, or `position-lost` when it has left retention. */
  async open(): Promise<this> {
    this.#offset = await offsetOf(
      this.#context.connection,
      this.#options,
      this.#options.from,
      this.#options.readCommitted
    )
    return this
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<{ records: readonly RawRecord[]; atEnd: boolean }> {
    const { environment } = this.#context
    const started = environment.monotonic()
    const call = ++this.#calls
    for (;;) {
      if (this.#closed) throw closedError()
      if (signal?.aborted) throw abortedError(signal)
      if (this.#rest.length > 0) return this.#portion(call, signal)
      const left = Math.max(0, wait - (environment.monotonic() - started))
      this.#next ??= this.#fetch(Math.min(left, longestWait), call)
      const fetched = await this.#arrival(signal)
      await this.#take(fetched)
      const over = environment.monotonic() - started >= wait
      if (this.#rest.length === 0 && over && this.#asked === call) return { records: [], atEnd: this.#reached }
    }
  }

  /** A batch of the broker may be larger than `maxBytes`: it is handed over in parts. */
  async #portion(call: number, signal: AbortSignal | undefined): Promise<{ records: RawRecord[]; atEnd: boolean }> {
    const count = countWithin(this.#rest, this.#options.maxBytes)
    const records = this.#rest.slice(0, count)
    this.#rest = this.#rest.slice(count)
    if (this.#rest.length > 0) return { records, atEnd: false }
    if (!this.#reached) {
      this.#next = this.#fetch(0, call)
      return { records, atEnd: false }
    }
    // The end as it was before this call is no answer for this call: look once more.
    if (this.#asked !== call)
      try {
        this.#next = this.#fetch(0, call)
        await this.#take(await this.#arrival(signal))
      } catch {
        // The records at hand count; the next call meets the failure.
        return { records, atEnd: false }
      }
    return { records, atEnd: this.#reached && this.#rest.length === 0 }
  }

  async #arrival(signal: AbortSignal | undefined): Promise<Fetched> {
    const fetched = await unlessAborted(this.#next!, signal)
    this.#next = undefined
    return fetched
  }

  async #take({ answer, from, asked }: Fetched): Promise<void> {
    const { topic, partition, readCommitted } = this.#options
    if (answer.errorCode === 1) throw positionLost(topic, partition, from)
    if (answer.errorCode !== 0) {
      this.#context.connection.forgetMetadata()
      throw protocolError(answer.errorCode, `reading ${topic}/${partition}`)
    }
    const { end, next } = scanBatches(answer.bytes, from)
    const bytes = answer.bytes.subarray(0, end)
    const set = { topic, partition, bytes, from, next, aborted: readCommitted ? answer.aborted : [] }
    this.#rest = await decodeRecords(set, this.#context.findCodec)
    this.#offset = next
    this.#asked = asked
    // Not the last stable offset: a transaction that is being ended right now must not be missed (contract).
    this.#reached = next >= answer.highWatermark
    const { environment, longestTransaction } = this.#context
    const overdue =
      readCommitted && next === from && this.#stable.overdue(answer, from, longestTransaction, environment.monotonic())
    if (overdue) throw overdue
  }

  #fetch(wait: number, asked: number): Promise<Fetched> {
    const { connection, timeout } = this.#context
    const { topic, partition, readCommitted, maxBytes } = this.#options
    const from = this.#offset!
    const options = { wait: Math.ceil(wait), maxBytes, partitionBytes: maxBytes, readCommitted, timeout }
    const fetched = connection
      .atLeader(topic, partition, broker =>
        fetchRecords(connection, broker, [{ topic, partition, offset: from }], options)
      )
      .then(([answer]) => {
        if (!answer) throw protocolError(-1, `reading ${topic}/${partition}`)
        return { answer, from, asked }
      })
    // A failure is met by the call that waits for it; the next call asks again.
    fetched.catch(() => {
      if (this.#next === fetched) this.#next = undefined
    })
    return fetched
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#context.connection.close()
  }
}

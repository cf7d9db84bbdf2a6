import { uuidv7Bytes, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { Entry, Position } from '../core/record.ts'
import { encodeStamp, type ProducerId } from '../core/stamp.ts'
import type { Tracing } from '../core/tracing.ts'
import { encodeEntry, type BoundTopic } from './bound-topic.ts'
import { Sender } from './sender.ts'

/** Where a record went. `position` is `undefined` where the backend does not say. */
export interface Receipt {
  readonly partition: number
  readonly position: Position | undefined
}

export interface ProducerOptions {
  /** Most bytes that may wait to be sent; `send` beyond it is refused with code `throttled`. Default 64 MiB. */
  readonly maxBufferedBytes?: number
}

/** What a producing process tells of itself, so that readers know how far it has come. Implemented by the vitals. */
export interface ProducerReports {
  /** Before the first record. */
  join(producer: ProducerId, topic: string): Promise<void>
  /** From memory, often: everything beyond the sequences in `last` is at or after `watermark`. */
  progress(watermark: number, last: ReadonlyMap<number, number>): void
  /** One record is durable. `late`: it is behind what was promised. */
  sent(eventTime: number, late: boolean): void
  /** With the sequences that are durable: there is nothing beyond them. */
  close(last: ReadonlyMap<number, number>): Promise<void>
}

/**
 * Sends entries to one topic. Identity is a fresh id per producer and a sequence per partition: its own retries are
 * recognised by readers, nothing more.
 *
 * @example
 * await using producer = await client.producer(trades)
 * await producer.send({ key: 'ACME', value: { cents: 120, at: Date.now() } })
 */
export class Producer<Key, Value> {
  readonly #bound: BoundTopic
  readonly #environment: Environment
  readonly #sender: Sender
  readonly #maxBuffered: number
  readonly #reports: ProducerReports | undefined
  readonly #tracing: Tracing | undefined
  readonly #id: ProducerId
  readonly #sequences: number[]
  readonly #given = new Map<number, number>()
  readonly #durable = new Map<number, number>()
  /** Watermark last put into a stamp, per partition. */
  readonly #promised: number[]
  #watermark = -Infinity
  #unkeyed = 0
  #closed = false

  constructor(
    bound: BoundTopic,
    environment: Environment,
    options: ProducerOptions = {},
    reports?: ProducerReports,
    tracing?: Tracing
  ) {
    this.#tracing = tracing
    this.#bound = bound
    this.#environment = environment
    this.#sender = new Sender(bound.adapter, environment)
    this.#maxBuffered = options.maxBufferedBytes ?? 64 * 1024 * 1024
    this.#reports = reports
    this.#id = uuidv7Bytes(environment).toString('latin1')
    this.#sequences = Array.from({ length: bound.partitions }, () => 0)
    this.#promised = Array.from({ length: bound.partitions }, () => -Infinity)
  }

  /** Called by the client before it hands the producer out. */
  async open(): Promise<void> {
    await this.#reports?.join(this.#id, this.#bound.topic.name)
  }

  /**
   * Resolves when the entry is durable. Entries of one partition keep the order of the calls; do not wait for each, but
   * do wait for some: a batch forms of what is sent meanwhile. Rejects with `bad-record`, `too-large`, `throttled`
   * (too much is waiting: await earlier sends), `closed`, or what the broker said.
   */
  send(entry: Entry<Key, Value>): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      this.#enqueue(entry, (error, partition, position) => {
        if (error) reject(error)
        else resolve({ partition, position })
      })
    })
  }

  /** One promise for many entries: resolves when all are durable, rejects with the first error. */
  sendAll(entries: Iterable<Entry<Key, Value>>): Promise<void> {
    return new Promise((resolve, reject) => {
      let open = 1
      let failure: StreamError | undefined
      const settle = (error?: StreamError): void => {
        failure ??= error
        if (--open > 0) return
        if (failure) reject(failure)
        else resolve()
      }
      for (const entry of entries) {
        open++
        this.#enqueue(entry, settle)
      }
      settle()
    })
  }

  /** Resolves when everything sent so far is durable or has failed. */
  flush(): Promise<void> {
    return this.#sender.flush()
  }

  /** Sends what is waiting, says goodbye to the readers, closes. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#sender.close()
    await this.#reports?.close(this.#durable)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #enqueue(
    entry: Entry,
    settle: (error: StreamError | undefined, partition: number, position: Position | undefined) => void
  ): void {
    if (this.#closed) throw new StreamError('closed', `the producer for '${this.#bound.topic.name}' is closed`)
    if (this.#sender.bufferedBytes > this.#maxBuffered)
      throw new StreamError(
        'throttled',
        `${this.#maxBuffered} bytes for '${this.#bound.topic.name}' are waiting to be sent: await earlier sends before the next ones`,
        { retryable: true }
      )
    const now = this.#environment.now()
    const { key, value, headers, partition, eventTime } = encodeEntry(this.#bound, entry, now, this.#unkeyed++, now)
    const sequence = ++this.#sequences[partition]!
    this.#given.set(partition, sequence)
    const late = eventTime < this.#watermark
    this.#watermark = Math.max(this.#watermark, eventTime - this.#bound.topic.lateness)
    // On this record, the promise covers those after it; the record itself keeps the earlier one or is late.
    const rose = this.#watermark > this.#promised[partition]!
    if (rose) this.#promised[partition] = this.#watermark
    const stamp = encodeStamp(this.#id, sequence, eventTime, rose ? this.#watermark : undefined, late)
    const trace = this.#tracing?.current()
    const all = trace ? { ...trace, ...headers } : headers
    this.#sender.enqueue(
      { topic: this.#bound.topic.name, partition, key, value, headers: all, stamp, timestamp: eventTime },
      (error, position) => {
        if (!error) {
          this.#durable.set(partition, sequence)
          this.#reports?.sent(eventTime, late)
        }
        settle(error, partition, position)
      }
    )
    // What is on its way may be earlier than the watermark: the claim is for what comes after it. Not only once that is there: who
    // cannot send is still here, and must be waited for.
    this.#reports?.progress(this.#watermark, this.#given)
  }
}

import { uuidv7 } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { type RawRecord, sizeOf } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/log-reader.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { ReceivedMessage } from './client.ts'
import type { Connection } from './connection.ts'
import { closedError } from './errors.ts'
import { partitionAttribute, topicPath } from './names.ts'
import type { ReadPubsubOptions } from './options.ts'
import { PullStream } from './pull-stream.ts'
import { markerAttribute, toRecord } from './records.ts'
import type { Subscriptions } from './subscriptions.ts'

export interface PartitionReaderContext {
  readonly connection: Connection
  readonly options: ReadPubsubOptions
  readonly subscriptions: Subscriptions
}

/**
 * What is written to one partition from now on, for this reader alone: a subscription of its own, which ends with it.
 * Where the end is, a queue can only tell by a marker: published behind everything that was written, in the same order
 * (the partition is the ordering key), and waited for until it comes back.
 */
export class PubsubPartitionReader implements PartitionReader {
  readonly #context: PartitionReaderContext
  readonly #reading: PartitionReaderOptions
  readonly #id: string
  readonly #news: Signal
  #subscription = ''
  #stream: PullStream | undefined
  #acknowledgements: Acknowledgements | undefined
  #records: RawRecord[] = []
  #bytes = 0
  #paused = false
  /** Markers published, and the last one that came back. */
  #marked = 0
  #seen = 0
  #failure: { readonly error: unknown } | undefined
  #closed: Promise<void> | undefined

  constructor(context: PartitionReaderContext, options: PartitionReaderOptions) {
    this.#context = context
    this.#reading = options
    this.#id = uuidv7(context.connection.environment)
    this.#news = new Signal(context.connection.environment)
  }

  /** Makes its subscription. Rejects with `unsupported` for a place to start at. */
  async open(): Promise<this> {
    const { from, topic } = this.#reading
    if (typeof from === 'object')
      throw new StreamError('unsupported', `topic '${topic}': Pub/Sub has no positions and times to start at`, {
        adapter: 'pubsub'
      })
    await this.#start()
    return this
  }

  async receive({
    wait,
    signal
  }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const { environment } = this.#context.connection
    this.#check()
    this.#stream?.open() // what has failed before
    const marker = wait === 0 ? await this.#mark(signal) : undefined
    const deadline = environment.monotonic() + (wait === 0 ? this.#context.options.requestTimeout : wait)
    for (;;) {
      this.#check()
      const atEnd = marker !== undefined && this.#seen >= marker
      if (atEnd || this.#paused || (marker === undefined && this.#records.length > 0))
        return { records: this.#take(), atEnd }
      const left = deadline - environment.monotonic()
      if (left <= 0) break
      await this.#news.wait(left, signal)
    }
    if (marker === undefined) return { records: [], atEnd: false }
    throw new StreamError('timeout', `topic '${this.#reading.topic}': a marker did not come back in time`, {
      retryable: true,
      adapter: 'pubsub'
    })
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #start(): Promise<void> {
    const { connection, options, subscriptions } = this.#context
    const { topic, maxBytes } = this.#reading
    this.#subscription = await subscriptions.createPrivate(topic, this.#id)
    this.#acknowledgements = new Acknowledgements(connection, this.#subscription)
    this.#stream = new PullStream(connection, {
      subscription: this.#subscription,
      ackDeadline: options.ackDeadline,
      maxBytes,
      clientId: this.#id,
      received: messages => this.#received(messages),
      failed: error => {
        this.#failure = { error }
        this.#news.raise()
      }
    })
    this.#stream.open()
  }

  async #close(): Promise<void> {
    this.#news.raise()
    await this.#stream?.close()
    if (this.#subscription !== '') await this.#context.subscriptions.delete(this.#subscription).catch(() => {}) // expires by itself
  }

  #received(messages: readonly ReceivedMessage[]): void {
    // A crash loses nothing that matters: the next reader has a subscription of its own.
    this.#acknowledgements?.acknowledge(messages.map(({ ackId }) => ackId)).catch(() => {}) // comes again
    for (const { message } of messages) {
      const marker = message.attributes[markerAttribute]
      if (marker !== undefined) {
        const [reader, number] = marker.split(' ')
        if (reader === this.#id) this.#seen = Math.max(this.#seen, Number(number))
        continue
      }
      const { partition = 0, ...record } = toRecord(message)
      if (partition !== this.#reading.partition) continue
      this.#records.push(record)
      this.#bytes += sizeOf(record)
    }
    if (this.#bytes >= this.#reading.maxBytes && !this.#paused) {
      this.#paused = true
      this.#stream?.pause()
    }
    this.#news.raise()
  }

  #take(): readonly RawRecord[] {
    const records = this.#records
    this.#records = []
    this.#bytes = 0
    if (this.#paused) {
      this.#paused = false
      this.#stream?.resume()
    }
    return records
  }

  async #mark(signal: AbortSignal | undefined): Promise<number> {
    const { connection } = this.#context
    const { topic, partition } = this.#reading
    const marker = ++this.#marked
    const attributes = { [partitionAttribute]: String(partition), [markerAttribute]: `${this.#id} ${marker}` }
    const message = { data: Buffer.alloc(0), attributes, orderingKey: String(partition) }
    await connection.publisher(
      api => api.publish,
      { topic: topicPath(connection.project, topic), messages: [message] },
      signal
    )
    return marker
  }

  #check(): void {
    if (this.#closed) throw closedError('partition reader')
    const failure = this.#failure
    this.#failure = undefined
    if (failure) throw failure.error
  }
}

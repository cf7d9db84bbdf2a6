import type { Environment } from '../../core/environment.ts'
import type { NativeMessageIds, NativeProducer, NativeReader, PulsarClient } from './client.ts'
import { classify, closedError, PulsarError } from './errors.ts'
import { decodeMessageId, encodeMessageId, type MessageId } from './positions.ts'
import type {
  OutgoingMessage,
  ProducerLink,
  ProducerLinkOptions,
  ReaderLink,
  ReaderLinkOptions,
  Sent,
  Transport
} from './transport.ts'

export interface NativeSettings {
  readonly client: PulsarClient
  readonly messageIds: NativeMessageIds
  readonly environment: Environment
  /** Ms for one send. */
  readonly requestTimeout: number
}

/** Ms that one read of the native client may last: how long a close may find it busy. */
const longestRead = 500

/** The package `pulsar-client`: Pulsar's binary protocol, over the C++ client. */
export class NativeTransport implements Transport {
  readonly name = 'native'
  readonly #settings: NativeSettings
  readonly #open = new Set<{ close(): Promise<void> }>()
  #closed = false

  constructor(settings: NativeSettings) {
    this.#settings = settings
  }

  async producer({ topic, identity, maxInFlight }: ProducerLinkOptions): Promise<ProducerLink> {
    const { client, requestTimeout } = this.#settings
    if (this.#closed) throw closedError()
    const producer = await explained(`writing to ${topic}`, () =>
      client.createProducer({
        topic,
        ...(identity && { producerName: identity.name, initialSequenceId: identity.lastSequence }),
        // Never batches: a batch that is cut anew for a resend is dropped whole by deduplication.
        batchingEnabled: false,
        blockIfQueueFull: false,
        maxPendingMessages: maxInFlight,
        sendTimeoutMs: requestTimeout
      })
    )
    return this.#keep(new NativeProducerLink(producer, topic, link => this.#open.delete(link)))
  }

  async reader(options: ReaderLinkOptions): Promise<ReaderLink> {
    const { client, messageIds } = this.#settings
    if (this.#closed) throw closedError()
    const { topic, after, window } = options
    const startMessageId = after === undefined ? messageIds.earliest() : messageIds.deserialize(encodeMessageId(after))
    const reader = await explained(`reading ${topic}`, () =>
      client.createReader({ topic, startMessageId, receiverQueueSize: window })
    )
    const link = await this.#keep(new NativeReaderLink(reader, options, ended => this.#open.delete(ended)))
    link.start()
    return link
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map(link => link.close()))
  }

  async #keep<Link extends { close(): Promise<void> }>(link: Link): Promise<Link> {
    this.#open.add(link)
    if (!this.#closed) return link
    await link.close()
    throw closedError()
  }
}

class NativeProducerLink implements ProducerLink {
  /** Why nothing is taken any more. */
  #failure: { readonly error: unknown } | undefined
  readonly #producer: NativeProducer
  readonly #topic: string
  readonly #ended: (link: NativeProducerLink) => void
  /** Answers are told in order, whatever order they come in. */
  #tail: Promise<void> = Promise.resolve()

  constructor(producer: NativeProducer, topic: string, ended: (link: NativeProducerLink) => void) {
    this.#producer = producer
    this.#topic = topic
    this.#ended = ended
  }

  get usable(): boolean {
    return this.#failure === undefined
  }

  send({ key, payload, properties, eventTime, sequence }: OutgoingMessage, sent: Sent): void {
    const sending = this.usable
      ? explained(`writing to ${this.#topic}`, () =>
          this.#producer.send({
            data: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
            properties,
            ...(key !== undefined && { partitionKey: key }),
            ...(eventTime !== 0 && { eventTimestamp: eventTime }),
            ...(sequence !== undefined && { sequenceId: sequence })
          })
        )
      : Promise.reject(this.#failure!.error)
    const outcome = sending.then(
      id => ({ id: decodeMessageId(id.serialize()), error: undefined }),
      (error: unknown) => ({ id: undefined, error })
    )
    this.#tail = this.#tail.then(async () => {
      const { id, error } = await outcome
      // What was behind a failed one may be stored: it is sent again all the same.
      if (error !== undefined) this.#failure ??= { error }
      if (this.#failure) sent(this.#failure.error, undefined)
      else sent(undefined, stored(id))
    })
  }

  async close(): Promise<void> {
    this.#failure ??= { error: closedError() }
    this.#ended(this)
    await this.#producer.close().catch(() => {}) // gone with its connection
  }
}

/** Deduplication answers ledger -1, entry -1 for what it has stored before. */
function stored(id: MessageId | undefined): MessageId | undefined {
  return id !== undefined && id.entry >= 0 ? id : undefined
}

class NativeReaderLink implements ReaderLink {
  readonly #reader: NativeReader
  readonly #options: ReaderLinkOptions
  readonly #ended: (link: NativeReaderLink) => void
  #credit: number
  #paused = false
  #closed = false
  #pump: Promise<void> | undefined

  constructor(reader: NativeReader, options: ReaderLinkOptions, ended: (link: NativeReaderLink) => void) {
    this.#reader = reader
    this.#options = options
    this.#ended = ended
    this.#credit = options.window
  }

  start(): void {
    if (this.#paused || this.#closed || this.#credit === 0) return
    this.#pump ??= this.#read().finally(() => {
      this.#pump = undefined
      // Room may have come while the last read was ending.
      this.start()
    })
  }

  more(count: number): void {
    this.#credit += count
    this.start()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.start()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#ended(this)
    await this.#pump
    await this.#reader.close().catch(() => {}) // gone with its connection
  }

  async #read(): Promise<void> {
    while (!this.#paused && !this.#closed && this.#credit > 0) {
      try {
        const message = await this.#reader.readNext(longestRead)
        if (this.#closed) return
        this.#credit--
        this.#options.message(
          {
            id: decodeMessageId(message.getMessageId().serialize()),
            // The native client has no way to tell a missing key from an empty one.
            key: message.getPartitionKey() || undefined,
            payload: message.getData(),
            properties: message.getProperties(),
            eventTime: message.getEventTimestamp(),
            publishTime: message.getPublishTimestamp()
          },
          this
        )
      } catch (error) {
        if (classify(error).code === 'timeout') continue
        if (this.#closed) return
        this.#closed = true
        this.#ended(this)
        void this.#reader.close().catch(() => {})
        this.#options.failed(wrapped(`reading ${this.#options.topic}`, error))
      }
    }
  }
}

async function explained<Result>(what: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    throw wrapped(what, error)
  }
}

function wrapped(what: string, error: unknown): PulsarError {
  return new PulsarError(
    classify(error),
    `${what}: ${error instanceof Error ? error.message : String(error)}`,
    0,
    error
  )
}

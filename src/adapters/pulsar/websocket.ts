import { answerError, classifySendError, closedError, PulsarError } from './errors.ts'
import { acknowledgement, frameOf, readAnswer, readMessage } from './frames.ts'
import { encodeMessageId } from './positions.ts'
import { PulsarSocket, type SocketSettings } from './sockets.ts'
import type {
  OutgoingMessage,
  ProducerLink,
  ProducerLinkOptions,
  ReaderLink,
  ReaderLinkOptions,
  Sent,
  Transport
} from './transport.ts'

/** Pulsar's official WebSocket API: a socket for each partition that is written or read. */
export class WebSocketTransport implements Transport {
  readonly name = 'websocket'
  readonly #settings: SocketSettings
  readonly #open = new Set<{ close(): Promise<void> }>()
  #closed = false

  constructor(settings: SocketSettings) {
    this.#settings = settings
  }

  async producer(options: ProducerLinkOptions): Promise<ProducerLink> {
    return this.#keep(new WebSocketProducer(options, ended => this.#open.delete(ended)), this.#settings)
  }

  async reader(options: ReaderLinkOptions): Promise<ReaderLink> {
    return this.#keep(new WebSocketReader(options, ended => this.#open.delete(ended)), this.#settings)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map(link => link.close()))
  }

  async #keep<Link extends { open(settings: SocketSettings): Promise<void>; close(): Promise<void> }>(
    link: Link,
    settings: SocketSettings
  ): Promise<Link> {
    if (this.#closed) throw closedError()
    this.#open.add(link)
    try {
      await link.open(settings)
    } catch (error) {
      this.#open.delete(link)
      throw error
    }
    if (this.#closed) {
      await link.close()
      throw closedError()
    }
    return link
  }
}

/** `persistent://tenant/namespace/name` as a path. */
function pathOf(topic: string): string {
  return topic.replace('://', '/').split('/').map(encodeURIComponent).join('/')
}

class WebSocketProducer implements ProducerLink {
  /** Why nothing is taken any more. */
  #failure: { readonly error: unknown } | undefined
  readonly #options: ProducerLinkOptions
  readonly #ended: (link: WebSocketProducer) => void
  #socket: PulsarSocket | undefined
  /** In flight, in order: answers come in that order too. */
  #waiting: { readonly context: string; readonly sent: Sent }[] = []
  #answered = 0
  #count = 0
  #frames: string[] = []

  constructor(options: ProducerLinkOptions, ended: (link: WebSocketProducer) => void) {
    this.#options = options
    this.#ended = ended
  }

  get usable(): boolean {
    return this.#failure === undefined
  }

  async open(settings: SocketSettings): Promise<void> {
    const { topic, identity, maxInFlight } = this.#options
    const query = new URLSearchParams({
      // Never batches: a batch that is cut anew for a resend is dropped whole by deduplication.
      batchingEnabled: 'false',
      maxPendingMessages: String(maxInFlight),
      ...(identity && { producerName: identity.name, initialSequenceId: String(identity.lastSequence) })
    })
    const what = `writing to ${topic}`
    this.#socket = await PulsarSocket.open(settings, what, `producer/${pathOf(topic)}?${query}`, {
      message: data => this.#answer(data),
      lost: error => this.#fail(error)
    })
  }

  send(message: OutgoingMessage, sent: Sent): void {
    if (this.#failure) {
      const { error } = this.#failure
      return queueMicrotask(() => sent(error, undefined))
    }
    const context = String(++this.#count)
    this.#waiting.push({ context, sent })
    this.#frames.push(frameOf(message, context))
    if (this.#frames.length === 1) queueMicrotask(() => this.#flush())
    else if (this.#frames.length === 64) this.#flush()
  }

  async close(): Promise<void> {
    this.#fail(closedError())
    await this.#socket?.close()
  }

  #flush(): void {
    const frames = this.#frames
    this.#frames = []
    if (frames.length > 0 && this.usable) this.#socket!.sendAll(frames)
  }

  #answer(data: Buffer): void {
    try {
      const { context, id, error } = readAnswer(data)
      const first = this.#waiting[this.#answered]
      if (first?.context !== context)
        throw answerError(
          `writing to ${this.#options.topic}`,
          500,
          `an answer to send ${context}, expected ${first?.context}`
        )
      if (error !== undefined)
        throw new PulsarError(classifySendError(error), `writing to ${this.#options.topic}: Pulsar answered ${error}`)
      // Shifting one by one would move the whole array each time.
      if (++this.#answered === this.#waiting.length || this.#answered === 256) {
        this.#waiting.splice(0, this.#answered)
        this.#answered = 0
      }
      first.sent(undefined, id)
    } catch (error) {
      this.#fail(error)
      void this.#socket?.close()
    }
  }

  #fail(error: unknown): void {
    if (this.#failure) return
    this.#failure = { error }
    this.#ended(this)
    const open = this.#waiting.slice(this.#answered)
    this.#waiting = []
    for (const { sent } of open) queueMicrotask(() => sent(error, undefined))
  }
}

class WebSocketReader implements ReaderLink {
  readonly #options: ReaderLinkOptions
  readonly #ended: (link: WebSocketReader) => void
  #socket: PulsarSocket | undefined
  /** Ids of messages that were not acknowledged yet, in order. */
  #unacknowledged: string[] = []
  #owed = 0
  #scheduled = false
  #paused = false
  #over = false

  constructor(options: ReaderLinkOptions, ended: (link: WebSocketReader) => void) {
    this.#options = options
    this.#ended = ended
  }

  async open(settings: SocketSettings): Promise<void> {
    const { topic, after, window } = this.#options
    const query = new URLSearchParams({
      messageId: after === undefined ? 'earliest' : encodeMessageId(after).toString('base64'),
      receiverQueueSize: String(window)
    })
    const what = `reading ${topic}`
    this.#socket = await PulsarSocket.open(settings, what, `reader/${pathOf(topic)}?${query}`, {
      message: data => this.#message(data),
      lost: error => this.#fail(error)
    })
    // The first messages may have come with the handshake.
    if (this.#paused) this.#socket.pause()
    this.#acknowledge()
  }

  // A reader has no permits: the server sends as many as its queue is long, and one more for each acknowledgement.
  more(count: number): void {
    this.#owed += count
    this.#schedule()
  }

  pause(): void {
    this.#paused = true
    this.#socket?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#socket?.resume()
  }

  async close(): Promise<void> {
    this.#over = true
    this.#ended(this)
    await this.#socket?.close()
  }

  /** Once for all that came in one piece of the stream. */
  #schedule(): void {
    if (this.#scheduled || this.#owed === 0) return
    this.#scheduled = true
    queueMicrotask(() => this.#acknowledge())
  }

  #acknowledge(): void {
    this.#scheduled = false
    if (!this.#socket || this.#over) return
    const ids = this.#unacknowledged.splice(0, this.#owed)
    this.#owed -= ids.length
    if (ids.length > 0) this.#socket.sendAll(ids.map(acknowledgement))
  }

  #message(data: Buffer): void {
    if (this.#over) return
    try {
      const { message, messageId } = readMessage(data)
      this.#unacknowledged.push(messageId)
      this.#options.message(message, this)
      this.#schedule()
    } catch (error) {
      this.#fail(error)
      void this.#socket?.close()
    }
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#ended(this)
    this.#options.failed(error)
  }
}

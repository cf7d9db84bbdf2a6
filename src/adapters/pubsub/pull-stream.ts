import type { Timer } from '../../core/environment.ts'
import type { PullingStream, ReceivedMessage } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, pubsubError } from './errors.ts'

export interface PullStreamOptions {
  /** Its full path. */
  readonly subscription: string
  /** ms */
  readonly ackDeadline: number
  readonly maxBytes: number
  /** Tells the service that it is the same client when a stream is opened again. */
  readonly clientId: string
  received(messages: readonly ReceivedMessage[]): void
  /** It could not be opened, or broke at once. `open` tries again. */
  failed(error: unknown): void
}

/** A stream that lived so long was good, ms: it is opened again by itself, as the service ends each after some time. */
const goodLife = 1_000
/** Time between two pings, ms; a stream that was silent from one to the next is dead. */
const pingInterval = 30_000
/** How long the service may take to end a stream that is closed, ms. */
const patience = 500

/** A streaming pull on one subscription that goes on over the ends of its streams. */
export class PullStream {
  readonly #connection: Connection
  readonly #options: PullStreamOptions
  #stream: PullingStream | undefined
  #opening: Promise<void> | undefined
  #openedAt = 0
  #paused = false
  #heard = false
  #timer: Timer | undefined
  #closed = false
  #ended: (() => void) | undefined

  constructor(connection: Connection, options: PullStreamOptions) {
    this.#connection = connection
    this.#options = options
  }

  /** Unless it is open already. Failures are told by `failed`. */
  open(): void {
    if (this.#closed || this.#stream || this.#opening) return
    this.#opening = this.#open()
      .catch((error: unknown) => this.#options.failed(pubsubError(error, `pulling from ${this.#options.subscription}`)))
      .finally(() => (this.#opening = undefined))
  }

  pause(): void {
    this.#paused = true
    this.#stream?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#stream?.resume()
  }

  /** What is on its way is still received, so that it can be given back. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    await this.#opening
    const stream = this.#stream
    if (!stream) return
    const { environment } = this.#connection
    await new Promise<void>(resolve => {
      const timer = environment.timer(patience, resolve)
      this.#ended = () => {
        timer.cancel()
        resolve()
      }
      stream.end()
      stream.resume()
    })
    stream.cancel()
    this.#stream = undefined
  }

  async #open(): Promise<void> {
    const { environment } = this.#connection
    const { stream, ended } = await this.#connection.pull()
    stream.on('error', () => {}) // also of one that is not used any more
    if (this.#closed) {
      ended()
      return stream.cancel()
    }
    this.#stream = stream
    this.#openedAt = environment.monotonic()
    this.#heard = true
    let over = false
    const end = (error: unknown): void => {
      if (over) return
      over = true
      ended()
      this.#end(stream, error)
    }
    stream.on('data', ({ receivedMessages }) => {
      this.#heard = true
      if (receivedMessages && receivedMessages.length > 0) this.#options.received(receivedMessages)
    })
    stream.on('error', end)
    stream.on('end', () => end(undefined))
    const { subscription, ackDeadline, maxBytes, clientId } = this.#options
    // What is not acknowledged counts, and most of that is with the front: room for a commit, and for what it waits for.
    const maxOutstandingBytes = Math.max(4 * maxBytes, 1024 * 1024)
    stream.write({
      subscription,
      clientId,
      streamAckDeadlineSeconds: Math.ceil(ackDeadline / 1000),
      maxOutstandingBytes,
      maxOutstandingMessages: Math.max(1000, Math.ceil(maxOutstandingBytes / 256)),
      protocolVersion: 1 // answers pings
    })
    if (this.#paused) stream.pause()
    this.#ping(stream)
  }

  #end(stream: PullingStream, error: unknown): void {
    this.#ended?.()
    if (this.#stream !== stream) return
    this.#stream = undefined
    this.#timer?.cancel()
    if (this.#closed) return
    const good = this.#connection.environment.monotonic() - this.#openedAt >= goodLife
    if (good && (error === undefined || classify(error).retryable)) return this.open()
    const { subscription, failed } = this.#options
    failed(pubsubError(error ?? new Error('the service ended the stream at once'), `pulling from ${subscription}`))
  }

  // A connection that died without a word would be noticed after minutes.
  #ping(stream: PullingStream): void {
    this.#timer = this.#connection.environment.timer(
      pingInterval,
      () => {
        if (this.#stream !== stream) return
        if (!this.#heard && !this.#paused) return stream.cancel()
        this.#heard = false
        stream.write({})
        this.#ping(stream)
      },
      true
    )
  }
}

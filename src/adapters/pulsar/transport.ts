import type { MessageId } from './positions.ts'

/**
 * How messages travel to and from one partition: over WebSockets, or by the native client. What is the same for both
 * (topics, positions, order, retry by the front) is not in here.
 */
export interface Transport {
  readonly name: 'native' | 'websocket'
  /** Rejects with a `StreamError`: `unknown-topic`, `unauthorized`, `throttled`, `connection`. */
  producer(options: ProducerLinkOptions): Promise<ProducerLink>
  /** May call `message` before it has resolved. */
  reader(options: ReaderLinkOptions): Promise<ReaderLink>
  close(): Promise<void>
}

export interface ProducerLinkOptions {
  /** The topic of the partition: `persistent://tenant/namespace/name-partition-0`. */
  readonly topic: string
  /** With broker deduplication: who sends, and the number before its next one. */
  readonly identity?: { readonly name: string; readonly lastSequence: number } | undefined
  /** Never more than these will be in flight. */
  readonly maxInFlight: number
}

/** `id` is `undefined` where the broker says that it has stored the message before (deduplication). */
export type Sent = (error: unknown, id: MessageId | undefined) => void

export interface ProducerLink {
  /** False once a send or the connection failed: all further sends fail. */
  readonly usable: boolean
  /**
   * Sends behind all earlier ones. `sent` is called once for each, in the order of the calls, never synchronously; after
   * a failure everything later fails too. Throws nothing.
   */
  send(message: OutgoingMessage, sent: Sent): void
  close(): Promise<void>
}

export interface OutgoingMessage {
  readonly key: string | undefined
  readonly payload: Uint8Array
  readonly properties: Readonly<Record<string, string>>
  /** Milliseconds since the epoch; 0: none. */
  readonly eventTime: number
  /** For deduplication: always one more than that of the message before. */
  readonly sequence: number | undefined
}

export interface ReaderLinkOptions {
  readonly topic: string
  /** `undefined`: from the first message there is. */
  readonly after: MessageId | undefined
  /** This many messages may be on their way; `more` allows further ones. */
  readonly window: number
  readonly message: (message: IncomingMessage, link: ReaderLink) => void
  /** Called once, when nothing more will come. Not after `close`. */
  readonly failed: (error: unknown) => void
}

export interface ReaderLink {
  /** So many messages have found their place: as many more may come. */
  more(count: number): void
  /** Too many bytes are waiting: let nothing in until `resume`. What was let in already may still be handed over. */
  pause(): void
  resume(): void
  close(): Promise<void>
}

export interface IncomingMessage {
  readonly id: MessageId
  readonly key: string | undefined
  /** `null` is Pulsar's own null value, which only native producers can write. */
  readonly payload: Uint8Array | null
  readonly properties: Readonly<Record<string, string>>
  /** Milliseconds since the epoch; 0: none. */
  readonly eventTime: number
  readonly publishTime: number
}

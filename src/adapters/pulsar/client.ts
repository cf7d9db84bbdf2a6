/**
 * The parts of `ws` 8 and of `pulsar-client` 1.x that this adapter touches, as our own structural types: no type of the
 * packages appears in our declarations.
 */

/** What `import('ws')` gives: the class itself. */
export type WebSocketClass = new (address: string, options: WebSocketOptions) => WebSocketLike

export interface WebSocketOptions {
  readonly perMessageDeflate: false
  readonly handshakeTimeout: number
  readonly maxPayload: number
  readonly headers: Readonly<Record<string, string>>
  readonly createConnection: (options: any) => any
}

export interface WebSocketLike {
  readonly readyState: number
  send(data: string, options: { readonly binary: false }): void
  ping(): void
  pause(): void
  resume(): void
  close(code?: number): void
  terminate(): void
  on(event: string, listener: (...parts: any[]) => void): unknown
}

/** What `import('pulsar-client')` gives. */
export interface PulsarModule {
  readonly Client: new (options: Readonly<Record<string, unknown>>) => PulsarClient
  readonly MessageId: NativeMessageIds
  readonly AuthenticationToken: new (options: { readonly token: string }) => unknown
}

/** An instance of `Client`. `MessageId` is the module's own, needed beside an injected instance. */
export interface PulsarClient {
  readonly MessageId?: NativeMessageIds
  createProducer(options: Readonly<Record<string, unknown>>): Promise<NativeProducer>
  createReader(options: Readonly<Record<string, unknown>>): Promise<NativeReader>
  close(): Promise<unknown>
}

export interface NativeMessageIds {
  earliest(): NativeMessageId
  deserialize(bytes: Buffer): NativeMessageId
}

export interface NativeMessageId {
  serialize(): Buffer
}

export interface NativeProducer {
  send(message: Readonly<Record<string, unknown>>): Promise<NativeMessageId>
  close(): Promise<unknown>
}

export interface NativeReader {
  /** Rejects with `TimeOut` when nothing came for so many ms. */
  readNext(timeout?: number): Promise<NativeMessage>
  close(): Promise<unknown>
}

export interface NativeMessage {
  getMessageId(): NativeMessageId
  getData(): Buffer
  getProperties(): Readonly<Record<string, string>>
  getPartitionKey(): string
  getEventTimestamp(): number
  getPublishTimestamp(): number
}

/**
 * The parts of `@azure/event-hubs` 6 that this adapter touches, as our own structural types: no type of the package
 * appears in our declarations.
 */

/** What `import('@azure/event-hubs')` gives. The arguments differ with the kind of credential. */
export interface EventhubsModule {
  readonly EventHubProducerClient: new (...parts: any[]) => ProducerClient
  readonly EventHubConsumerClient: new (...parts: any[]) => ConsumerClient
}

/** What both kinds of client can do. */
export interface HubClient {
  getEventHubProperties(options?: CallOptions): Promise<HubProperties>
  getPartitionProperties(partition: string, options?: CallOptions): Promise<PartitionProperties>
  close(): Promise<void>
}

export interface ProducerClient extends HubClient {
  createBatch(options: CallOptions & { readonly partitionId: string }): Promise<EventBatch>
  sendBatch(batch: EventBatch, options?: CallOptions): Promise<void>
}

export interface ConsumerClient extends HubClient {
  subscribe(partition: string, handlers: SubscriptionHandlers, options: SubscribeOptions): Subscription
}

export interface CallOptions {
  readonly abortSignal?: AbortSignal
}

export interface HubProperties {
  readonly partitionIds: readonly string[]
}

export interface PartitionProperties {
  /** Of the first event that retention has left. */
  readonly beginningSequenceNumber: number
  /** -1 before the first event. */
  readonly lastEnqueuedSequenceNumber: number
  readonly lastEnqueuedOnUtc: Date
  readonly isEmpty: boolean
}

export interface EventBatch {
  readonly count: number
  readonly maxSizeInBytes: number
  tryAdd(event: OutgoingEvent): boolean
}

export interface OutgoingEvent {
  body: Uint8Array
  contentType?: string
  properties?: Record<string, unknown>
}

export interface IncomingEvent {
  readonly body: unknown
  readonly sequenceNumber: number
  readonly enqueuedTimeUtc: Date
  readonly partitionKey?: string | null
  readonly contentType?: string
  /** Its application properties are as they came: bytes are bytes, which the client's own `properties` take apart. */
  getRawAmqpMessage(): { readonly applicationProperties?: Readonly<Record<string, unknown>> }
}

export interface SubscriptionHandlers {
  processEvents(events: readonly IncomingEvent[]): Promise<void>
  processError(error: unknown): Promise<void>
}

/** Where a subscription starts: exactly one of the three. */
export interface EventPosition {
  readonly offset?: string
  readonly sequenceNumber?: number
  readonly isInclusive?: boolean
  readonly enqueuedOn?: number
}

export interface SubscribeOptions {
  readonly startPosition: EventPosition
  readonly maxBatchSize: number
  readonly maxWaitTimeInSeconds: number
  readonly prefetchCount: number
  readonly skipParsingBodyAsJson: true
  readonly ownerLevel?: number
}

export interface Subscription {
  close(): Promise<void>
}

/** A `TokenCredential` of `@azure/core-auth`, such as `DefaultAzureCredential` of `@azure/identity`. */
export interface TokenCredential {
  getToken(scopes: string | string[], options?: object): Promise<{ readonly token: string } | null>
}

/**
 * What tells one connection of a client from the next one. It is not public in the vendor package: where it is not found, a
 * lost connection shows when a request times out.
 */
export function connectionOf(client: HubClient): string | undefined {
  const { _context: context } = client as { _context?: { connectionId?: unknown } }
  return typeof context?.connectionId === 'string' ? context.connectionId : undefined
}

/**
 * The parts of `@google-cloud/pubsub` 6.x that this adapter touches, as our own structural types: no type of the package
 * appears in our declarations.
 */

/** What `import('@google-cloud/pubsub')` gives. */
export interface PubsubModule {
  readonly PubSub: new (options: Readonly<Record<string, unknown>>) => PubsubClient
  /** The generated clients: one call of theirs is one request. */
  readonly v1: {
    readonly PublisherClient: new (options: any) => PublisherApi
    readonly SubscriberClient: new (options: any) => SubscriberApi
  }
}

/** An instance of `PubSub`. */
export interface PubsubClient {
  /** Project, endpoint and credentials, as the generated clients take them. */
  getClientConfig(): Promise<any>
  close(): Promise<unknown> | void
}

/** One request: resolves with the response first. */
export type Call<Request> = (request: Request, options: CallOptions) => Promise<any>

export interface CallOptions {
  /** `null`: no retries by the client, those are the front's. */
  readonly retry: null
  /** ms */
  readonly timeout: number
  /** Of lists: one page at a time. */
  readonly autoPaginate?: false
}

interface Generated {
  /** Rejects when there are no credentials. Not called first, each method would leave that as an unhandled rejection. */
  initialize(): Promise<any>
  close(): Promise<void>
}

export interface PublisherApi extends Generated {
  publish: Call<{ topic: string; messages: readonly OutgoingMessage[] }>
  createTopic: Call<object>
  getTopic: Call<{ topic: string }>
  deleteTopic: Call<{ topic: string }>
  listTopics: Call<object>
  listTopicSubscriptions: Call<object>
}

export interface SubscriberApi extends Generated {
  createSubscription: Call<object>
  getSubscription: Call<{ subscription: string }>
  deleteSubscription: Call<{ subscription: string }>
  acknowledge: Call<{ subscription: string; ackIds: readonly string[] }>
  modifyAckDeadline: Call<{ subscription: string; ackIds: readonly string[]; ackDeadlineSeconds: number }>
  seek: Call<object>
}

/** What `SubscriberApi.initialize` gives: the connection itself. */
export interface SubscriberStub {
  streamingPull(options: { readonly deadline: number }): PullingStream
}

/** A streaming pull: a duplex stream of objects. */
export interface PullingStream {
  write(request: object): unknown
  /** No more requests: the service then ends the stream. */
  end(): unknown
  cancel(): void
  pause(): unknown
  resume(): unknown
  on(event: 'data', listener: (response: PullResponse) => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  on(event: 'end', listener: () => void): unknown
}

export interface PullResponse {
  readonly receivedMessages?: readonly ReceivedMessage[] | null
}

export interface ReceivedMessage {
  readonly ackId: string
  readonly message: IncomingMessage
  /** 0 where the subscription does not count: without a dead-letter policy. */
  readonly deliveryAttempt?: number
}

export interface IncomingMessage {
  readonly data: Uint8Array
  readonly attributes: Readonly<Record<string, string>>
  readonly messageId: string
  readonly publishTime: { readonly seconds: string | number; readonly nanos: number } | null
  readonly orderingKey?: string
}

export interface OutgoingMessage {
  readonly data: Uint8Array
  readonly attributes: Readonly<Record<string, string>>
  readonly orderingKey?: string
}

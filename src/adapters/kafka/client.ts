/**
 * The parts of kafkajs 2.2 that this adapter touches, as our own structural types: no type of the package appears in our
 * declarations. What is not in kafkajs's documentation is marked *internal*; `connection.ts` is the only file that uses it
 * and checks at start that it is there.
 */

/** An instance of `Kafka`. */
export interface KafkaClient {
  consumer(options: any): any
  producer(options?: any): any
  admin(options?: any): any
}

/** What `import('kafkajs')` gives. */
export interface KafkaModule {
  readonly Kafka: new (options: any) => KafkaClient
  readonly CompressionCodecs?: Readonly<Record<number, (() => unknown) | undefined>>
}

/** Handed to custom partition assigners, which is how it is reached. Its methods are *internal*. */
export interface VendorCluster {
  targetTopics: Set<string>
  readonly brokerPool: VendorBrokerPool
  readonly connectionPoolBuilder: { build: (destination?: object) => Promise<VendorConnectionPool> }
  isConnected(): boolean
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  findBroker(node: { readonly nodeId: number | string }): Promise<VendorBroker>
  findControllerBroker(): Promise<VendorBroker>
}

/** *Internal.* */
export interface VendorBrokerPool {
  readonly brokers: Readonly<Record<string, VendorBroker>>
  readonly seedBroker: VendorBroker | undefined
  readonly metadata: VendorMetadata | null
  createBroker: (options: object) => VendorBroker
  findConnectedBroker(): Promise<VendorBroker>
}

/** *Internal.* What `metadata.ts` reads and kafkajs keeps. */
export interface VendorMetadata {
  readonly brokers: readonly {
    readonly nodeId: number
    readonly host: string
    readonly port: number
    readonly rack: string | null
  }[]
  readonly clusterId: string | null
  readonly controllerId: number
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number
    readonly topic: string
    readonly isInternal: boolean
    readonly partitionMetadata: readonly {
      readonly partitionErrorCode: number
      readonly partitionId: number
      readonly leader: number
      readonly replicas: readonly number[]
      readonly isr: readonly number[]
      readonly offlineReplicas: readonly number[]
    }[]
  }[]
}

/** *Internal.* Sockets of one broker: the first for all requests, the second for fetches. */
export interface VendorConnectionPool {
  readonly pool: readonly VendorConnection[]
  send(request: VendorRequest): Promise<any>
}

/** *Internal.* One socket, and the next one after it is lost. */
export interface VendorConnection {
  /** `host:port` */
  readonly broker: string
  readonly connectionTimeout: number
  readonly requestQueue: VendorRequestQueue
  readonly socket: VendorSocket | undefined
  /** While a login waits for its answer. */
  readonly authHandlers: { onError(): void } | null
  /** What came in and is no whole answer yet. */
  chunks: Buffer[]
  bytesBuffered: number
  bytesNeeded: number
  socketFactory: (options: object) => VendorSocket
  isConnected: () => boolean
  connect: () => Promise<unknown>
  disconnect: () => Promise<unknown>
  send: (request: VendorRequest) => Promise<unknown>
}

export interface VendorSocket {
  readonly destroyed: boolean
  destroy(): void
  once(event: 'close', listener: () => void): unknown
}

/** *Internal.* */
export interface VendorRequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  scheduleCheckPendingRequests: () => void
  rejectAll(error: Error): void
}

/** *Internal.* A request whose bytes are ours: `encode` gives what kafkajs puts behind the request header. */
export interface VendorRequest {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    readonly expectResponse: () => boolean
    readonly encode: () => Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
  }
  readonly response: {
    readonly decode: (payload: Buffer) => Promise<unknown>
    readonly parse: (decoded: any) => Promise<unknown>
  }
  readonly requestTimeout: number | null
}

/** A call per kind of request of Kafka's protocol; each rejects with kafkajs's error for the first code that is not 0. */
export interface VendorBroker {
  readonly nodeId: number | string | null
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  readonly connectionPool: VendorConnectionPool
  isConnected(): boolean
  metadata: (topics: readonly string[]) => Promise<VendorMetadata>
  findGroupCoordinator(of: {
    readonly groupId: string
    readonly coordinatorType: number
  }): Promise<{ readonly coordinator: { readonly nodeId: number } }>
  listOffsets(request: {
    readonly isolationLevel: number
    readonly topics: readonly {
      readonly topic: string
      readonly partitions: readonly { readonly partition: number; readonly timestamp: number }[]
    }[]
  }): Promise<VendorTopicOffsets>
  offsetFetch(request: {
    readonly groupId: string
    readonly topics: readonly {
      readonly topic: string
      readonly partitions: readonly { readonly partition: number }[]
    }[]
  }): Promise<VendorTopicOffsets>
  offsetCommit(request: {
    readonly groupId: string
    readonly groupGenerationId: number
    readonly memberId: string
    readonly topics: readonly VendorCommit[]
  }): Promise<unknown>
  joinGroup(request: {
    readonly groupId: string
    readonly sessionTimeout: number
    readonly rebalanceTimeout: number
    readonly memberId: string
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
  }): Promise<{
    readonly generationId: number
    readonly leaderId: string
    readonly memberId: string
    readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
  }>
  syncGroup(request: {
    readonly groupId: string
    readonly generationId: number
    readonly memberId: string
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[]
  }): Promise<{ readonly memberAssignment: Buffer }>
  heartbeat(request: {
    readonly groupId: string
    readonly groupGenerationId: number
    readonly memberId: string
  }): Promise<unknown>
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>
  createTopics(request: {
    readonly topics: readonly {
      readonly topic: string
      readonly numPartitions: number
      readonly replicationFactor: number
      readonly configEntries: readonly { readonly name: string; readonly value: string }[]
    }[]
    readonly timeout: number
  }): Promise<unknown>
  deleteTopics(request: { readonly topics: readonly string[]; readonly timeout: number }): Promise<unknown>
  initProducerId(request: {
    readonly transactionalId: string
    readonly transactionTimeout: number
  }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>
  addPartitionsToTxn(request: {
    readonly transactionalId: string
    readonly producerId: string
    readonly producerEpoch: number
    readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[]
  }): Promise<unknown>
  addOffsetsToTxn(request: {
    readonly transactionalId: string
    readonly producerId: string
    readonly producerEpoch: number
    readonly groupId: string
  }): Promise<unknown>
  txnOffsetCommit(request: {
    readonly transactionalId: string
    readonly producerId: string
    readonly producerEpoch: number
    readonly groupId: string
    readonly topics: readonly VendorCommit[]
  }): Promise<unknown>
  endTxn(request: {
    readonly transactionalId: string
    readonly producerId: string
    readonly producerEpoch: number
    readonly transactionResult: boolean
  }): Promise<unknown>
}

export interface VendorCommit {
  readonly topic: string
  readonly partitions: readonly { readonly partition: number; readonly offset: string; readonly metadata: string }[]
}

export interface VendorTopicOffsets {
  readonly responses: readonly {
    readonly topic: string
    readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
  }[]
}

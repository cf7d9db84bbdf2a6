/**
 * The parts of `@aws-sdk/client-kinesis` 3.x that this adapter touches, as our own structural types: no type of the
 * package appears in our declarations.
 */

/** An instance of `KinesisClient`. */
export interface KinesisClient {
  send(command: unknown, options?: { readonly abortSignal?: AbortSignal }): Promise<any>
  destroy(): void
}

type Command = new (input: never) => object

/** The requests that are made here, by the names of their commands without `Command`. */
export type RequestName =
  | 'AddTagsToStream'
  | 'CreateStream'
  | 'DeleteStream'
  | 'DescribeStreamConsumer'
  | 'DescribeStreamSummary'
  | 'GetRecords'
  | 'GetShardIterator'
  | 'IncreaseStreamRetentionPeriod'
  | 'ListShards'
  | 'ListStreams'
  | 'ListTagsForStream'
  | 'PutRecord'
  | 'PutRecords'
  | 'RegisterStreamConsumer'
  | 'SubscribeToShard'

/** What `import('@aws-sdk/client-kinesis')` gives. */
export type KinesisModule = { readonly KinesisClient: new (config: any) => KinesisClient } & {
  readonly [Name in RequestName as `${Name}Command`]: Command
}

/** What `import('@smithy/node-http-handler')` gives: HTTP/1.1, for servers without TLS. */
export interface HttpHandlerModule {
  readonly NodeHttpHandler: new (options?: any) => unknown
}

/** As `GetRecords` and `SubscribeToShard` give it. */
export interface KinesisRecord {
  readonly SequenceNumber: string
  readonly PartitionKey: string
  readonly Data: Uint8Array
  readonly ApproximateArrivalTimestamp?: Date
}

/** As `ListShards` gives it. */
export interface ListedShard {
  readonly ShardId: string
  readonly ParentShardId?: string
  readonly AdjacentParentShardId?: string
  readonly HashKeyRange: { readonly StartingHashKey: string; readonly EndingHashKey: string }
  readonly SequenceNumberRange: { readonly StartingSequenceNumber: string; readonly EndingSequenceNumber?: string }
}

export interface PutEntry {
  readonly Data: Uint8Array
  readonly PartitionKey: string
  readonly ExplicitHashKey: string
}

/** What became of one entry of `PutRecords`, and the answer to `PutRecord`. */
export interface PutResult {
  readonly ShardId?: string
  readonly SequenceNumber?: string
  readonly ErrorCode?: string
  readonly ErrorMessage?: string
}

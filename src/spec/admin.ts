import type { Position } from '../core/record.ts'

export interface TopicDescription {
  readonly topic: string
  /** `undefined` on a foreign topic of a backend that does not know (Kinesis, Pub/Sub without our label). */
  readonly partitions: number | undefined
  /** Without a count: the sentence that says how to give the topic one. */
  readonly advice?: string
}

export interface CreateTopic {
  readonly topic: string
  readonly partitions: number
  /** Keep the last record of each key only. A backend without compaction keeps everything and says nothing. */
  readonly compacted?: boolean
  /** With `compacted`: few keys that are written often. What is outdated may go soon, so that the topic is read in no time. */
  readonly fewKeys?: boolean
  /** Settings of the backend, passed through as they are: `{ 'retention.ms': '86400000' }` on Kafka. */
  readonly settings?: Readonly<Record<string, string>>
}

/** How far a group is behind in one partition. */
export interface PartitionBacklog {
  readonly topic: string
  readonly partition: number
  /** Records written and not yet committed by the group. */
  readonly records: number
}

/** A setting that bears on the guarantees. */
export interface Setting<Value> {
  readonly value: Value
  /** As the backend calls it: `retention.ms`. */
  readonly name: string
}

/** What a topic is set to, as far as the backend has such a thing. Times in ms; `Infinity` for ever. */
export interface TopicSettings {
  /** Only the last record of each key stays. */
  readonly compacted?: Setting<boolean>
  /** Records are deleted after so long, read or not. */
  readonly retention?: Setting<number>
  /** The oldest records of a partition are deleted beyond so many bytes, read or not. */
  readonly retentionBytes?: Setting<number>
  /** Records that wait for a reader for so long are dropped as if they had been read: Pulsar's TTL. */
  readonly expiry?: Setting<number>
  /** The broker moves records out of the topic by itself: where to. */
  readonly deadLetter?: Setting<string>
  /** The oldest records are dropped when readers are too far behind. */
  readonly evictsBacklog?: Setting<boolean>
  /** A broker that lacks acknowledged records may take over. */
  readonly losesOnFailover?: Setting<boolean>
  /** Copies of each record, and how many of them an acknowledgement waits for. */
  readonly copies?: Setting<{ readonly all: number; readonly acknowledged: number }>
  /** What this client may not do with it, as far as the backend tells without trying. */
  readonly denied: readonly ('read' | 'write' | 'describe')[]
  /** What else its owner should know: a sentence each. */
  readonly notes?: readonly string[]
}

export interface BrokerSettings {
  /** What the server says of itself: `Apache Pulsar 4.0.1`. */
  readonly version?: string
  /** The server is too old for what this adapter needs: the sentence says which. */
  readonly tooOld?: string
  /** Longest transaction that the broker allows, and what this client asks for, ms. */
  readonly transactionTimeout?: { readonly allowed: Setting<number>; readonly asked: number }
  /** The sessions that the broker allows to members of a group, ms. */
  readonly session?: { readonly least: Setting<number>; readonly most: Setting<number> }
  /** Positions of a group without members are forgotten after so long, ms. */
  readonly groupRetention?: Setting<number>
}

export interface AdminDriver {
  /** Rejects with code `topic-exists`, also when the counts agree. Resolves once the topic can be written and read. */
  createTopic(topic: CreateTopic): Promise<void>
  /** Rejects with code `unknown-topic`. */
  deleteTopic(topic: string): Promise<void>
  /** `undefined` when there is no such topic. Never creates one. */
  describeTopic(topic: string): Promise<TopicDescription | undefined>
  listTopics(): Promise<readonly string[]>
  /**
   * One row per partition of the topics, a partition without commit counts from its start. Without `groups`: rejects with
   * `unsupported`.
   */
  backlog(group: string, topics: readonly string[]): Promise<readonly PartitionBacklog[]>
  /**
   * The positions that the group has committed, `undefined` where none. Without `groups`: rejects with `unsupported`, unless the
   * adapter was told where other consumers have left theirs (Event Hubs: checkpoints); a group without a position starts there.
   */
  committed(group: string, topic: string): Promise<readonly (Position | undefined)[]>
  /**
   * Without `groups`: records behind these positions, by partition; `undefined` counts from the start. Absent where the
   * backend cannot tell (Pub/Sub).
   */
  behind?(topic: string, positions: readonly (Position | undefined)[]): Promise<readonly PartitionBacklog[]>
  /**
   * Queues only: what is written to the topic from now on is kept for the group, whether or not anyone reads. Nothing happens
   * when that is so already. Rejects with `unknown-topic`.
   */
  ensureGroup?(group: string, topic: string): Promise<void>
  /** Queues only: forgets the group of a topic and what waits for it. Nothing happens when there is none. */
  deleteGroup?(group: string, topic: string): Promise<void>
  /**
   * Queues only, where they can: from now on the group gets what was written since `time` (milliseconds since the epoch),
   * whether or not it was acknowledged. Rejects with `unsupported` where nothing is kept that was acknowledged.
   */
  seekGroup?(group: string, topic: string, time: number): Promise<void>
  /** What bears on the guarantees, for `tidemark doctor`. Absent where nothing can be asked. Changes nothing. */
  brokerSettings?(): Promise<BrokerSettings>
  /** The same of a topic; of a queue also of these groups. Rejects with `unknown-topic`. */
  topicSettings?(topic: string, groups: readonly string[]): Promise<TopicSettings>
  close(): Promise<void>
}

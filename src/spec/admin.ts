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
  close(): Promise<void>
}

import type { Position } from '../../core/record.ts'
import type { AdminDriver, CreateTopic, PartitionBacklog, TopicDescription } from '../../spec/index.ts'
import type { MemoryConnection } from './connection.ts'
import { closedError } from './errors.ts'
import { parsePosition } from './partition-log.ts'

export class MemoryAdmin implements AdminDriver {
  readonly #connection: MemoryConnection
  #closed = false

  constructor(connection: MemoryConnection) {
    this.#connection = connection
  }

  createTopic(definition: CreateTopic): Promise<void> {
    return this.#run(() => this.#connection.broker.createTopic(definition), definition.topic)
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#run(() => this.#connection.broker.deleteTopic(topic), topic)
  }

  describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#run(() => {
      const found = this.#connection.broker.findTopic(topic)
      return found && { topic, partitions: found.partitions.length }
    }, topic)
  }

  listTopics(): Promise<readonly string[]> {
    return this.#run(() => this.#connection.broker.topicNames())
  }

  backlog(group: string, topics: readonly string[]): Promise<readonly PartitionBacklog[]> {
    return this.#run(() =>
      topics.flatMap(topic =>
        this.#connection.broker.topic(topic).partitions.map((log, partition) => {
          const committed = this.#connection.broker.group(group).committed({ topic, partition })
          const next = committed === undefined ? log.start : Math.max(log.start, parsePosition(committed) + 1)
          return { topic, partition, records: log.end - next }
        })
      )
    )
  }

  committed(group: string, topic: string): Promise<readonly (Position | undefined)[]> {
    return this.#run(() => {
      const { partitions } = this.#connection.broker.topic(topic)
      return partitions.map((_, partition) => this.#connection.broker.group(group).committed({ topic, partition }))
    }, topic)
  }

  close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  #run<Value>(effect: () => Value, topic?: string): Promise<Value> {
    if (this.#closed || this.#connection.closed) return Promise.reject(closedError('admin driver'))
    const { broker, client, environment } = this.#connection
    return broker.faults.run({ operation: 'admin', client, ...(topic !== undefined && { topic }) }, environment, effect)
  }
}

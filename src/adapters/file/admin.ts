import type { Position } from '../../core/record.ts'
import type { AdminDriver, CreateTopic, PartitionBacklog, TopicDescription } from '../../spec/index.ts'
import type { FileConnection, TopicRow } from './client.ts'
import { parsePosition } from './cursor.ts'
import { closedError, fileError } from './errors.ts'

export class FileAdmin implements AdminDriver {
  readonly #connection: FileConnection
  #closed = false

  constructor(connection: FileConnection) {
    this.#connection = connection
  }

  async createTopic({ topic, partitions, compacted = false, settings }: CreateTopic): Promise<void> {
    const { sql } = this.#open()
    if (!(Number.isInteger(partitions) && partitions > 0 && partitions <= 4096))
      throw fileError('bad-config', `topic '${topic}': partitions must be 1 to 4096, got ${partitions}`)
    const unknown = Object.keys(settings ?? {})
    if (unknown.length > 0) throw fileError('bad-config', `topic '${topic}': the file adapter has no topic settings, got ${unknown.join(', ')}`)
    this.#connection.transaction(() => {
      if (this.#connection.findTopic(topic)) throw fileError('topic-exists', `there is a topic '${topic}' already`)
      const { lastInsertRowid } = sql.addTopic.run(topic, partitions, compacted ? 1 : 0)
      for (let partition = 0; partition < partitions; partition++) sql.addPart.run(Number(lastInsertRowid), partition)
    })
    this.#connection.changed()
  }

  async deleteTopic(topic: string): Promise<void> {
    const { sql } = this.#open()
    this.#connection.transaction(() => {
      const { id } = this.#connection.topic(topic)
      for (const statement of [sql.dropBatches, sql.dropParts, sql.dropCommitted, sql.dropTopic]) statement.run(id)
    })
    this.#connection.changed()
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    this.#open()
    const row = this.#connection.findTopic(topic)
    return row && { topic, partitions: row.partitions }
  }

  async listTopics(): Promise<readonly string[]> {
    return this.#open().sql.topics.all().map(row => (row as { name: string }).name)
  }

  async backlog(group: string, topics: readonly string[]): Promise<readonly PartitionBacklog[]> {
    this.#open()
    return topics.flatMap(topic => {
      const row = this.#connection.topic(topic)
      return this.#committed(group, row).map((position, partition) => {
        const { start, next } = this.#connection.ends(row, partition)
        const from = position === undefined ? start : Math.max(start, parsePosition(position) + 1)
        return { topic, partition, records: Math.max(0, next - from) }
      })
    })
  }

  async committed(group: string, topic: string): Promise<readonly (Position | undefined)[]> {
    return this.#committed(group, this.#open().topic(topic))
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #committed(group: string, topic: TopicRow): (Position | undefined)[] {
    const { sql } = this.#connection
    return Array.from({ length: topic.partitions }, (_, partition) => {
      const row = sql.committed.get(group, topic.id, partition) as { position: string } | undefined
      return row?.position
    })
  }

  #open(): FileConnection {
    if (this.#closed) throw closedError('admin')
    this.#connection.assertOpen('adapter')
    return this.#connection
  }
}

import { parseText } from '../../core/options.ts'
import type { Position } from '../../core/record.ts'
import type {
  AdminDriver,
  BrokerSettings,
  CreateTopic,
  PartitionBacklog,
  TopicDescription,
  TopicSettings
} from '../../spec/index.ts'
import type { FileConnection, TopicRow } from './client.ts'
import { parsePosition } from './cursor.ts'
import { closedError, fileError } from './errors.ts'
import { idsOf } from './group.ts'
import { fileOptions } from './options.ts'

/** Batches that one transaction deletes: a large topic must not hold up who writes to another. */
const atOnce = 256

/** Settings of a topic; they go before the options of the adapter. */
const topicSettings = ['retentionTime', 'retentionBytes'] as const

export class FileAdmin implements AdminDriver {
  readonly #connection: FileConnection
  #closed = false

  constructor(connection: FileConnection) {
    this.#connection = connection
  }

  async createTopic({ topic, partitions, compacted = false, settings = {} }: CreateTopic): Promise<void> {
    const { sql } = this.#open()
    if (!(Number.isInteger(partitions) && partitions > 0 && partitions <= 4096))
      throw fileError('bad-config', `topic '${topic}': partitions must be 1 to 4096, got ${partitions}`)
    const [time, bytes] = retentionOf(topic, settings)
    await this.#connection.transaction(() => {
      if (this.#connection.findTopic(topic))
        throw fileError('topic-exists', `there is a topic '${topic}' in ${this.#connection.path} already`)
      const { lastInsertRowid } = sql.addTopic.run(topic, partitions, compacted ? 1 : 0, time, bytes)
      for (let partition = 0; partition < partitions; partition++) sql.addPartition.run(lastInsertRowid, partition)
    })
    this.#connection.news.tell()
  }

  async deleteTopic(topic: string): Promise<void> {
    const { sql } = this.#open()
    await this.#connection.transaction(() => {
      const { id } = this.#connection.topic(topic)
      sql.dropTopic.run(id)
      sql.dropCommitted.run(id)
      this.#expelReaders(id)
    })
    this.#connection.news.tell()
    await this.#clean()
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    const row = this.#open().snapshot(() => this.#connection.findTopic(topic))
    return row && { topic, partitions: row.partitions }
  }

  async listTopics(): Promise<readonly string[]> {
    const { sql } = this.#open()
    return this.#connection.snapshot(() => sql.topics.all()).map(row => (row as { name: string }).name)
  }

  async backlog(group: string, topics: readonly string[]): Promise<readonly PartitionBacklog[]> {
    return this.#open().snapshot(() =>
      topics.flatMap(topic => {
        const row = this.#connection.topic(topic)
        return this.#committed(group, row).map((position, partition) => {
          const { start, next } = this.#connection.ends(row, partition)
          const from = position === undefined ? start : Math.max(start, parsePosition(position) + 1)
          return { topic, partition, records: Math.max(0, next - from) }
        })
      })
    )
  }

  async committed(group: string, topic: string): Promise<readonly (Position | undefined)[]> {
    return this.#open().snapshot(() => this.#committed(group, this.#connection.topic(topic)))
  }

  async brokerSettings(): Promise<BrokerSettings> {
    this.#open()
    return {}
  }

  async topicSettings(topic: string): Promise<TopicSettings> {
    const row = this.#open().snapshot(() => this.#connection.topic(topic))
    const { retentionTime, retentionBytes, synchronous } = this.#connection.settings
    return {
      denied: [],
      compacted: { name: 'compacted', value: row.compacted === 1 },
      retention: { name: 'retentionTime', value: row.retention_time ?? retentionTime },
      retentionBytes: { name: 'retentionBytes', value: row.retention_bytes ?? retentionBytes },
      losesOnFailover: { name: 'synchronous', value: synchronous === 'normal' }
    }
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

  /** Whoever reads the topic must join anew, which fails for as long as there is none. */
  #expelReaders(topic: number): void {
    const { sql } = this.#connection
    const members = sql.allMembers.all() as unknown as { consumer_group: string; id: string; topics: string }[]
    for (const { consumer_group, id, topics } of members) {
      if (!idsOf(topics).includes(topic)) continue
      sql.leave.run(consumer_group, id)
      sql.dropHoldings.run(consumer_group, topics)
      sql.touch.run(consumer_group)
    }
  }

  /** Deletes what deleted topics have left, those of a process that crashed here included. */
  async #clean(): Promise<void> {
    const { sql, environment } = this.#connection
    for (const { topic } of this.#connection.snapshot(() => sql.orphans.all()) as unknown as { topic: number }[]) {
      const step = (): boolean => {
        const { changes } = sql.dropBatches.run(topic, atOnce)
        if (Number(changes) === atOnce) return true
        sql.dropPartitions.run(topic)
        return false
      }
      while (await this.#connection.transaction(step, { durable: false })) await environment.turn()
    }
  }

  #open(): FileConnection {
    if (this.#closed) throw closedError('admin')
    this.#connection.assertOpen()
    return this.#connection
  }
}

function retentionOf(
  topic: string,
  settings: Readonly<Record<string, string>>
): [time: number | null, bytes: number | null] {
  for (const name of Object.keys(settings)) {
    if (!topicSettings.some(known => known === name))
      throw fileError(
        'bad-config',
        `topic '${topic}': unknown setting '${name}'; known are ${topicSettings.join(', ')}`
      )
  }
  const valueOf = (name: (typeof topicSettings)[number]): number | null => {
    if (settings[name] === undefined) return null
    const where = `topic '${topic}': setting '${name}'`
    const value = parseText(where, fileOptions[name]!, settings[name]) as number
    if (!(value > 0)) throw fileError('bad-config', `${where} must be above 0, got ${value}`)
    return value
  }
  return [valueOf('retentionTime'), valueOf('retentionBytes')]
}

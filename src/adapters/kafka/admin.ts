import { type Environment, sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type {
  AdminDriver,
  BrokerSettings,
  CreateTopic,
  PartitionBacklog,
  TopicDescription,
  TopicSettings
} from '../../spec/admin.ts'
import type { VendorBroker } from './client.ts'
import { closedError, type Connection } from './connection.ts'
import { classify, explain, protocolCode, protocolError } from './errors.ts'
import { fetchMetadata } from './metadata.ts'
import { committedOffsets, earliest, latest, listOffset } from './offsets.ts'
import { brokerSettings, topicSettings } from './settings.ts'

export interface AdminContext {
  readonly connection: Connection
  readonly environment: Environment
  /** -1: the broker's default. */
  readonly replicationFactor: number
  /** Ms that creating or deleting a topic may take. */
  readonly timeout: number
  /** Ms that this client gives a transaction. */
  readonly transactionTimeout: number
}

/** Topics, backlog and committed positions. */
export class KafkaAdmin implements AdminDriver {
  readonly #context: AdminContext
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(context: AdminContext) {
    this.#context = context
  }

  createTopic(topic: CreateTopic): Promise<void> {
    return this.#run(`creating topic '${topic.topic}'`, async () => {
      const { connection, replicationFactor, timeout } = this.#context
      const settings = { ...(topic.compacted && compacted(topic)), ...topic.settings }
      const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
      const request = { topic: topic.topic, numPartitions: topic.partitions, replicationFactor, configEntries }
      const controller = await connection.controller()
      await controller.createTopics({ topics: [request], timeout })
      await this.#until(() => this.#usable(topic), `topic '${topic.topic}' was created, but has no leaders yet`)
    })
  }

  /** Every broker knows it, and every leader answers for its partitions. */
  async #usable({ topic, partitions }: CreateTopic): Promise<boolean> {
    const { connection } = this.#context
    for (const broker of await connection.brokers()) {
      const { topicMetadata } = await fetchMetadata(broker, [topic])
      if (topicMetadata[0]?.partitionMetadata.length !== partitions) return false
    }
    connection.forgetMetadata()
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    await Promise.all(numbers.map(partition => listOffset(connection, { topic, partition }, earliest, false)))
    return true
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#run(`deleting topic '${topic}'`, async () => {
      const { connection, timeout } = this.#context
      const controller = await connection.controller()
      await controller.deleteTopics({ topics: [topic], timeout })
      await this.#until(async () => {
        for (const broker of await connection.brokers()) if ((await describe(broker, topic)) !== undefined) return false
        return true
      }, `topic '${topic}' was deleted, but is still there`)
    })
  }

  describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#run(`describing topic '${topic}'`, async () => {
      const partitions = await describe(await this.#context.connection.anyBroker(), topic)
      return partitions === undefined ? undefined : { topic, partitions }
    })
  }

  listTopics(): Promise<readonly string[]> {
    return this.#run('listing topics', async () => {
      const { topicMetadata } = await fetchMetadata(await this.#context.connection.anyBroker(), null)
      return topicMetadata.filter(({ isInternal }) => !isInternal).map(({ topic }) => topic)
    })
  }

  backlog(group: string, topics: readonly string[]): Promise<readonly PartitionBacklog[]> {
    return this.#run(`the backlog of group '${group}'`, async () => {
      const { connection } = this.#context
      await connection.loadTopics(topics)
      const rows = await Promise.all(
        topics.map(async topic => {
          const committed = await committedOffsets(connection, group, topic)
          return Promise.all(
            committed.map(async (next, partition): Promise<PartitionBacklog> => {
              const [first, end] = await Promise.all([
                listOffset(connection, { topic, partition }, earliest, false),
                listOffset(connection, { topic, partition }, latest, false)
              ])
              return { topic, partition, records: end - Math.max(next, first) }
            })
          )
        })
      )
      return rows.flat()
    })
  }

  committed(group: string, topic: string): Promise<readonly (Position | undefined)[]> {
    return this.#run(`the positions of group '${group}'`, async () => {
      const { connection } = this.#context
      await connection.loadTopics([topic])
      const offsets = await committedOffsets(connection, group, topic)
      return offsets.map(next => (next < 0 ? undefined : String(next - 1)))
    })
  }

  brokerSettings(): Promise<BrokerSettings> {
    return this.#run('the settings of the broker', async () => {
      // The address that was given first has no number of its own: only a broker of the cluster can be described.
      const [broker] = await this.#context.connection.brokers()
      return brokerSettings(broker!, this.#context.transactionTimeout)
    })
  }

  topicSettings(topic: string): Promise<TopicSettings> {
    return this.#run(`the settings of topic '${topic}'`, async () => {
      const broker = await this.#context.connection.anyBroker()
      const [found] = (await fetchMetadata(broker, [topic])).topicMetadata
      return topicSettings(broker, topic, found?.partitionMetadata[0]?.replicas.length ?? 0)
    })
  }

  async #until(done: () => Promise<boolean>, otherwise: string): Promise<void> {
    const { environment, timeout } = this.#context
    const started = environment.monotonic()
    for (let delay = 5; ; delay = Math.min(delay * 2, 200)) {
      try {
        if (await done()) return
      } catch (error) {
        // Brokers learn of a new topic one after the other.
        if (protocolCode(error) !== 3 && !StreamError.is(error) && !classify(error).retryable) throw error
      }
      if (environment.monotonic() - started > timeout)
        throw new StreamError('timeout', `${otherwise}, after ${timeout} ms`, { adapter: 'kafka', retryable: true })
      await sleep(environment, delay)
    }
  }

  #run<Result>(what: string, act: () => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError())
    const running = act().catch((error: unknown) => {
      if (classify(error).code === 'connection') this.#context.connection.forgetMetadata()
      throw explain(error, what)
    })
    this.#running.add(running)
    const forget = (): void => void this.#running.delete(running)
    running.then(forget, forget)
    return running
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#running)
    await this.#context.connection.close()
  }
}

/**
 * Only what is no longer written to is compacted: with the broker's own settings that is a gigabyte or a week, and a day more for the
 * markers of transactions.
 */
function compacted({ fewKeys }: CreateTopic): Record<string, string> {
  const soon = { 'segment.bytes': String(64 * 1024 * 1024), 'delete.retention.ms': String(60 * 60 * 1000) }
  return { 'cleanup.policy': 'compact', ...(fewKeys && soon) }
}

/** The number of partitions, `undefined` when there is no such topic. */
async function describe(broker: VendorBroker, topic: string): Promise<number | undefined> {
  const [found] = (await fetchMetadata(broker, [topic])).topicMetadata
  if (!found || found.topicErrorCode === 3) return undefined
  // LEADER_NOT_AVAILABLE: it is there.
  if (found.topicErrorCode !== 0 && found.topicErrorCode !== 5)
    throw protocolError(found.topicErrorCode, `describing topic '${topic}'`)
  return found.partitionMetadata.length
}

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
import { closedError, PulsarError } from './errors.ts'
import { beforeAll, idOf } from './positions.ts'
import { brokerSettings, topicSettings } from './settings.ts'
import { entriesAfter, partitionName, type Retention, type Topics, unknownTopic } from './topics.ts'

export interface AdminContext {
  readonly topics: Topics
  readonly environment: Environment
  /** Topics are created with broker deduplication. */
  readonly deduplication: boolean
  /** Ms that creating or deleting a topic may take. */
  readonly requestTimeout: number
  /** Closes our own sockets to a topic: they would create it again. */
  readonly letGo: (topic: string) => Promise<void>
}

/** What a topic is kept for when nothing else is said, as in Kafka: seven days. */
const defaultRetention: Retention = { retentionTimeInMinutes: 7 * 24 * 60, retentionSizeInMB: -1 }

/** Topics and their ends, by the admin API. */
export class PulsarAdmin implements AdminDriver {
  readonly #context: AdminContext
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(context: AdminContext) {
    this.#context = context
  }

  createTopic({ topic, partitions, settings = {} }: CreateTopic): Promise<void> {
    return this.#run(async () => {
      const { topics } = this.#context
      const wanted = readSettings(topic, settings)
      const path = topics.pathOf(topic)
      try {
        await topics.rest.put(`creating topic '${topic}'`, `${path}/partitions`, partitions)
      } catch (error) {
        if (error instanceof PulsarError && error.status === 409)
          throw new StreamError('topic-exists', `${topics.fullName(topic)} exists already`, {
            adapter: 'pulsar',
            cause: error
          })
        throw error
      }
      topics.forget(topic)
      try {
        await this.#keepRecords(topic, wanted.retention)
        if (wanted.deduplication ?? this.#context.deduplication) await this.#deduplicate(topic, partitions)
        await this.#untilUsable(topic, partitions)
      } catch (error) {
        await topics.rest.delete(`deleting topic '${topic}'`, `${path}/partitions?force=true`).catch(() => {})
        throw error
      }
    })
  }

  /**
   * Without a subscription and without retention Pulsar deletes what was written, and after a minute the topic too:
   * reading by positions needs retention.
   */
  async #keepRecords(topic: string, wanted: Retention | undefined): Promise<void> {
    const { rest } = this.#context.topics
    const path = `${this.#context.topics.pathOf(topic)}/retention`
    if (wanted === undefined) {
      const applied = await rest.get<Retention | undefined>(`the retention of '${topic}'`, `${path}?applied=true`)
      if (applied && applied.retentionTimeInMinutes !== 0 && applied.retentionSizeInMB !== 0) return
    }
    try {
      await rest.post(`setting the retention of '${topic}'`, path, wanted ?? defaultRetention)
    } catch (error) {
      if (!(error instanceof PulsarError) || error.status !== 405) throw error
      throw new StreamError(
        'bad-config',
        `the namespace of '${topic}' has no retention and Pulsar lets none be set for a topic: set one for the namespace, or records are deleted before they are read`,
        { adapter: 'pulsar', cause: error }
      )
    }
  }

  async #deduplicate(topic: string, partitions: number): Promise<void> {
    const { topics } = this.#context
    await topics.rest.post(`setting deduplication of '${topic}'`, `${topics.pathOf(topic)}/deduplicationEnabled`, true)
    // Each partition hears of it through a topic of the namespace; its own cursor shows that it did.
    await this.#until(`topic '${topic}' was created, but its deduplication is not on yet`, async () => {
      for (let partition = 0; partition < partitions; partition++) {
        const stats = await topics.internalStats(partitionName(topic, partition, partitions))
        if (!Object.hasOwn(stats.cursors, 'pulsar.dedup')) return false
      }
      return true
    })
  }

  async #untilUsable(topic: string, partitions: number): Promise<void> {
    const { topics } = this.#context
    await this.#until(`topic '${topic}' was created, but is not served yet`, async () => {
      if ((await topics.partitions(topic)) !== partitions) return false
      await Promise.all(
        Array.from({ length: partitions }, (_, index) => topics.last(partitionName(topic, index, partitions)))
      )
      return true
    })
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#run(async () => {
      const { topics, letGo } = this.#context
      const count = await topics.partitions(topic)
      if (count === undefined) throw unknownTopic(topics.fullName(topic))
      await topics.whileDeleting(topic, async () => {
        await letGo(topic)
        await this.#delete(topic, count)
      })
    })
  }

  async #delete(topic: string, count: number): Promise<void> {
    const { topics } = this.#context
    const remove = (path: string): Promise<void> =>
      topics.rest.delete(`deleting topic '${topic}'`, `${path}?force=true`)
    await remove(count === 0 ? topics.pathOf(topic) : `${topics.pathOf(topic)}/partitions`)
    // The socket of somebody else may have created a partition again in the meantime.
    for (let partition = 0; partition < count; partition++)
      await remove(topics.pathOf(partitionName(topic, partition, count))).catch((error: unknown) => {
        if (!(error instanceof PulsarError && error.status === 404)) throw error
      })
    const gone = async (): Promise<boolean> => (await topics.partitions(topic)) === undefined
    await this.#until(`topic '${topic}' was deleted, but is still there`, gone)
  }

  describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#run(async () => {
      const count = await this.#context.topics.partitions(topic)
      return count === undefined ? undefined : { topic, partitions: Math.max(count, 1) }
    })
  }

  listTopics(): Promise<readonly string[]> {
    return this.#run(async () => {
      const { rest, namespacePath } = this.#context.topics
      const [partitioned, all] = await Promise.all([
        rest.get<string[]>('listing topics', `persistent/${namespacePath}/partitioned`),
        rest.get<string[]>('listing topics', `persistent/${namespacePath}`)
      ])
      const plain = all.filter(name => !/-partition-\d+$/.test(name))
      const names = [...new Set([...partitioned, ...plain])].map(name => decodeURIComponent(name.split('/').at(-1)!))
      // Pulsar's own: `__change_events`, `__transaction_buffer_snapshot`.
      return names.filter(name => !name.startsWith('__'))
    })
  }

  backlog(): Promise<readonly PartitionBacklog[]> {
    return this.#run(async () => {
      throw noGroups()
    })
  }

  committed(): Promise<readonly (Position | undefined)[]> {
    return this.#run(async () => {
      throw noGroups()
    })
  }

  /** A batch of a foreign producer counts as one record. */
  behind(topic: string, positions: readonly (Position | undefined)[]): Promise<readonly PartitionBacklog[]> {
    return this.#run(async () => {
      const { topics } = this.#context
      const count = await topics.partitions(topic)
      if (count === undefined) throw unknownTopic(topics.fullName(topic))
      const numbers = Array.from({ length: Math.max(count, 1) }, (_, partition) => partition)
      return Promise.all(
        numbers.map(async (partition): Promise<PartitionBacklog> => {
          const stats = await topics.internalStats(partitionName(topic, partition, count))
          const position = positions[partition]
          return { topic, partition, records: entriesAfter(stats, position === undefined ? beforeAll : idOf(position)) }
        })
      )
    })
  }

  brokerSettings(): Promise<BrokerSettings> {
    return this.#run(() => brokerSettings(this.#context.topics))
  }

  topicSettings(topic: string): Promise<TopicSettings> {
    return this.#run(() => topicSettings(this.#context.topics, topic))
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#running)
  }

  async #until(otherwise: string, done: () => Promise<boolean>): Promise<void> {
    const { environment, requestTimeout } = this.#context
    const started = environment.monotonic()
    for (let delay = 5; !(await done().catch(passing)); delay = Math.min(delay * 2, 200)) {
      if (environment.monotonic() - started > requestTimeout)
        throw new StreamError('timeout', `${otherwise}, after ${requestTimeout} ms`, {
          adapter: 'pulsar',
          retryable: true
        })
      await sleep(environment, delay)
    }
  }

  #run<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError())
    const running = act()
    this.#running.add(running)
    const forget = (): void => void this.#running.delete(running)
    running.then(forget, forget)
    return running
  }
}

/** While a topic is on its way, brokers may not know it yet. */
function passing(error: unknown): false {
  if (error instanceof PulsarError && (error.retryable || error.status === 404)) return false
  throw error
}

function noGroups(): StreamError {
  return new StreamError(
    'unsupported',
    "Pulsar's subscriptions are not used: positions are in the client's store, see `behind`",
    {
      adapter: 'pulsar'
    }
  )
}

interface Settings {
  readonly retention: Retention | undefined
  readonly deduplication: boolean | undefined
}

function readSettings(topic: string, given: Readonly<Record<string, string>>): Settings {
  const known = ['retentionTimeInMinutes', 'retentionSizeInMB', 'deduplication']
  const bad = (message: string): StreamError =>
    new StreamError('bad-config', `settings of topic '${topic}': ${message}`, { adapter: 'pulsar' })
  for (const name of Object.keys(given))
    if (!known.includes(name)) throw bad(`unknown setting '${name}'; known are ${known.join(', ')}`)
  const number = (name: string): number | undefined => {
    const text = given[name]
    if (text === undefined) return undefined
    const value = Number(text)
    if (!Number.isInteger(value) || value < -1)
      throw bad(`'${name}' must be a whole number, -1 for no limit, got '${text}'`)
    return value
  }
  const [minutes, megabytes, deduplication] = [number(known[0]!), number(known[1]!), given['deduplication']]
  if (deduplication !== undefined && !['true', 'false'].includes(deduplication))
    throw bad(`'deduplication' must be true or false, got '${deduplication}'`)
  return {
    retention:
      minutes === undefined && megabytes === undefined
        ? undefined
        : { retentionTimeInMinutes: minutes ?? -1, retentionSizeInMB: megabytes ?? -1 },
    deduplication: deduplication === undefined ? undefined : deduplication === 'true'
  }
}

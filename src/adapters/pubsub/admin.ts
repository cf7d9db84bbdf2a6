import { StreamError } from '../../core/errors.ts'
import type { AdminDriver, CreateTopic, PartitionBacklog, TopicDescription, TopicSettings } from '../../spec/admin.ts'
import type { Connection } from './connection.ts'
import { closedError, grpc, statusOf } from './errors.ts'
import { groupSubscription, partitionsLabel, shortName, subscriptionPath, topicPath } from './names.ts'
import type { ReadPubsubOptions } from './options.ts'
import { duration, type Subscriptions } from './subscriptions.ts'

export interface AdminContext {
  readonly connection: Connection
  readonly options: ReadPubsubOptions
  readonly subscriptions: Subscriptions
}

export class PubsubAdmin implements AdminDriver {
  readonly #context: AdminContext
  #closed = false

  constructor(context: AdminContext) {
    this.#context = context
  }

  async createTopic({ topic, partitions, settings = {} }: CreateTopic): Promise<void> {
    this.#assertOpen()
    const { connection, options } = this.#context
    const { topicRetention } = options
    await connection.publisher(api => api.createTopic, {
      ...(topicRetention !== undefined && { messageRetentionDuration: duration(topicRetention) }),
      ...readSettings(topic, settings),
      name: topicPath(connection.project, topic),
      labels: { ...labelsOf(settings), [partitionsLabel]: String(partitions) }
    })
  }

  /** With the subscriptions that tidemark made: they would only cost, and wait for a topic of this name for ever. */
  async deleteTopic(topic: string): Promise<void> {
    this.#assertOpen()
    const { connection, subscriptions } = this.#context
    const path = topicPath(connection.project, topic)
    const ours = await subscriptions.ofTopic(topic)
    await connection.publisher(api => api.deleteTopic, { topic: path })
    await Promise.all(ours.map(subscription => subscriptions.delete(subscription)))
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    this.#assertOpen()
    const { options } = this.#context
    // Read through one subscription, by somebody who may not look at topics.
    if (Object.hasOwn(options.subscriptions, topic)) return { topic, partitions: 1 }
    try {
      const [found] = await this.#getTopic(topic)
      const label: unknown = found.labels?.[partitionsLabel]
      if (/^[1-9]\d{0,5}$/.test(String(label))) return { topic, partitions: Number(label) }
      return { topic, partitions: undefined, advice: adviceFor(topic) }
    } catch (error) {
      if (statusOf(error) === grpc.notFound) return undefined
      throw error
    }
  }

  async listTopics(): Promise<readonly string[]> {
    this.#assertOpen()
    const { connection } = this.#context
    const names: string[] = []
    for (let pageToken = ''; ;) {
      const request = { project: `projects/${connection.project}`, pageSize: 1000, pageToken }
      const [topics, , response] = await connection.publisher(api => api.listTopics, request)
      for (const { name } of topics) names.push(shortName(name))
      pageToken = response?.nextPageToken ?? ''
      if (pageToken === '') return names
    }
  }

  async ensureGroup(group: string, topic: string): Promise<void> {
    this.#assertOpen()
    const { subscriptions, options } = this.#context
    if (Object.hasOwn(options.subscriptions, topic)) return
    const description = await this.describeTopic(topic)
    if (!description) throw new StreamError('unknown-topic', `there is no topic '${topic}'`, { adapter: 'pubsub' })
    const { partitions = 0 } = description
    await Promise.all(
      Array.from({ length: partitions }, (_, partition) => subscriptions.ensure(group, topic, partition))
    )
  }

  async deleteGroup(group: string, topic: string): Promise<void> {
    this.#assertOpen()
    const { subscriptions } = this.#context
    await Promise.all((await this.#ofGroup(group, topic)).map(subscription => subscriptions.delete(subscription)))
  }

  async seekGroup(group: string, topic: string, time: number): Promise<void> {
    this.#assertOpen()
    const { connection, options, subscriptions } = this.#context
    const existing = options.subscriptions[topic]
    if (existing !== undefined) return subscriptions.seek(subscriptionPath(connection.project, existing), time)
    await this.ensureGroup(group, topic)
    // The service would say nothing, and deliver nothing.
    const [{ messageRetentionDuration: kept }] = await this.#getTopic(topic)
    if (!kept && time < connection.environment.now())
      throw new StreamError(
        'unsupported',
        `topic '${topic}' keeps nothing that was acknowledged: set its messageRetentionDuration (option 'topicRetention' for new topics)`,
        { adapter: 'pubsub' }
      )
    await Promise.all((await this.#ofGroup(group, topic)).map(each => subscriptions.seek(each, time)))
  }

  async backlog(): Promise<readonly PartitionBacklog[]> {
    throw this.#unsupported('how many messages wait (Cloud Monitoring can: num_undelivered_messages)')
  }

  async committed(): Promise<readonly undefined[]> {
    throw this.#unsupported('positions: it has none')
  }

  async topicSettings(topic: string, groups: readonly string[]): Promise<TopicSettings> {
    this.#assertOpen()
    if (!(await this.describeTopic(topic)))
      throw new StreamError('unknown-topic', `there is no topic '${topic}'`, { adapter: 'pubsub' })
    const { subscriptions, options, connection } = this.#context
    const existing = options.subscriptions[topic]
    const names = existing === undefined ? [] : [subscriptionPath(connection.project, existing)]
    for (const group of groups) names.push(...(await this.#ofGroup(group, topic)))
    const found = (await Promise.all(names.map(name => subscriptions.settings(name)))).filter(
      each => each !== undefined
    )
    const deadLetter = found.find(each => each.deadLetter !== undefined)?.deadLetter
    const fading = found.filter(each => each.expires).map(({ name }) => name)
    return {
      denied: [],
      ...(found.length > 0 && {
        expiry: { name: 'messageRetentionDuration', value: Math.min(...found.map(({ retention }) => retention)) }
      }),
      ...(deadLetter !== undefined && { deadLetter: { name: 'deadLetterPolicy', value: deadLetter } }),
      notes: fading.map(
        name =>
          `subscription '${name}' has an expiration policy: it is deleted when nobody reads for that long, with what waits in it`
      )
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** The subscriptions of a group; none of a topic that is read through an existing one. */
  async #ofGroup(group: string, topic: string): Promise<readonly string[]> {
    const { connection, options } = this.#context
    if (Object.hasOwn(options.subscriptions, topic)) return []
    const { partitions = 0 } = (await this.describeTopic(topic)) ?? {}
    const names = Array.from({ length: partitions }, (_, partition) => groupSubscription(group, topic, partition))
    return names.map(name => subscriptionPath(connection.project, name))
  }

  #getTopic(topic: string): Promise<any> {
    const { connection } = this.#context
    return connection.publisher(api => api.getTopic, { topic: topicPath(connection.project, topic) })
  }

  #unsupported(what: string): StreamError {
    this.#assertOpen()
    return new StreamError('unsupported', `Pub/Sub cannot tell ${what}`, { adapter: 'pubsub' })
  }

  #assertOpen(): void {
    if (this.#closed) throw closedError('admin')
  }
}

/** A topic that somebody else has made. */
function adviceFor(topic: string): string {
  return `label it (gcloud pubsub topics update ${topic} --update-labels=${partitionsLabel}=4), or read it through one subscription (option 'subscriptions')`
}

const labelPrefix = 'labels.'

/** Settings of a topic by the names of the service's own `Topic`: those that are plain text. */
function readSettings(topic: string, settings: Readonly<Record<string, string>>): object {
  const read: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(settings)) {
    if (name === 'messageRetentionDuration') read[name] = { seconds: seconds(topic, value) }
    else if (name === 'kmsKeyName') read[name] = value
    else if (name === 'allowedPersistenceRegions')
      read['messageStoragePolicy'] = { allowedPersistenceRegions: value.split(',').map(region => region.trim()) }
    else if (!name.startsWith(labelPrefix))
      throw new StreamError(
        'bad-config',
        `topic '${topic}': unknown setting '${name}'; known are messageRetentionDuration (such as '86400s'), kmsKeyName, allowedPersistenceRegions, labels.<name>`,
        { adapter: 'pubsub' }
      )
  }
  return read
}

function labelsOf(settings: Readonly<Record<string, string>>): Record<string, string> {
  const labels = Object.entries(settings).filter(([name]) => name.startsWith(labelPrefix))
  return Object.fromEntries(labels.map(([name, value]) => [name.slice(labelPrefix.length), value]))
}

function seconds(topic: string, text: string): number {
  const found = /^(\d+)s$/.exec(text)?.[1]
  if (found !== undefined) return Number(found)
  throw new StreamError(
    'bad-config',
    `topic '${topic}': setting 'messageRetentionDuration' is not like '86400s': '${text}'`,
    { adapter: 'pubsub' }
  )
}

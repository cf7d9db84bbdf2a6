import { StreamError } from '../../core/errors.ts'
import type { Connection } from './connection.ts'
import { grpc, pubsubError, statusOf } from './errors.ts'
import {
  groupSubscription,
  isOurs,
  partitionFilter,
  privateSubscription,
  shortName,
  subscriptionPath,
  topicPath
} from './names.ts'
import type { ReadPubsubOptions } from './options.ts'

/** A subscription is as good as for ever, unless its reader is gone for a day. */
const privateLife = 24 * 60 * 60 * 1000
const shortest = 10 * 60 * 1000
/** What a private subscription wants of the past, where the topic keeps it. */
const recently = 60_000

/** Milliseconds as the service takes them: a duration, or a time since the epoch. */
export function duration(milliseconds: number): { seconds: number; nanos: number } {
  return { seconds: Math.floor(milliseconds / 1000), nanos: Math.floor(milliseconds % 1000) * 1_000_000 }
}

/** The part of a subscription that says whether it is ours as we have made it. */
interface Found {
  readonly topic: string
  readonly filter: string
  readonly detached: boolean
  readonly deadLetterPolicy?: { readonly deadLetterTopic?: string } | null
  readonly messageRetentionDuration?: { readonly seconds?: string | number | null } | null
  readonly expirationPolicy?: { readonly ttl?: { readonly seconds?: string | number | null } | null } | null
}

/** What of a subscription bears on the guarantees. */
export interface SubscriptionSettings {
  readonly name: string
  /** How long what is not acknowledged is kept, ms. */
  readonly retention: number
  /** The topic that takes what was delivered too often. */
  readonly deadLetter: string | undefined
  /** It is deleted when nobody reads for a while. */
  readonly expires: boolean
}

/** Subscriptions of topics: found, created, deleted. All by their full paths. */
export class Subscriptions {
  readonly #connection: Connection
  readonly #options: ReadPubsubOptions

  constructor(connection: Connection, options: ReadPubsubOptions) {
    this.#connection = connection
    this.#options = options
  }

  /** `undefined` when there is no such subscription. */
  async settings(name: string): Promise<SubscriptionSettings | undefined> {
    const found = await this.#find(name)
    if (!found) return undefined
    const { messageRetentionDuration: kept, deadLetterPolicy, expirationPolicy } = found
    return {
      name: shortName(name),
      retention: Number(kept?.seconds ?? 7 * 24 * 60 * 60) * 1_000,
      deadLetter: deadLetterPolicy ? (deadLetterPolicy.deadLetterTopic ?? 'another topic') : undefined,
      expires: Number(expirationPolicy?.ttl?.seconds ?? 0) > 0
    }
  }

  /**
   * The subscription of a group for one partition, created when it is not there: from then on messages are kept for it.
   * Errors: `unknown-topic`; `bad-config` when one of this name reads something else.
   */
  async ensure(group: string, topic: string, partition: number): Promise<string> {
    const { project } = this.#connection
    const name = subscriptionPath(project, groupSubscription(group, topic, partition))
    const path = topicPath(project, topic)
    const filter = partitionFilter(partition)
    const found = await this.#find(name)
    if (found) {
      if (found.topic === path && found.filter === filter && !found.detached) {
        if (!found.deadLetterPolicy) return name
        throw new StreamError(
          'bad-config',
          `subscription '${name}' has a dead-letter policy, which would take records away from their group: clear it (gcloud pubsub subscriptions update ${shortName(name)} --clear-dead-letter-policy)`,
          { adapter: 'pubsub' }
        )
      }
      // Its topic was deleted, and there is a new one of the name: the old subscription gets nothing any more.
      const orphaned = found.detached || found.topic === '_deleted-topic_'
      if (!orphaned)
        throw new StreamError(
          'bad-config',
          `subscription '${name}' reads ${found.topic} with the filter '${found.filter}', not ${path} with '${filter}': delete it`,
          { adapter: 'pubsub' }
        )
      await this.delete(name)
    }
    const { ackDeadline, retention, exactlyOnce, orderedTopics } = this.#options
    await this.#create(
      {
        name,
        topic: path,
        filter,
        ackDeadlineSeconds: Math.ceil(ackDeadline / 1000),
        messageRetentionDuration: duration(retention),
        enableExactlyOnceDelivery: exactlyOnce,
        enableMessageOrdering: orderedTopics.includes('*') || orderedTopics.includes(topic),
        // Without a time to live it never expires; without a policy it would after a month.
        expirationPolicy: {}
      },
      1000
    )
    return name
  }

  /** A subscription for one reader: everything that is written from now on, in the order of its ordering key. */
  async createPrivate(topic: string, id: string): Promise<string> {
    const { project } = this.#connection
    const name = subscriptionPath(project, privateSubscription(topic, id))
    await this.#create(
      {
        name,
        topic: topicPath(project, topic),
        ackDeadlineSeconds: Math.ceil(this.#options.ackDeadline / 1000),
        messageRetentionDuration: duration(shortest),
        enableMessageOrdering: true,
        expirationPolicy: { ttl: duration(privateLife) }
      },
      this.#connection.environment.now() - recently
    )
    return name
  }

  /** Everything since a time, as far as it is kept. */
  async seek(subscription: string, time: number): Promise<void> {
    await this.#connection.subscriber(api => api.seek, { subscription, time: duration(time) })
  }

  /** No error when it is not there. */
  async delete(subscription: string): Promise<void> {
    await this.#connection
      .subscriber(api => api.deleteSubscription, { subscription })
      .catch((error: unknown) => {
        if (statusOf(error) !== grpc.notFound) throw error
      })
  }

  /** Those of a topic that this adapter has made. Rejects with what the service says when there is no such topic. */
  async ofTopic(topic: string): Promise<readonly string[]> {
    const names: string[] = []
    for (let pageToken = ''; ;) {
      const request = { topic: topicPath(this.#connection.project, topic), pageSize: 1000, pageToken }
      const [page, , response] = await this.#connection.publisher(api => api.listTopicSubscriptions, request)
      names.push(...(page as string[]).filter(isOurs))
      pageToken = response?.nextPageToken ?? ''
      if (pageToken === '') return names
    }
  }

  async #find(name: string): Promise<Found | undefined> {
    try {
      return (await this.#connection.subscriber(api => api.getSubscription, { subscription: name }))[0]
    } catch (error) {
      if (statusOf(error) === grpc.notFound) return undefined
      throw pubsubError(error, `looking for subscription '${name}'`)
    }
  }

  /** @param from where it starts in what the topic itself has kept, ms since the epoch */
  async #create(
    subscription: { readonly name: string; readonly topic: string; readonly [setting: string]: unknown },
    from: number
  ): Promise<void> {
    const { name, topic } = subscription
    try {
      const [created] = await this.#connection.subscriber(api => api.createSubscription, subscription)
      if (created.topicMessageRetentionDuration) await this.#rewind(name, from)
    } catch (error) {
      if (statusOf(error) === grpc.alreadyExists) return // another worker was faster
      throw pubsubError(error, `creating subscription '${name}' of ${topic}`)
    }
  }

  async #rewind(subscription: string, from: number): Promise<void> {
    try {
      await this.seek(subscription, from)
    } catch (error) {
      if (statusOf(error) !== grpc.unimplemented) throw error // an emulator
    }
  }
}

import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { noHeaders, type OutgoingRecord } from '../../core/record.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import type { QueueSubscription, QueueSubscriptionOptions } from '../../spec/queue-subscription.ts'
import { Lifecycle } from '../shared/lifecycle.ts'
import { PubsubAdmin } from './admin.ts'
import { pubsubCapabilities } from './capabilities.ts'
import type { PubsubClient } from './client.ts'
import { Connection } from './connection.ts'
import { classify, type Classified } from './errors.ts'
import { subscriptionPath } from './names.ts'
import { type PubsubOptions, readPubsubOptions, type ReadPubsubOptions } from './options.ts'
import { PubsubPartitionReader } from './partition-reader.ts'
import { PubsubProducer } from './producer.ts'
import { PubsubQueue, type QueueSource } from './queue-subscription.ts'
import { toMessage } from './records.ts'
import { Subscriptions } from './subscriptions.ts'

export { pubsubCapabilities } from './capabilities.ts'
export type { PubsubClient, PubsubModule } from './client.ts'
export { fromUrl, type PubsubOptions, pubsubOptions } from './options.ts'

/**
 * Google Cloud Pub/Sub, by `@google-cloud/pubsub`.
 *
 * @example
 * const client = await connect({ brokers: { default: pubsub({ projectId: 'shop' }) } })
 */
export function pubsub(options: PubsubOptions = {}): Adapter<typeof pubsubCapabilities, PubsubClient | undefined> {
  return new PubsubAdapter(readPubsubOptions(options))
}

/** A key that fits in any encoding, bytes. */
const smallKey = 512
const largestStamp = new Uint8Array(48)

const firstWord = (position: string): string => position.split(' ', 1)[0]!

interface Opened {
  readonly connection: Connection
  readonly subscriptions: Subscriptions
}

class PubsubAdapter implements Adapter<typeof pubsubCapabilities, PubsubClient | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'pubsub'
  readonly capabilities: typeof pubsubCapabilities = pubsubCapabilities
  readonly location: string
  readonly #options: ReadPubsubOptions
  readonly #life = new Lifecycle<Opened>('pubsub')

  constructor(options: ReadPubsubOptions) {
    this.#options = options
    const { projectId, emulator, apiEndpoint } = options
    const endpoint = emulator ?? apiEndpoint
    this.location = `pubsub://${projectId ?? '(project of the credentials)'}${endpoint === undefined ? '' : ` at ${endpoint}`}`
  }

  /** The package's `PubSub`, once open. */
  get native(): PubsubClient | undefined {
    return this.#life.opened?.connection.native
  }

  async open(environment: Environment): Promise<void> {
    await this.#life.open(async () => {
      const connection = await Connection.open(this.#options, environment)
      return { connection, subscriptions: new Subscriptions(connection, this.#options) }
    })
  }

  admin(): AdminDriver {
    return this.#life.track(new PubsubAdmin({ ...this.#life.ready(), options: this.#options }))
  }

  async producer(): Promise<ProducerDriver> {
    return this.#life.track(
      new PubsubProducer({ connection: this.#life.ready().connection, isOrdered: topic => this.#isOrdered(topic) })
    )
  }

  async queueSubscription({
    group,
    topic,
    partitions,
    maxBytes
  }: QueueSubscriptionOptions): Promise<QueueSubscription> {
    const { connection } = this.#life.ready()
    const sources = await this.#sources(group, topic, partitions)
    if (sources.length === 0)
      throw new StreamError('bad-config', `group '${group}' reads no partition of '${topic}'`, { adapter: 'pubsub' })
    this.#life.ready() // it may have been closed meanwhile
    return this.#life.track(new PubsubQueue(connection, { maxBytes, ackDeadline: this.#options.ackDeadline, sources }))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    return this.#life.opening(new PubsubPartitionReader({ ...this.#life.ready(), options: this.#options }, options))
  }

  check(record: OutgoingRecord): void {
    const { key, headers } = record
    // Most records: nothing is encoded just to be measured.
    if ((key === null || key.byteLength <= smallKey) && headers === noHeaders) return
    toMessage({ ...record, stamp: largestStamp }, undefined)
  }

  /** Ids of messages, or numbers of deliveries with the id behind: neither says what comes first, but each has one order. */
  comparePositions(left: string, right: string): number {
    const [one, other] = [firstWord(left), firstWord(right)]
    return one.length - other.length || (one < other ? -1 : one > other ? 1 : 0)
  }

  classify(error: unknown): Classified {
    return classify(error)
  }

  async close(): Promise<void> {
    await this.#life.close(({ connection }) => connection.close())
  }

  async #sources(
    group: string,
    topic: string,
    partitions: readonly number[] | undefined
  ): Promise<readonly QueueSource[]> {
    const { connection, subscriptions } = this.#life.ready()
    const { subscriptions: existing } = this.#options
    if (Object.hasOwn(existing, topic))
      return [{ subscription: subscriptionPath(connection.project, existing[topic]!), partition: 0 }]
    if (!partitions) return [{ subscription: subscriptionPath(connection.project, group), partition: undefined }]
    return Promise.all(
      partitions.map(async partition => ({
        subscription: await subscriptions.ensure(group, topic, partition),
        partition
      }))
    )
  }

  #isOrdered(topic: string): boolean {
    const { orderedTopics } = this.#options
    return orderedTopics.includes(topic) || orderedTopics.includes('*')
  }
}

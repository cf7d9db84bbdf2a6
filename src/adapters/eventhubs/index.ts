import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { Lifecycle } from '../shared/lifecycle.ts'
import { loadPeer } from '../shared/load-peer.ts'
import { EventhubsAdmin } from './admin.ts'
import { eventhubsCapabilities } from './capabilities.ts'
import { Checkpoints } from './checkpoints.ts'
import type { ConsumerClient, EventhubsModule, ProducerClient } from './client.ts'
import { ConsumerGroups } from './consumer-groups.ts'
import { classify, type Classified } from './errors.ts'
import { Hubs } from './hubs.ts'
import { Management } from './management.ts'
import { type EventhubsOptions, readEventhubsOptions, type ReadEventhubsOptions } from './options.ts'
import { EventhubsPartitionReader } from './partition-reader.ts'
import { comparePositions } from './positions.ts'
import { EventhubsProducer } from './producer.ts'
import { sizeOfEvent } from './records.ts'

export { eventhubsCapabilities } from './capabilities.ts'
export type { CheckpointOptions, ContainerClient } from './checkpoints.ts'
export type { ConsumerClient, EventhubsModule, ProducerClient, TokenCredential } from './client.ts'
export { consumerGroupName } from './consumer-groups.ts'
export { type EventhubsOptions, eventhubsOptions, fromUrl } from './options.ts'

/** The vendor's clients: each is good for one hub. Those of the adapter are kept as long as they are in use. */
export interface EventhubsNative {
  readonly module: EventhubsModule
  /** A client of its own for the caller, who closes it. */
  producer(hub: string): ProducerClient
  consumer(hub: string, consumerGroup?: string): ConsumerClient
}

/**
 * Azure Event Hubs, by `@azure/event-hubs` 6.
 *
 * @example
 * const client = await connect({
 *   brokers: { default: eventhubs({ host: 'orders.servicebus.windows.net', credential: new DefaultAzureCredential() }) }
 * })
 */
export function eventhubs(
  options: EventhubsOptions
): Adapter<typeof eventhubsCapabilities, EventhubsNative | undefined> {
  return new EventhubsAdapter(readEventhubsOptions(options))
}

interface Opened {
  readonly environment: Environment
  readonly hubs: Hubs
  readonly groups: ConsumerGroups
  readonly management: Management | undefined
  readonly checkpoints: Checkpoints | undefined
  readonly native: EventhubsNative
}

class EventhubsAdapter implements Adapter<typeof eventhubsCapabilities, EventhubsNative | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'eventhubs'
  readonly capabilities: typeof eventhubsCapabilities = eventhubsCapabilities
  readonly location: string
  readonly #options: ReadEventhubsOptions
  readonly #life = new Lifecycle<Opened>('eventhubs')

  constructor(options: ReadEventhubsOptions) {
    this.#options = options
    this.location = `eventhubs://${options.host}`
  }

  /** The module, and clients of the caller's own with the options of this adapter; `undefined` before `open`. */
  get native(): EventhubsNative | undefined {
    return this.#life.opened?.native
  }

  async open(environment: Environment): Promise<void> {
    await this.#life.open(() => this.#make(environment))
  }

  async #make(environment: Environment): Promise<Opened> {
    const { client, host, tokens, management: address, requestTimeout, checkpoints } = this.#options
    const module =
      client ??
      (await loadPeer<EventhubsModule>(
        { adapter: 'eventhubs', name: '@azure/event-hubs', option: 'client' },
        () => import('@azure/event-hubs')
      ))
    const management =
      address === undefined ? undefined : new Management({ address, tokens, environment, timeout: requestTimeout })
    return {
      environment,
      management,
      hubs: new Hubs(module, this.#options, environment),
      groups: new ConsumerGroups({ ...this.#options, management }),
      checkpoints: checkpoints && new Checkpoints(checkpoints, host, tokens),
      native: this.#nativeOf(module)
    }
  }

  admin(): AdminDriver {
    return this.#life.track(new EventhubsAdmin({ ...this.#options, ...this.#life.ready() }))
  }

  async producer(): Promise<ProducerDriver> {
    const { hubs, environment } = this.#life.ready()
    return this.#life.track(new EventhubsProducer(hubs, environment))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    return this.#life.opening(new EventhubsPartitionReader(options, { ...this.#options, ...this.#life.ready() }))
  }

  check(record: OutgoingRecord): void {
    const { maxMessageSize } = this.#options
    // The vendor's decoder cannot carry it.
    if (Object.hasOwn(record.headers, '__proto__'))
      throw new StreamError(
        'bad-record',
        `the header '__proto__' of a record for hub '${record.topic}' has a reserved name`,
        { adapter: 'eventhubs' }
      )
    const size = sizeOfEvent(record)
    if (size <= maxMessageSize) return
    throw new StreamError(
      'too-large',
      `a record for hub '${record.topic}' takes about ${size} bytes with its headers, more than the ${maxMessageSize} of 'maxMessageSize'`,
      { adapter: 'eventhubs' }
    )
  }

  comparePositions(left: string, right: string): number {
    return comparePositions(left, right)
  }

  classify(error: unknown): Classified {
    return classify(error)
  }

  async close(): Promise<void> {
    await this.#life.close(({ hubs }) => hubs.close())
  }

  #nativeOf(module: EventhubsModule): EventhubsNative {
    const { argumentsFor, clientOptions } = this.#options
    return {
      module,
      producer: hub => new module.EventHubProducerClient(...argumentsFor(hub), clientOptions),
      consumer: (hub, group = '$Default') =>
        new module.EventHubConsumerClient(group, ...argumentsFor(hub), clientOptions)
    }
  }
}

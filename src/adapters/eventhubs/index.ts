import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { loadPeer } from '../shared/load-peer.ts'
import { EventhubsAdmin } from './admin.ts'
import { eventhubsCapabilities } from './capabilities.ts'
import { Checkpoints } from './checkpoints.ts'
import type { ConsumerClient, EventhubsModule, ProducerClient } from './client.ts'
import { ConsumerGroups } from './consumer-groups.ts'
import { classify, type Classified, closedError } from './errors.ts'
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
  readonly #open = new Set<{ close(): Promise<void> }>()
  #opened: Opened | undefined
  #closed = false

  constructor(options: ReadEventhubsOptions) {
    this.#options = options
    this.location = `eventhubs://${options.host}`
  }

  /** The module, and clients of the caller's own with the options of this adapter; `undefined` before `open`. */
  get native(): EventhubsNative | undefined {
    return this.#opened?.native
  }

  async open(environment: Environment): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#opened) return
    const { client, host, tokens, management: address, requestTimeout, checkpoints } = this.#options
    const module =
      client ??
      (await loadPeer<EventhubsModule>(
        { adapter: 'eventhubs', name: '@azure/event-hubs', option: 'client' },
        () => import('@azure/event-hubs')
      ))
    const management =
      address === undefined ? undefined : new Management({ address, tokens, environment, timeout: requestTimeout })
    this.#opened = {
      environment,
      management,
      hubs: new Hubs(module, this.#options, environment),
      groups: new ConsumerGroups({ ...this.#options, management }),
      checkpoints: checkpoints && new Checkpoints(checkpoints, host, tokens),
      native: this.#nativeOf(module)
    }
  }

  admin(): AdminDriver {
    return this.#track(new EventhubsAdmin({ ...this.#options, ...this.#ready() }))
  }

  async producer(): Promise<ProducerDriver> {
    const { hubs, environment } = this.#ready()
    return this.#track(new EventhubsProducer(hubs, environment))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    const reader = this.#track(new EventhubsPartitionReader(options, { ...this.#options, ...this.#ready() }))
    try {
      return await reader.open()
    } catch (error) {
      await reader.close()
      throw error
    }
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
    if (this.#closed) return
    this.#closed = true
    await Promise.all(Array.from(this.#open, part => part.close()))
    await this.#opened?.hubs.close()
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

  #ready(): Opened {
    if (this.#closed) throw closedError()
    if (!this.#opened) throw new TypeError('the eventhubs adapter has not been opened')
    return this.#opened
  }

  /** Closed with the adapter, and forgotten when it is closed before. */
  #track<Part extends { close(): Promise<void> }>(part: Part): Part {
    const close = part.close.bind(part)
    part.close = () => {
      this.#open.delete(part)
      return close()
    }
    this.#open.add(part)
    return part
  }
}

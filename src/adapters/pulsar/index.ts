import type { Environment } from '../../core/environment.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { PulsarAdmin } from './admin.ts'
import { pulsarCapabilities } from './capabilities.ts'
import type { PulsarClient } from './client.ts'
import { classify, type Classified, closedError } from './errors.ts'
import { type PulsarOptions, readPulsarOptions, type ReadPulsarOptions } from './options.ts'
import { PulsarPartitionReader } from './partition-reader.ts'
import { comparePositions } from './positions.ts'
import { PulsarProducer } from './producer.ts'
import { Rest } from './rest.ts'
import { Topics } from './topics.ts'
import { chooseTransport, type Chosen } from './choose-transport.ts'

export { pulsarCapabilities } from './capabilities.ts'
export type { PulsarClient, PulsarModule, WebSocketClass } from './client.ts'
export { fromUrl, type PulsarOptions, pulsarOptions } from './options.ts'

/**
 * Apache Pulsar 4.0 and what speaks its WebSocket and admin API, by `ws`; or by the native `pulsar-client`.
 *
 * @example
 * const client = await connect({ brokers: { default: pulsar({ webUrl: 'http://localhost:8080' }) } })
 */
export function pulsar(options: PulsarOptions): Adapter<typeof pulsarCapabilities, PulsarClient | undefined> {
  return new PulsarAdapter(readPulsarOptions(options))
}

interface Opened extends Chosen {
  readonly environment: Environment
  readonly topics: Topics
}

class PulsarAdapter implements Adapter<typeof pulsarCapabilities, PulsarClient | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'pulsar'
  readonly capabilities: typeof pulsarCapabilities = pulsarCapabilities
  readonly location: string
  readonly #options: ReadPulsarOptions
  readonly #open = new Set<{ close(): Promise<void> }>()
  /** What holds sockets to topics. */
  readonly #holders = new Set<PulsarProducer | PulsarPartitionReader>()
  #opened: Opened | undefined
  #closed = false

  constructor(options: ReadPulsarOptions) {
    this.#options = options
    const { webUrl, tenant, namespace } = options
    this.location = `pulsar://${webUrl.replace(/^https?:\/\//, '')}/${tenant}/${namespace}`
  }

  /** pulsar-client's `Client`, once open; `undefined` over WebSockets. */
  get native(): PulsarClient | undefined {
    return this.#opened?.native
  }

  async open(environment: Environment): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#opened) return
    const chosen = await chooseTransport(this.#options, environment)
    const topics = new Topics(
      new Rest({ ...this.#options, environment }),
      this.#options.tenant,
      this.#options.namespace
    )
    this.#opened = { ...chosen, environment, topics }
  }

  admin(): AdminDriver {
    const { topics, environment } = this.#ready()
    const { deduplication, requestTimeout } = this.#options
    const letGo = async (topic: string): Promise<void> => {
      await Promise.all([...this.#holders].map(holder => holder.letGo(topic)))
    }
    return this.#track(new PulsarAdmin({ topics, environment, deduplication, requestTimeout, letGo }))
  }

  async producer(): Promise<ProducerDriver> {
    const { topics, transport } = this.#ready()
    const { deduplication, maxInFlight } = this.#options
    const producer = this.#track(new PulsarProducer({ topics, transport, deduplication, maxInFlight }))
    this.#holders.add(producer)
    return producer
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    const reader = new PulsarPartitionReader(options, this.#ready())
    try {
      const opened = this.#track(await reader.open())
      this.#holders.add(opened)
      return opened
    } catch (error) {
      await reader.close()
      throw error
    }
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
    await this.#opened?.transport.close()
    await this.#opened?.closeClient()
    this.#opened?.topics.rest.close()
  }

  #ready(): Opened {
    if (this.#closed) throw closedError()
    if (!this.#opened) throw new TypeError('the pulsar adapter has not been opened')
    return this.#opened
  }

  /** Closed with the adapter, and forgotten when it is closed before. */
  #track<Part extends { close(): Promise<void> }>(part: Part): Part {
    const close = part.close.bind(part)
    part.close = () => {
      this.#open.delete(part)
      this.#holders.delete(part as never)
      return close()
    }
    this.#open.add(part)
    return part
  }
}

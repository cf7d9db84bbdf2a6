import type { Environment } from '../../core/environment.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { Lifecycle } from '../shared/lifecycle.ts'
import { PulsarAdmin } from './admin.ts'
import { pulsarCapabilities } from './capabilities.ts'
import type { PulsarClient } from './client.ts'
import { classify, type Classified } from './errors.ts'
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

/** To topics, which cannot be deleted while somebody has them open. */
const holdsSockets = (part: object): part is PulsarProducer | PulsarPartitionReader =>
  part instanceof PulsarProducer || part instanceof PulsarPartitionReader

class PulsarAdapter implements Adapter<typeof pulsarCapabilities, PulsarClient | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'pulsar'
  readonly capabilities: typeof pulsarCapabilities = pulsarCapabilities
  readonly location: string
  readonly #options: ReadPulsarOptions
  readonly #life = new Lifecycle<Opened>('pulsar')

  constructor(options: ReadPulsarOptions) {
    this.#options = options
    const { webUrl, tenant, namespace } = options
    this.location = `pulsar://${webUrl.replace(/^https?:\/\//, '')}/${tenant}/${namespace}`
  }

  /** pulsar-client's `Client`, once open; `undefined` over WebSockets. */
  get native(): PulsarClient | undefined {
    return this.#life.opened?.native
  }

  async open(environment: Environment): Promise<void> {
    await this.#life.open(async () => {
      const chosen = await chooseTransport(this.#options, environment)
      const topics = new Topics(
        new Rest({ ...this.#options, environment }),
        this.#options.tenant,
        this.#options.namespace
      )
      return { ...chosen, environment, topics }
    })
  }

  admin(): AdminDriver {
    const { topics, environment } = this.#life.ready()
    const { deduplication, requestTimeout } = this.#options
    const letGo = async (topic: string): Promise<void> => {
      await Promise.all(Array.from(this.#life.parts, part => holdsSockets(part) && part.letGo(topic)))
    }
    return this.#life.track(new PulsarAdmin({ topics, environment, deduplication, requestTimeout, letGo }))
  }

  async producer(): Promise<ProducerDriver> {
    const { topics, transport } = this.#life.ready()
    const { deduplication, maxInFlight } = this.#options
    return this.#life.track(new PulsarProducer({ topics, transport, deduplication, maxInFlight }))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    return this.#life.opening(new PulsarPartitionReader(options, this.#life.ready()))
  }

  comparePositions(left: string, right: string): number {
    return comparePositions(left, right)
  }

  classify(error: unknown): Classified {
    return classify(error)
  }

  async close(): Promise<void> {
    await this.#life.close(async ({ transport, closeClient, topics }) => {
      await transport.close()
      await closeClient()
      topics.rest.close()
    })
  }
}

import type { Environment } from '../../core/environment.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { LogReader, LogReaderOptions, PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import type { TransactionDriver } from '../../spec/transaction.ts'
import { Lifecycle } from '../shared/lifecycle.ts'
import { loadPeer } from '../shared/load-peer.ts'
import { KafkaAdmin } from './admin.ts'
import { kafkaCapabilities, type KafkaCapabilities } from './capabilities.ts'
import type { KafkaClient, KafkaModule } from './client.ts'
import { codecFinder, compressions, type FindCodec } from './compression.ts'
import { Connection } from './connection.ts'
import { classify, type Classified } from './errors.ts'
import { KafkaLogReader } from './log-reader.ts'
import { type KafkaOptions, type KafkaSasl, readKafkaOptions, type ReadKafkaOptions } from './options.ts'
import { Orphans } from './orphans.ts'
import { bearerLogin } from './oauth-bearer.ts'
import { KafkaPartitionReader } from './partition-reader.ts'
import type { WriteOptions } from './produce.ts'
import { KafkaProducer } from './producer.ts'
import { comparePositions } from './records.ts'
import { KafkaTransactions } from './transaction.ts'

export { kafkaCapabilities, type KafkaCapabilities } from './capabilities.ts'
export type { KafkaClient, KafkaModule } from './client.ts'
export { fromUrl, type KafkaOptions, kafkaOptions, type KafkaSasl } from './options.ts'

/**
 * Apache Kafka 2.1 and later (and what speaks its protocol), by `kafkajs` 2.2.
 *
 * @example
 * const client = await connect({ brokers: { default: kafka({ brokers: ['localhost:9092'] }) } })
 */
export function kafka(options: KafkaOptions): Adapter<KafkaCapabilities, KafkaClient | undefined> {
  return new KafkaAdapter(readKafkaOptions(options))
}

/** Sockets of a broker answer in order: this many sets of them for all transactional producers together. */
const lanes = 8

interface Opened {
  readonly kafka: KafkaClient
  readonly environment: Environment
  readonly findCodec: FindCodec
}

class KafkaAdapter implements Adapter<KafkaCapabilities, KafkaClient | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'kafka'
  readonly capabilities: KafkaCapabilities
  readonly location: string
  readonly #options: ReadKafkaOptions
  readonly #lanes: Connection[] = []
  readonly #orphans = new Orphans()
  readonly #life = new Lifecycle<Opened>('kafka')
  #laneTurn = 0

  constructor(options: ReadKafkaOptions) {
    this.#options = options
    this.capabilities = options.transactions ? kafkaCapabilities : { ...kafkaCapabilities, transactions: false }
    this.location = options.brokers.length > 0 ? `kafka://${options.brokers.join(',')}` : 'kafka (injected client)'
  }

  /** kafkajs's `Kafka`, once open. */
  get native(): KafkaClient | undefined {
    return this.#life.opened?.kafka
  }

  async open(environment: Environment): Promise<void> {
    await this.#life.open(async () => {
      const { client } = this.#options
      const given = client && 'consumer' in client ? client : undefined
      const module = client && 'Kafka' in client ? client : undefined
      const loaded =
        module ?? (given ? undefined : await loadPeer<KafkaModule>(peer, () => import('kafkajs') as Promise<unknown>))
      const kafka = given ?? new loaded!.Kafka(vendorOptions(this.#options))
      return { kafka, environment, findCodec: codecFinder(loaded) }
    })
  }

  admin(): AdminDriver {
    const { environment } = this.#life.ready()
    const { replicationFactor, requestTimeout: timeout, transactionTimeout } = this.#options
    const connection = this.#connection()
    return this.#life.track(new KafkaAdmin({ connection, environment, replicationFactor, timeout, transactionTimeout }))
  }

  async producer(): Promise<ProducerDriver> {
    const connection = this.#connection()
    return this.#life.track(new KafkaProducer({ ...(await this.#writeOptions()), connection }))
  }

  async logReader(options: LogReaderOptions): Promise<LogReader> {
    const { environment, findCodec } = this.#life.ready()
    const { requestTimeout: timeout, rebalanceTimeout, heartbeatInterval } = this.#options
    const reader = new KafkaLogReader(options, {
      data: this.#connection(),
      membership: this.#connection(),
      environment,
      findCodec,
      timeout,
      rebalanceTimeout,
      heartbeatInterval,
      longestTransaction: this.#longestTransaction,
      orphans: this.#orphans
    })
    return this.#life.opening(reader)
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    const { environment, findCodec } = this.#life.ready()
    const context = {
      connection: this.#connection(),
      environment,
      findCodec,
      timeout: this.#options.requestTimeout,
      longestTransaction: this.#longestTransaction
    }
    return this.#life.opening(new KafkaPartitionReader(options, context))
  }

  transactions(): TransactionDriver {
    const { environment } = this.#life.ready()
    return {
      producer: async id => {
        const write = { ...(await this.#writeOptions()), acks: -1 }
        const { transactionTimeout } = this.#options
        const driver = new KafkaTransactions({ environment, lane: () => this.#lane(), write, transactionTimeout })
        return this.#life.track(await driver.producer(id))
      }
    }
  }

  comparePositions(left: string, right: string): number {
    return comparePositions(left, right)
  }

  classify(error: unknown): Classified {
    return classify(error)
  }

  async close(): Promise<void> {
    await this.#life.close(async () => {
      await Promise.all(this.#lanes.map(lane => lane.close()))
    })
  }

  /** The broker ends ours after their time-out; the rest is for its own clock. */
  get #longestTransaction(): number {
    return 2 * this.#options.transactionTimeout
  }

  #connection(): Connection {
    const { kafka, environment } = this.#life.ready()
    return new Connection(kafka, environment)
  }

  #lane(): Connection {
    this.#life.ready()
    const turn = this.#laneTurn++ % lanes
    return (this.#lanes[turn] ??= this.#connection())
  }

  async #writeOptions(): Promise<Omit<WriteOptions, 'connection'>> {
    const { findCodec } = this.#life.ready()
    const { acks, compression, requestTimeout: timeout } = this.#options
    const number = compressions.indexOf(compression)
    const codec = { compression: number, codec: await findCodec(number) }
    return { codec, acks: acks === 'all' ? -1 : acks === 'leader' ? 1 : 0, timeout, limits: new Map() }
  }
}

const peer = { adapter: 'kafka', name: 'kafkajs', option: 'client' }

/** As kafkajs takes it. */
function loginOf(sasl: KafkaSasl): object {
  const { mechanism, oauthBearerProvider } = sasl
  return oauthBearerProvider ? { mechanism, authenticationProvider: bearerLogin(oauthBearerProvider) } : sasl
}

function vendorOptions(options: ReadKafkaOptions): object {
  const { brokers, clientId, ssl, sasl, requestTimeout, connectionTimeout } = options
  return {
    brokers: [...brokers],
    clientId,
    ...(ssl !== false && { ssl }),
    ...(sasl && { sasl: loginOf(sasl) }),
    requestTimeout,
    connectionTimeout,
    // Retry is the front's; this much is left to try every broker of the list once.
    retry: { retries: Math.max(brokers.length - 1, 1), initialRetryTime: 30, maxRetryTime: 500 },
    // No logger of our own: failures are thrown.
    logCreator: () => () => undefined
  }
}

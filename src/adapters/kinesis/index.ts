import type { Environment } from '../../core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../../core/record.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { Lifecycle } from '../shared/lifecycle.ts'
import { KinesisAdmin } from './admin.ts'
import { kinesisCapabilities, maxRecord } from './capabilities.ts'
import type { KinesisClient } from './client.ts'
import { Connection } from './connection.ts'
import { classify, type Classified } from './errors.ts'
import { FanOut } from './fan-out.ts'
import { Feeds } from './feeds.ts'
import { type KinesisOptions, readKinesisOptions, type ReadKinesisOptions } from './options.ts'
import { KinesisPartitionReader } from './partition-reader.ts'
import { comparePositions } from './positions.ts'
import { KinesisProducer } from './producer.ts'
import { assertPackable } from './records.ts'
import { Streams } from './streams.ts'

export { kinesisCapabilities } from './capabilities.ts'
export type { KinesisClient } from './client.ts'
export { fromUrl, type KinesisOptions, kinesisOptions } from './options.ts'

/**
 * Amazon Kinesis Data Streams, by `@aws-sdk/client-kinesis`.
 *
 * @example
 * const client = await connect({ brokers: { default: kinesis({ region: 'eu-central-1' }) } })
 */
export function kinesis(options: KinesisOptions = {}): Adapter<typeof kinesisCapabilities, KinesisClient | undefined> {
  return new KinesisAdapter(readKinesisOptions(options))
}

/** Stamp and envelope stay below what `maxRecord` leaves for them. */
const largestStamp = new Uint8Array(48)

interface Opened {
  readonly connection: Connection
  readonly streams: Streams
  readonly feeds: Feeds
}

class KinesisAdapter implements Adapter<typeof kinesisCapabilities, KinesisClient | undefined> {
  readonly specification = 'v1' as const
  readonly name = 'kinesis'
  readonly capabilities: typeof kinesisCapabilities = kinesisCapabilities
  readonly location: string
  readonly #options: ReadKinesisOptions
  readonly #life = new Lifecycle<Opened>('kinesis')

  constructor(options: ReadKinesisOptions) {
    this.#options = options
    const { region, endpoint } = options
    this.location = `kinesis://${region ?? '(region of the AWS client)'}${endpoint === undefined ? '' : ` at ${endpoint}`}`
  }

  /** The package's `KinesisClient`, once open. */
  get native(): KinesisClient | undefined {
    return this.#life.opened?.connection.native
  }

  async open(environment: Environment): Promise<void> {
    await this.#life.open(() => this.#make(environment))
  }

  async #make(environment: Environment): Promise<Opened> {
    const connection = await Connection.open(this.#options, environment)
    const { partitions, pollInterval, fanOut } = this.#options
    const streams = new Streams(connection, partitions)
    const feeds = new Feeds(connection, pollInterval, fanOut === undefined ? undefined : new FanOut(streams, fanOut))
    return { connection, streams, feeds }
  }

  admin(): AdminDriver {
    const { streams } = this.#life.ready()
    return this.#life.track(new KinesisAdmin({ streams, patience: Math.max(120_000, this.#options.requestTimeout) }))
  }

  async producer(): Promise<ProducerDriver> {
    return this.#life.track(new KinesisProducer(this.#life.ready().streams, this.#options))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    return this.#life.opening(new KinesisPartitionReader(options, this.#life.ready()))
  }

  check(record: OutgoingRecord): void {
    const { key, value, headers } = record
    // Most records: nothing is encoded just to be measured.
    const bytes = (value?.byteLength ?? 0) + (key?.byteLength ?? 0)
    if (headers === noHeaders && bytes < maxRecord / 2) return
    assertPackable({ ...record, stamp: largestStamp })
  }

  comparePositions(left: string, right: string): number {
    return comparePositions(left, right)
  }

  classify(error: unknown): Classified {
    return classify(error)
  }

  async close(): Promise<void> {
    await this.#life.close(async ({ feeds, connection }) => {
      await feeds.close()
      await connection.close()
    })
  }
}

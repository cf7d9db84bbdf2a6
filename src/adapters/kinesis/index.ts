import type { Environment } from '../../core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../../core/record.ts'
import type { Adapter } from '../../spec/adapter.ts'
import type { AdminDriver } from '../../spec/admin.ts'
import type { PartitionReader, PartitionReaderOptions } from '../../spec/log-reader.ts'
import type { ProducerDriver } from '../../spec/producer.ts'
import { KinesisAdmin } from './admin.ts'
import { kinesisCapabilities, maxRecord } from './capabilities.ts'
import type { KinesisClient } from './client.ts'
import { Connection } from './connection.ts'
import { classify, type Classified, closedError } from './errors.ts'
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
  readonly #open = new Set<{ close(): Promise<void> }>()
  #opened: Opened | undefined
  #closed = false

  constructor(options: ReadKinesisOptions) {
    this.#options = options
    const { region, endpoint } = options
    this.location = `kinesis://${region ?? '(region of the AWS client)'}${endpoint === undefined ? '' : ` at ${endpoint}`}`
  }

  /** The package's `KinesisClient`, once open. */
  get native(): KinesisClient | undefined {
    return this.#opened?.connection.native
  }

  async open(environment: Environment): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#opened) return
    const connection = await Connection.open(this.#options, environment)
    const { partitions, pollInterval, fanOut } = this.#options
    const streams = new Streams(connection, partitions)
    const feeds = new Feeds(connection, pollInterval, fanOut === undefined ? undefined : new FanOut(streams, fanOut))
    this.#opened = { connection, streams, feeds }
  }

  admin(): AdminDriver {
    const { streams } = this.#ready()
    return this.#track(new KinesisAdmin({ streams, patience: Math.max(120_000, this.#options.requestTimeout) }))
  }

  async producer(): Promise<ProducerDriver> {
    return this.#track(new KinesisProducer(this.#ready().streams, this.#options))
  }

  async partitionReader(options: PartitionReaderOptions): Promise<PartitionReader> {
    const reader = this.#track(new KinesisPartitionReader(options, this.#ready()))
    try {
      await reader.open()
    } catch (error) {
      await reader.close()
      throw error
    }
    if (this.#closed) throw closedError()
    return reader
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
    if (this.#closed) return
    this.#closed = true
    await Promise.all(Array.from(this.#open, part => part.close()))
    await this.#opened?.feeds.close()
    await this.#opened?.connection.close()
  }

  #ready(): Opened {
    if (this.#closed) throw closedError()
    if (!this.#opened) throw new TypeError('the kinesis adapter has not been opened')
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

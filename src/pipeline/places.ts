import { hasCode } from '../broker/index.ts'
import type { Environment, Timer } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { Position, RawRecord } from '../core/record.ts'
import type {
  AnyAdapter,
  Delivery,
  PartitionReader,
  QueueSubscription,
  StartAt,
  TopicPartition
} from '../spec/index.ts'

export interface PlaceOptions extends TopicPartition {
  readonly group: string
  /** Of the lease: higher than that of every earlier owner. */
  readonly epoch?: number
  readonly from: StartAt
  readonly maxBytes: number
  /** There is something to take. */
  changed(): void
  failed(error: unknown): void
}

/** What was received together. */
interface Received<Item extends RawRecord> {
  readonly records: readonly Item[]
  /** Records behind these in the partition, where that is known. */
  readonly behind: number | undefined
}

/** One partition that is being read: holds at most one batch until it is taken. */
export interface Place extends TopicPartition {
  take(): Received<RawRecord> | undefined
  /** Of a queue: everything up to this position may be acknowledged. */
  done(position: Position): Promise<void>
  close(): Promise<void>
}

export async function openPlace(adapter: AnyAdapter, environment: Environment, options: PlaceOptions): Promise<Place> {
  const { topic, partition, group, epoch, from, maxBytes } = options
  if (adapter.partitionReader && adapter.capabilities.positions === 'log') {
    const owner = epoch === undefined ? {} : { owner: { group, epoch } }
    return new LogPlace(
      await adapter.partitionReader({ topic, partition, from, readCommitted: true, maxBytes, ...owner }),
      environment,
      options
    )
  }
  if (adapter.queueSubscription)
    return new QueuePlace(
      await adapter.queueSubscription({ group, topic, partitions: [partition], maxBytes }),
      environment,
      options
    )
  throw new StreamError('unsupported', `'${adapter.name}' can read neither a partition nor a queue`)
}

/** What both kinds share: one receive under way, one batch waiting. */
abstract class Pumped<Item extends RawRecord> {
  readonly topic: string
  readonly partition: number
  protected batch: Received<Item> | undefined
  protected readonly abort: AbortController = new AbortController()
  readonly #options: PlaceOptions
  #pump: Promise<void> | undefined

  constructor(options: PlaceOptions) {
    this.topic = options.topic
    this.partition = options.partition
    this.#options = options
  }

  protected abstract receive(signal: AbortSignal): Promise<Received<Item>>

  protected start(): void {
    this.#pump ??= this.#fill().finally(() => (this.#pump = undefined))
  }

  protected stopped(): Promise<void> {
    this.abort.abort()
    return this.#pump ?? Promise.resolve()
  }

  async #fill(): Promise<void> {
    const { signal } = this.abort
    try {
      while (!signal.aborted && this.batch === undefined) {
        const received = await this.receive(signal)
        if (received.records.length === 0) continue
        this.batch = received
        this.#options.changed()
      }
    } catch (error) {
      if (!signal.aborted && !hasCode(error, 'aborted')) this.#options.failed(error)
    }
  }
}

/** How often it is asked whether a partition has been read to its end, ms: on some brokers that is a request. */
const endEvery = 5_000

class LogPlace extends Pumped<RawRecord> implements Place {
  readonly #reader: PartitionReader
  readonly #environment: Environment
  #askedAt = -Infinity

  constructor(reader: PartitionReader, environment: Environment, options: PlaceOptions) {
    super(options)
    this.#reader = reader
    this.#environment = environment
    this.start()
  }

  take(): Received<RawRecord> | undefined {
    const { batch } = this
    this.batch = undefined
    if (batch) queueMicrotask(() => this.start())
    return batch
  }

  async done(): Promise<void> {}

  async close(): Promise<void> {
    await this.stopped()
    await this.#reader.close()
  }

  protected async receive(signal: AbortSignal): Promise<Received<RawRecord>> {
    const now = this.#environment.monotonic()
    const end = now >= this.#askedAt + endEvery
    const { records, atEnd } = await this.#reader.receive({ wait: 1_000, signal, end })
    if (end && records.length > 0) this.#askedAt = now
    return { records, behind: end && atEnd ? 0 : undefined }
  }
}

/** How long a delivery is kept for us, which is what a crash costs, and how often that is renewed, ms. */
const hold = 15_000
const renewal = 4_000

/**
 * A queue has no positions: deliveries are numbered here as they come, good until this place is closed; what the broker
 * calls the record follows for whoever looks for it there. What was handed over and not acknowledged at the close is
 * released, and comes again.
 */
class QueuePlace extends Pumped<Delivery> implements Place {
  readonly #subscription: QueueSubscription
  readonly #environment: Environment
  /** Handed over, not acknowledged: number -> id, in order. */
  readonly #open = new Map<number, string>()
  #numbered = 0
  #timer: Timer | undefined
  #closed = false

  constructor(subscription: QueueSubscription, environment: Environment, options: PlaceOptions) {
    super(options)
    this.#subscription = subscription
    this.#environment = environment
    this.#renew()
    this.start()
  }

  take(): Received<RawRecord> | undefined {
    const { batch } = this
    this.batch = undefined
    if (!batch) return undefined
    queueMicrotask(() => this.start())
    const records = batch.records.map(delivery => {
      this.#open.set(++this.#numbered, delivery.id)
      return { ...delivery, position: `${this.#numbered} ${delivery.position}` }
    })
    return { records, behind: batch.behind }
  }

  // Law 2: only after the commit. An acknowledgement that is not confirmed means that the record may come again: the
  // tracker of the task then knows it.
  async done(position: Position): Promise<void> {
    const last = Number.parseInt(position)
    const ids: string[] = []
    for (const [number, deliveryId] of this.#open) {
      if (number > last) break
      ids.push(deliveryId)
      this.#open.delete(number)
    }
    if (ids.length > 0) await this.#subscription.acknowledge(ids)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    await this.stopped()
    const ids = [...this.#open.values(), ...(this.batch?.records ?? []).map(delivery => delivery.id)]
    if (ids.length > 0) await this.#subscription.release(ids).catch(() => {}) // their deadline passes
    await this.#subscription.close()
  }

  protected async receive(signal: AbortSignal): Promise<Received<Delivery>> {
    return { records: await this.#subscription.receive({ wait: 1_000, signal }), behind: undefined }
  }

  // Handlers may be slow: what is in our hands stays there.
  #renew(): void {
    this.#timer = this.#environment.timer(
      renewal,
      () => {
        const ids = [...this.#open.values(), ...(this.batch?.records ?? []).map(delivery => delivery.id)]
        const renewed = ids.length > 0 ? this.#subscription.extend(ids, hold).catch(() => {}) : Promise.resolve()
        void renewed.then(() => this.#closed || this.#renew())
      },
      true
    )
  }
}

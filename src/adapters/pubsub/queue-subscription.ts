import { uuidv7, type Timer } from '../../core/environment.ts'
import { sizeOf } from '../../core/record.ts'
import type { ReceiveOptions } from '../../spec/log-reader.ts'
import type { Delivery, QueueSubscription } from '../../spec/queue-subscription.ts'
import { PullQueue } from '../shared/pull-queue.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { ReceivedMessage } from './client.ts'
import type { Connection } from './connection.ts'
import { closedError } from './errors.ts'
import { PullStream } from './pull-stream.ts'
import { markerAttribute, toRecord } from './records.ts'

export interface QueueOptions {
  readonly maxBytes: number
  /** ms */
  readonly ackDeadline: number
  readonly sources: readonly QueueSource[]
}

/** One subscription to read. */
export interface QueueSource {
  /** Its full path. */
  readonly subscription: string
  /** The partition of what it gives; `undefined` when the messages say it themselves. */
  readonly partition: number | undefined
}

/** A source that is being read. */
interface Source extends QueueSource {
  readonly stream: PullStream
  readonly acknowledgements: Acknowledgements
}

type Item = { readonly delivery: Delivery } | { readonly failure: unknown }

/** Streaming pulls of some subscriptions as one queue that is pulled from. */
export class PubsubQueue implements QueueSubscription {
  readonly #connection: Connection
  readonly #options: QueueOptions
  readonly #queue: PullQueue<Item>
  readonly #sources: readonly Source[]
  /** Waiting in the queue: ours to renew. */
  readonly #queued = new Set<string>()
  /** Handed over, neither acknowledged nor released. */
  readonly #open = new Set<string>()
  #failure: { readonly error: unknown } | undefined
  #timer: Timer | undefined
  #closed: Promise<void> | undefined
  #full = false

  constructor(connection: Connection, options: QueueOptions) {
    const { environment } = connection
    this.#connection = connection
    this.#options = options
    this.#queue = new PullQueue(environment, options.maxBytes)
    const maxBytes = Math.ceil(options.maxBytes / options.sources.length)
    this.#sources = options.sources.map((source, index) => ({
      ...source,
      acknowledgements: new Acknowledgements(connection, source.subscription),
      stream: new PullStream(connection, {
        subscription: source.subscription,
        ackDeadline: options.ackDeadline,
        maxBytes,
        clientId: uuidv7(environment),
        received: messages => this.#received(index, messages),
        failed: error => this.#queue.push({ failure: error }, 0)
      })
    }))
    this.#renew()
    for (const { stream } of this.#sources) stream.open()
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly Delivery[]> {
    if (this.#closed) throw closedError('queue subscription')
    this.#throwFailure()
    for (const { stream } of this.#sources) stream.open() // what has failed before
    await this.#queue.ready(wait, signal)
    const deliveries: Delivery[] = []
    for (const item of this.#queue.take(Infinity, this.#options.maxBytes)) {
      if ('failure' in item) this.#failure ??= { error: item.failure }
      else {
        const { delivery } = item
        this.#queued.delete(delivery.id)
        this.#open.add(delivery.id)
        deliveries.push(delivery)
      }
    }
    if (deliveries.length === 0) this.#throwFailure()
    return deliveries
  }

  async acknowledge(ids: readonly string[]): Promise<readonly string[]> {
    this.#assertOpen()
    const unconfirmed = await this.#perSource(ids, async ({ acknowledgements }, ackIds) =>
      acknowledgements.acknowledge(ackIds)
    )
    for (const id of ids) this.#open.delete(id)
    return unconfirmed
  }

  async release(ids: readonly string[]): Promise<void> {
    this.#assertOpen()
    for (const id of ids) this.#open.delete(id)
    await this.#modify(ids, 0)
  }

  async extend(ids: readonly string[], milliseconds: number): Promise<void> {
    this.#assertOpen()
    // Never for less than what a delivery has by itself.
    const wanted = Math.max(milliseconds, this.#options.ackDeadline)
    await this.#modify(ids, Math.min(600, Math.ceil(wanted / 1000)))
  }

  /** Everything that is not acknowledged is given back at once. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    this.#timer?.cancel()
    this.#queue.fail(closedError('queue subscription'))
    await Promise.all(this.#sources.map(({ stream }) => stream.close()))
    await this.#modify([...this.#open, ...this.#queued], 0).catch(() => {}) // their deadline passes
  }

  #received(index: number, messages: readonly ReceivedMessage[]): void {
    const source = this.#sources[index]!
    for (const { ackId, message, deliveryAttempt = 0 } of messages) {
      if (message.attributes[markerAttribute] !== undefined) {
        source.acknowledgements.acknowledge([ackId]).catch(() => {}) // comes again
        continue
      }
      const id = `${index} ${ackId}`
      this.#queued.add(id)
      if (this.#closed) continue // on its way when we left: given back
      const { partition, ...record } = toRecord(message)
      const { stamp, position } = record
      // Sequences are per partition: a stamp of another one says who this is, and nothing of what is still to come.
      const strange = stamp !== undefined && source.partition !== undefined && partition !== source.partition
      const delivery: Delivery = {
        ...record,
        stamp: strange ? undefined : stamp,
        id,
        identity: strange ? `${partition ?? ''} ${Buffer.from(stamp).toString('base64url')}` : position,
        partition: source.partition ?? partition ?? 0,
        redelivered: Math.max(0, deliveryAttempt - 1)
      }
      this.#queue.push({ delivery }, sizeOf(record))
    }
    if (!this.#closed && this.#queue.room <= 0) this.#hold()
  }

  /** The queue is full: no more until there is room. */
  #hold(): void {
    if (this.#full) return
    this.#full = true
    for (const { stream } of this.#sources) stream.pause()
    void this.#queue.whenRoom().then(() => {
      this.#full = false
      if (!this.#closed) for (const { stream } of this.#sources) stream.resume()
    })
  }

  // The front renews what it has; what it has not taken yet is ours.
  #renew(): void {
    const { ackDeadline } = this.#options
    this.#timer = this.#connection.environment.timer(
      ackDeadline / 3,
      () => {
        const renewed =
          this.#queued.size > 0
            ? this.#modify([...this.#queued], Math.ceil(ackDeadline / 1000)).catch(() => {})
            : Promise.resolve()
        void renewed.then(() => this.#closed ?? this.#renew())
      },
      true
    )
  }

  async #modify(ids: readonly string[], seconds: number): Promise<void> {
    await this.#perSource(ids, async ({ acknowledgements }, ackIds) => {
      await acknowledgements.modify(ackIds, seconds)
      return []
    })
  }

  async #perSource(
    ids: readonly string[],
    call: (source: Source, ackIds: readonly string[]) => Promise<readonly string[]>
  ): Promise<readonly string[]> {
    const perSource = Map.groupBy(ids, id => id.slice(0, id.indexOf(' ')))
    const answers = await Promise.all(
      [...perSource].map(async ([index, mine]) => {
        const source = this.#sources[Number(index)]
        if (!source || index === '') return mine // nothing that we have given out
        const left = await call(
          source,
          mine.map(id => id.slice(index.length + 1))
        )
        return left.map(ackId => `${index} ${ackId}`)
      })
    )
    return answers.flat()
  }

  #throwFailure(): void {
    const failure = this.#failure
    this.#failure = undefined
    if (failure) throw failure.error
  }

  #assertOpen(): void {
    if (this.#closed) throw closedError('queue subscription')
  }
}

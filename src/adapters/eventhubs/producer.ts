import { abortedError, type Environment, type Timer, unlessAborted } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/producer.ts'
import { connectionOf, type EventBatch, type ProducerClient } from './client.ts'
import { classify, closedError, explained } from './errors.ts'
import type { Hubs, Use } from './hubs.ts'
import { openPublication } from './publication.ts'

/** Writes batches: each partition by one publication after the other, all partitions at the same time. */
export class EventhubsProducer implements ProducerDriver {
  readonly #hubs: Hubs
  readonly #environment: Environment
  readonly #clients = new Map<string, Use<ProducerClient>>()
  readonly #sending = new Set<Promise<void>>()
  #closed = false

  constructor(hubs: Hubs, environment: Environment) {
    this.#hubs = hubs
    this.#environment = environment
  }

  async send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) throw closedError()
    if (signal?.aborted) throw abortedError(signal)
    const results: SendResult[] = new Array(batch.length)
    const writing = Array.from(partsOf(batch), indexes => this.#write(batch, indexes, results, signal))
    const all = Promise.all(writing).then(() => {})
    this.#sending.add(all)
    try {
      await unlessAborted(all, signal)
    } finally {
      // Aborted or not, it is under way until the client has let go of it.
      void all.then(() => this.#sending.delete(all))
    }
    return results
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#sending)
    for (const { release } of this.#clients.values()) release()
    this.#clients.clear()
  }

  /** Reports each record once. Never rejects. */
  async #write(
    batch: readonly OutgoingRecord[],
    indexes: readonly number[],
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    const { topic, partition } = batch[indexes[0]!]!
    const partitionId = String(partition)
    let place = 0
    let use: Use<ProducerClient> | undefined
    try {
      use = this.#use(topic)
      const { client } = use
      while (place < indexes.length) {
        if (this.#closed && place > 0) throw closedError()
        const opened = await this.#hubs.ask(abortSignal => client.createBatch({ partitionId, abortSignal }), signal)
        const publication = openPublication(opened)
        const first = place
        while (place < indexes.length && publication.add(batch[indexes[place]!]!)) place++
        if (place === first) throw tooLarge(batch[indexes[place]!]!, opened.maxSizeInBytes)
        const end = place
        place = first
        await this.#publish(client, publication.batch(), signal)
        for (; place < end; place++) results[indexes[place]!] = { ok: true, position: undefined }
      }
    } catch (thrown) {
      if (use && classify(thrown).code === 'timeout') this.#forget(topic, use)
      const error = signal?.aborted ? abortedError(signal) : explained(`writing to hub '${topic}'`, thrown)
      for (; place < indexes.length; place++) results[indexes[place]!] = { ok: false, error }
    }
  }

  /** A send whose connection is lost would wait for its answer until it times out. */
  async #publish(client: ProducerClient, publication: EventBatch, signal: AbortSignal | undefined): Promise<void> {
    const lost = new AbortController()
    const connection = connectionOf(client)
    let timer: Timer | undefined
    const look = (): void => {
      if (connectionOf(client) === connection) timer = this.#environment.timer(lookInterval, look, true)
      else lost.abort()
    }
    if (connection !== undefined) timer = this.#environment.timer(lookInterval, look, true)
    try {
      const either = signal ? AbortSignal.any([signal, lost.signal]) : lost.signal
      await this.#hubs.ask(abortSignal => client.sendBatch(publication, { abortSignal }), either)
    } catch (error) {
      if (!lost.signal.aborted) throw error
      throw new StreamError('connection', 'the connection was lost before the answer came', {
        adapter: 'eventhubs',
        retryable: true,
        cause: error
      })
    } finally {
      timer?.cancel()
    }
  }

  #use(hub: string): Use<ProducerClient> {
    let use = this.#clients.get(hub)
    if (!use) this.#clients.set(hub, (use = this.#hubs.producer(hub)))
    return use
  }

  /** It does not answer: the next send has a new one. */
  #forget(hub: string, use: Use<ProducerClient>): void {
    if (this.#clients.get(hub) === use) this.#clients.delete(hub)
    use.discard()
    use.release()
  }
}

/** How often it is looked whether the connection of a send is still the same, ms. */
const lookInterval = 100

/** Indexes of the records of each partition, in order. */
function partsOf(batch: readonly OutgoingRecord[]): Iterable<number[]> {
  const parts = new Map<string, number[]>()
  let last: { topic: string; partition: number; indexes: number[] } | undefined
  for (const [index, { topic, partition }] of batch.entries()) {
    if (last?.partition === partition && last.topic === topic) {
      last.indexes.push(index)
      continue
    }
    const name = `${partition} ${topic}`
    const indexes = parts.get(name) ?? []
    parts.set(name, indexes)
    indexes.push(index)
    last = { topic, partition, indexes }
  }
  return parts.values()
}

function tooLarge({ topic, key, value }: OutgoingRecord, limit: number): StreamError {
  const size = (key?.byteLength ?? 0) + (value?.byteLength ?? 0)
  return new StreamError(
    'too-large',
    `a record of ${size} bytes and its headers are too large for hub '${topic}', which takes ${limit} bytes at once`,
    { adapter: 'eventhubs' }
  )
}

import type { Environment, Timer } from '../../core/environment.ts'
import type {
  ConsumerClient,
  EventhubsModule,
  HubClient,
  HubProperties,
  PartitionProperties,
  ProducerClient
} from './client.ts'
import { answered } from './answered.ts'
import { classify, closedError, explained, unknownTopic } from './errors.ts'
import type { ReadEventhubsOptions } from './options.ts'
import { Sockets } from './sockets.ts'

/** A client is a connection to one hub: one that nobody uses is closed after this long, ms. */
const idleTime = 10_000
/** The vendor's close waits a minute for a server that is gone, ms. */
const closeTime = 3_000

interface Held<Client extends HubClient> {
  readonly client: Client
  readonly sockets: Sockets
  users: number
  idle: Timer | undefined
  /** Out of the pool: closed when its last user lets go. */
  discarded: boolean
}

/** A client that is kept until it is let go. */
export interface Use<Client extends HubClient> {
  readonly client: Client
  release(): void
  /** It does not answer: the next use is of a new one. */
  discard(): void
}

type ConsumerEntry = Held<ConsumerClient> & { readonly partitions: Set<number> }

/** The clients of all hubs, each opened when it is first needed. */
export class Hubs {
  readonly #module: EventhubsModule
  readonly #options: ReadEventhubsOptions
  readonly #environment: Environment
  readonly #producers = new Map<string, Held<ProducerClient>>()
  /** By hub and consumer group. One client reads a partition once. */
  readonly #consumers = new Map<string, ConsumerEntry[]>()
  /** Every client that is open, those that were discarded too. */
  readonly #all = new Set<Held<HubClient>>()
  readonly #closing = new Set<Promise<void>>()
  #closed = false

  constructor(module: EventhubsModule, options: ReadEventhubsOptions, environment: Environment) {
    this.#module = module
    this.#options = options
    this.#environment = environment
  }

  producer(hub: string): Use<ProducerClient> {
    let held = this.#producers.get(hub)
    if (!held) {
      held = this.#opened(fresh(new this.#module.EventHubProducerClient(...this.#argumentsFor(hub))))
      this.#producers.set(hub, held)
    }
    return this.#use(held, () => this.#producers.delete(hub))
  }

  consumer(hub: string, group: string, partition: number): Use<ConsumerClient> {
    const id = `${group} ${hub}`
    const entries = this.#consumers.get(id) ?? []
    this.#consumers.set(id, entries)
    let entry = entries.find(({ partitions }) => !partitions.has(partition))
    if (!entry) {
      const client = new this.#module.EventHubConsumerClient(group, ...this.#argumentsFor(hub))
      entry = this.#opened<ConsumerEntry>({ ...fresh(client), partitions: new Set() })
      entries.push(entry)
    }
    const held = entry
    const { partitions } = held
    partitions.add(partition)
    const use = this.#use(held, () => {
      entries.splice(entries.indexOf(held), 1)
      if (entries.length === 0 && this.#consumers.get(id) === entries) this.#consumers.delete(id)
    })
    return {
      client: use.client,
      release() {
        partitions.delete(partition)
        use.release()
      },
      discard: use.discard
    }
  }

  /** What a call of a client gives; `timeout` when it does not come back. */
  ask<Result>(call: (signal: AbortSignal) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return answered(call, this.#environment, this.#options.requestTimeout, signal)
  }

  /** `undefined` when there is no such hub. */
  async describe(hub: string, signal?: AbortSignal): Promise<HubProperties | undefined> {
    const use = this.producer(hub)
    try {
      return await this.ask(abortSignal => use.client.getEventHubProperties({ abortSignal }), signal)
    } catch (error) {
      if (this.#closed) throw closedError()
      const { code } = classify(error)
      if (code === 'unknown-topic') return undefined
      if (code === 'timeout') use.discard()
      throw explained(`describing hub '${hub}'`, error)
    } finally {
      use.release()
    }
  }

  /** Rejects with `unknown-topic` when there is no such hub or partition. */
  async describePartition(
    hub: string,
    partition: number,
    signal?: AbortSignal,
    through?: Use<HubClient>
  ): Promise<PartitionProperties> {
    const use = through ?? this.producer(hub)
    try {
      return await this.ask(
        abortSignal => use.client.getPartitionProperties(String(partition), { abortSignal }),
        signal
      )
    } catch (error) {
      if (this.#closed) throw closedError()
      if (classify(error).code === 'timeout') use.discard()
      throw explained(`describing partition ${partition} of hub '${hub}' on ${this.#options.host}`, error)
    } finally {
      if (!through) use.release()
    }
  }

  /** Rejects with `unknown-topic`. */
  async partitions(hub: string): Promise<number> {
    const found = await this.describe(hub)
    if (!found) throw unknownTopic(hub, this.#options.host)
    return found.partitionIds.length
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const held of this.#all) this.#end(held)
    await Promise.all(this.#closing)
  }

  #argumentsFor(hub: string): unknown[] {
    if (this.#closed) throw closedError()
    return [...this.#options.argumentsFor(hub), this.#options.clientOptions]
  }

  #opened<Entry extends Held<HubClient>>(entry: Entry): Entry {
    this.#all.add(entry)
    return entry
  }

  #use<Client extends HubClient>(held: Held<Client>, forget: () => void): Use<Client> {
    held.users++
    held.idle?.cancel()
    let released = false
    return {
      client: held.client,
      discard: () => {
        if (held.discarded) return
        held.discarded = true
        forget()
      },
      release: () => {
        if (released) return
        released = true
        if (--held.users > 0 || this.#closed) return
        if (held.discarded) return this.#end(held)
        held.idle = this.#environment.timer(
          idleTime,
          () => {
            if (this.#closed || held.discarded) return
            forget()
            this.#end(held)
          },
          true
        )
      }
    }
  }

  #end(held: Held<HubClient>): void {
    if (!this.#all.delete(held)) return
    held.idle?.cancel()
    let timer: Timer | undefined
    const tooLong = new Promise<void>(resolve => (timer = this.#environment.timer(closeTime, resolve, true)))
    // Whatever goes wrong: the connection is of no use any more.
    const closed = held.client.close().catch(() => {})
    const ended = Promise.race([closed, tooLong]).finally(() => {
      timer?.cancel()
      held.sockets.close()
      this.#closing.delete(ended)
    })
    this.#closing.add(ended)
  }
}

function fresh<Client extends HubClient>(client: Client): Held<Client> {
  return { client, sockets: new Sockets(client), users: 0, idle: undefined, discarded: false }
}

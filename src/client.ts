import { Consumer, Producer, type ConsumerOptions, type ProducerOptions } from './broker/index.ts'
import type { Environment } from './core/environment.ts'
import { StreamError } from './core/errors.ts'
import type { Variables } from './core/options.ts'
import type { SchemaRegistry } from './core/registry.ts'
import type { Topic } from './core/topic.ts'
import type { Tracing } from './core/tracing.ts'
import { Admin } from './admin.ts'
import { ProcessHealth, type HealthReport } from './health/index.ts'
import {
  defaultSettings,
  ensureParked,
  groupPositions,
  openGroupReader,
  openStore,
  producerReports,
  resolveTopic,
  runPipeline,
  runSettings,
  type ClientStore,
  type Pipeline,
  type RunHost,
  type RunOptions
} from './pipeline/index.ts'
import type { AnyAdapter } from './spec/index.ts'

export interface ClientParts {
  readonly environment: Environment
  readonly brokers: ReadonlyMap<string, AnyAdapter>
  readonly topics: (topic: string) => string
  /** The broker that carries the vitals of all; default: each its own. */
  readonly vitals: string | undefined
  readonly store: string | ClientStore | undefined
  readonly registry: SchemaRegistry | undefined
  readonly variables: Variables
  readonly tracing?: Tracing | undefined
}

/** An open connection to the brokers of `connect`. Close it, or hold it with `await using`. */
export class Client {
  readonly admin: Admin
  readonly #parts: ClientParts
  readonly #closing: (() => Promise<void>)[] = []
  readonly #health: ProcessHealth
  #store: Promise<ClientStore> | undefined
  #closed = false

  constructor(parts: ClientParts) {
    this.#parts = parts
    this.#health = new ProcessHealth(parts.environment)
    this.admin = new Admin(this.#host())
  }

  /**
   * Runs a pipeline at this worker. Resolves after a clean drain (the signal, SIGTERM) or when every source has ended and
   * everything is processed; rejects with the first fatal error. Run it in as many processes as there is work for.
   */
  async run(pipeline: Pipeline, options: RunOptions = {}): Promise<void> {
    this.#assertOpen()
    const settings = runSettings(options, this.#parts.variables)
    const stop = new AbortController()
    const onSignal = (name: NodeJS.Signals): void => {
      // A second one stops at once, as if there were no handler.
      if (stop.signal.aborted) process.exit(name === 'SIGINT' ? 130 : 143)
      stop.abort()
    }
    if (settings.handleSignals) for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, onSignal)
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
    const health = this.#health.run(pipeline.name, settings)
    try {
      await runPipeline(this.#host(), pipeline, settings, signal, health)
      health.enter('ended')
    } catch (error) {
      health.enter('failed', error)
      throw error
    } finally {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.off(name, onSignal)
    }
  }

  /**
   * How this process is doing, from memory and at once: is it `live`, is it `ready`, and if not, what is wrong, in which stage and
   * partition, at which record and since when. Never wrong only because there is nothing to do. `healthListener(client)` gives
   * it to probes over HTTP.
   */
  health(): HealthReport {
    return this.#health.report()
  }

  /**
   * A producer for one topic. See `Producer`. Takes a second longer where others write to the topic: every reader has heard of it then, and
   * none of its records is late because it was new.
   */
  async producer<Key, Value>(
    topic: Topic<string, Key, Value>,
    options: ProducerOptions = {}
  ): Promise<Producer<Key, Value>> {
    this.#assertOpen()
    const host = this.#host()
    const bound = await resolveTopic(host, topic)
    const reports = await producerReports(host, bound, defaultSettings.vitalsInterval)
    const producer = new Producer<Key, Value>(bound, host.environment, options, reports, host.tracing)
    await producer.open()
    this.#closing.push(() => producer.close())
    return producer
  }

  /** A consumer in a group, at least once. See `Consumer` for when a record counts as done. */
  consumer<Name extends string, Key, Value>(
    topic: Topic<Name, Key, Value>,
    options: ConsumerOptions
  ): Consumer<Name, Key, Value> {
    this.#assertOpen()
    const host = this.#host()
    const { environment } = host
    return new Consumer(
      async () => {
        const bound = await resolveTopic(host, topic)
        if (options.poison !== 'throw') await ensureParked(bound, environment)
        return bound
      },
      (bound, group) => openGroupReader(bound.adapter, environment, () => host.openStore(), group, bound.partitions),
      (bound, group) => groupPositions(bound, group, () => host.openStore()),
      environment,
      options,
      () => {
        const limits = { stalledAfter: options.stalledAfter ?? defaultSettings.stalledAfter }
        const { unreachableAfter } = defaultSettings
        return this.#health.consumer(options.group, topic.name, { ...limits, unreachableAfter })
      }
    )
  }

  /** The adapter of a broker: capabilities, and the vendor's own client as `native`. */
  broker(name: string = 'default'): AnyAdapter {
    const adapter = this.#parts.brokers.get(name)
    if (adapter) return adapter
    throw new StreamError(
      'bad-config',
      `there is no broker '${name}'; known are ${[...this.#parts.brokers.keys()].join(', ')}`
    )
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#health.close()
    for (const close of this.#closing) await close()
    const store = await this.#store?.catch(() => undefined)
    if (store && store !== this.#parts.store) await store.close()
    for (const adapter of this.#parts.brokers.values()) await adapter.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #host(): RunHost {
    const { environment, registry, topics, vitals, store, brokers, tracing } = this.#parts
    return {
      environment,
      registry,
      tracing,
      adapterOf: topic => this.broker(topics(topic)),
      vitalsBroker: vitals === undefined ? undefined : this.broker(vitals),
      commitIn: store === undefined ? 'either' : store === 'broker' ? 'broker' : 'store',
      openStore: () =>
        (this.#store ??= openStore(store === 'broker' ? undefined : store, brokers, environment).catch(error => {
          this.#store = undefined // a server that is away now may be there next time
          throw error
        }))
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new StreamError('closed', 'the client is closed')
  }
}

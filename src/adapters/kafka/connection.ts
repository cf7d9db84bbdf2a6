import { type Environment, sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { type Call, callBroker } from './call.ts'
import type { KafkaClient, VendorBroker, VendorCluster, VendorMetadata } from './client.ts'
import { isStaleMetadata, protocolCode, protocolError } from './errors.ts'
import { clusterOf, metadataMaxAge } from './vendor-cluster.ts'

/** Ms to wait for a coordinator that the brokers are about to appoint. */
const longestElection = 5_000
const loading = 14
const notAvailable = 15

/** Own sockets to the brokers of a cluster. Reconnects when it is used again after a failure. */
export class Connection {
  readonly #cluster: VendorCluster
  readonly #environment: Environment
  readonly #coordinators = new Map<string, VendorBroker>()
  #index: { readonly of: VendorMetadata | null; readonly leaders: ReadonlyMap<string, readonly number[]> } = noIndex
  #refreshed = -Infinity
  /** Brokers that have been asked something before. */
  readonly #ready = new WeakSet<VendorBroker>()
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(kafka: KafkaClient, environment: Environment) {
    this.#cluster = clusterOf(kafka, environment)
    this.#environment = environment
  }

  /** The wall clock, ms. */
  now(): number {
    return this.#environment.now()
  }

  /** Opens a socket when there is none. */
  async connect(): Promise<void> {
    this.#refuseClosed()
    if (!this.#cluster.isConnected()) await this.#alone(() => this.#cluster.connect())
    this.#refuseClosed()
  }

  /**
   * A broker of kafkajs counts as connected when its socket is, a moment before it can be asked: whoever comes in between
   * fails with "Broker not connected". So what may open a socket is done one at a time.
   */
  #alone<Result>(act: () => Promise<Result>): Promise<Result> {
    const acting = this.#last.then(() => {
      this.#refuseClosed()
      return act()
    })
    this.#last = acting.catch(() => undefined)
    return acting
  }

  async #find(nodeId: number | string): Promise<VendorBroker> {
    const known = this.#cluster.brokerPool.brokers[nodeId]
    if (known && this.#ready.has(known) && known.isConnected()) return known
    const broker = await this.#alone(() => this.#cluster.findBroker({ nodeId }))
    this.#ready.add(broker)
    return broker
  }

  /** Makes the metadata of these topics known. Rejects with `unknown-topic` naming one that is not there. */
  async loadTopics(topics: readonly string[]): Promise<void> {
    await this.connect()
    const fresh = this.#environment.monotonic() - this.#refreshed < metadataMaxAge
    if (fresh && topics.every(topic => this.partitionCount(topic) > 0)) return
    for (const topic of topics) this.#cluster.targetTopics.add(topic)
    await this.#alone(() => this.#cluster.refreshMetadata())
    this.#refreshed = this.#environment.monotonic()
    for (const { topic, topicErrorCode } of this.#cluster.brokerPool.metadata?.topicMetadata ?? []) {
      if (topicErrorCode === 0) continue
      // Not to be asked for again and again on behalf of the others.
      if (topicErrorCode === 3) this.#cluster.targetTopics.delete(topic)
      if (topics.includes(topic)) throw topicError(topic, topicErrorCode)
    }
  }

  /** The next `loadTopics` asks the brokers again. */
  forgetMetadata(): void {
    this.#refreshed = -Infinity
  }

  /** 0 for a topic that was not loaded. */
  partitionCount(topic: string): number {
    return this.#leaders().get(topic)?.length ?? 0
  }

  /** Id of the node that leads the partition, as far as is known; -1 when it has none just now. */
  leaderId(topic: string, partition: number): number | undefined {
    return this.#leaders().get(topic)?.[partition]
  }

  async broker(nodeId: number): Promise<VendorBroker> {
    await this.#needBrokers()
    return this.#find(nodeId)
  }

  /** Any connected broker, for questions that each can answer. */
  async anyBroker(): Promise<VendorBroker> {
    await this.connect()
    return this.#alone(() => this.#cluster.brokerPool.findConnectedBroker())
  }

  /** All brokers of the cluster. */
  async brokers(): Promise<readonly VendorBroker[]> {
    await this.#needBrokers()
    return Promise.all(Object.keys(this.#cluster.brokerPool.brokers).map(nodeId => this.#find(nodeId)))
  }

  /** The broker that takes orders to create and delete topics. */
  async controller(): Promise<VendorBroker> {
    await this.#needBrokers()
    return this.#alone(() => this.#cluster.findControllerBroker())
  }

  /**
   * Does it at the leader of the partition; once more with fresh metadata when the leader has moved. Rejects with
   * `unknown-topic` when there is no such partition.
   */
  async atLeader<Result>(
    topic: string,
    partition: number,
    act: (broker: VendorBroker) => Promise<Result>
  ): Promise<Result> {
    try {
      return await act(await this.#leader(topic, partition))
    } catch (error) {
      if (StreamError.is(error) && error.code === 'unknown-topic') throw error
      if (!isStaleMetadata(error)) throw error
      this.forgetMetadata()
      return act(await this.#leader(topic, partition))
    }
  }

  async #leader(topic: string, partition: number): Promise<VendorBroker> {
    await this.loadTopics([topic])
    // The topic may have grown since.
    if (partition >= this.partitionCount(topic)) {
      this.forgetMetadata()
      await this.loadTopics([topic])
    }
    const nodeId = this.leaderId(topic, partition)
    if (nodeId === -1) throw protocolError(5, `partition ${partition} of topic '${topic}' has no leader`)
    if (nodeId === undefined)
      throw new StreamError(
        'unknown-topic',
        `topic '${topic}' has ${this.partitionCount(topic)} partitions, there is no partition ${partition}`,
        { adapter: 'kafka' }
      )
    return this.#find(nodeId)
  }

  /** The broker that keeps the group, or the transactions of the id. */
  async coordinator(kind: 'group' | 'transaction', id: string): Promise<VendorBroker> {
    await this.#needBrokers()
    const key = `${kind} ${id}`
    const known = this.#coordinators.get(key)
    if (known) return this.#find(known.nodeId!)
    const found = await this.#findCoordinator(kind === 'group' ? 0 : 1, id)
    this.#coordinators.set(key, found)
    return found
  }

  /** On a new cluster the first question makes the broker create the topic that coordinators keep: a second or so. */
  async #findCoordinator(coordinatorType: number, id: string): Promise<VendorBroker> {
    const started = this.#environment.monotonic()
    for (;;) {
      const asked = await this.anyBroker()
      try {
        const { coordinator } = await asked.findGroupCoordinator({ groupId: id, coordinatorType })
        return await this.broker(coordinator.nodeId)
      } catch (error) {
        const code = protocolCode(error)
        if (code !== loading && code !== notAvailable) throw error
        if (this.#environment.monotonic() - started > longestElection) throw error
      }
      await sleep(this.#environment, 100)
    }
  }

  /** The coordinator is asked for again: it has moved, or cannot be reached. */
  forgetCoordinator(kind: 'group' | 'transaction', id: string): void {
    this.#coordinators.delete(`${kind} ${id}`)
  }

  /** Sends a request whose bytes are made and read here. */
  async call<Answer>(broker: VendorBroker, call: Call<Answer>): Promise<Answer> {
    this.#refuseClosed()
    return callBroker(broker, call)
  }

  async #needBrokers(): Promise<void> {
    await this.connect()
    if (this.#cluster.brokerPool.metadata === null) await this.#alone(() => this.#cluster.refreshMetadata())
  }

  #leaders(): ReadonlyMap<string, readonly number[]> {
    const { metadata } = this.#cluster.brokerPool
    if (this.#index.of !== metadata) {
      const leaders = new Map<string, number[]>()
      for (const { topic, partitionMetadata } of metadata?.topicMetadata ?? []) {
        const nodes: number[] = []
        for (const { partitionId, leader } of partitionMetadata) nodes[partitionId] = leader
        leaders.set(topic, nodes)
      }
      this.#index = { of: metadata, leaders }
    }
    return this.#index.leaders
  }

  #refuseClosed(): void {
    if (this.#closed) throw closedError()
  }

  /** Ends the sockets; what is under way rejects with `closed`. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { brokers, seedBroker } = this.#cluster.brokerPool
    // kafkajs would wait for answers first: half a minute for a group that is joining.
    for (const broker of [...Object.values(brokers), ...(seedBroker ? [seedBroker] : [])])
      for (const { requestQueue } of broker.connectionPool.pool) requestQueue.rejectAll(closedError())
    await this.#cluster.disconnect()
    // What was connecting in the meantime has opened a socket again.
    await this.#last
    await this.#cluster.disconnect()
  }
}

const noIndex = { of: null, leaders: new Map<string, readonly number[]>() }

function topicError(topic: string, code: number): StreamError {
  if (code !== 3) return protocolError(code, `topic '${topic}'`)
  return new StreamError('unknown-topic', `there is no topic '${topic}': create it, or check its name`, {
    adapter: 'kafka'
  })
}

export function closedError(): StreamError {
  return new StreamError('closed', 'this part of the kafka adapter has been closed', { adapter: 'kafka' })
}

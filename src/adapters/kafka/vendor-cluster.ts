import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { KafkaClient, VendorCluster, VendorRequestQueue } from './client.ts'
import { explain } from './errors.ts'
import { fetchMetadata } from './metadata.ts'
import { mendConnection } from './vendor-connection.ts'

/**
 * The one place that reaches below kafkajs's documented surface: its `Cluster`, which owns sockets, TLS, SASL, metadata and
 * one call per kind of request. It is handed to every custom partition assigner, so no file of the package is imported and
 * an injected client works the same. Why: `docs/decisions/0002-kafkajs-partition-reader.md`.
 */

/** Ms after which metadata is asked for again; the same as in Kafka's own client. */
export const metadataMaxAge = 300_000

/** A cluster of its own for each call. Throws `bad-config` when the client is not kafkajs 2.2. */
export function clusterOf(kafka: KafkaClient, environment: Environment): VendorCluster {
  let cluster: VendorCluster | undefined
  try {
    kafka.consumer({
      groupId: 'tidemark',
      allowAutoTopicCreation: false,
      metadataMaxAge,
      partitionAssigners: [
        (context: { readonly cluster: VendorCluster }) => {
          cluster = context.cluster
          return { name: 'tidemark', version: 0 }
        }
      ]
    })
  } catch (error) {
    throw explain(error, 'the kafkajs client cannot be used')
  }
  const missing = cluster ? internals(cluster).find(([, has]) => !has)?.[0] : 'the cluster of a partition assigner'
  if (!cluster || missing)
    throw new StreamError(
      'bad-config',
      `the client is not kafkajs 2.2 (it lacks ${missing}): pass an instance of its Kafka`,
      {
        adapter: 'kafka'
      }
    )
  mendConnections(cluster, environment)
  tolerateTopics(cluster)
  return cluster
}

function internals(cluster: VendorCluster): [string, boolean][] {
  const methods = ['connect', 'refreshMetadata', 'findBroker', 'findControllerBroker'] as const
  return [
    ...methods.map((name): [string, boolean] => [`cluster.${name}`, typeof cluster[name] === 'function']),
    ['cluster.targetTopics', cluster.targetTopics instanceof Set],
    ['cluster.brokerPool', typeof cluster.brokerPool?.findConnectedBroker === 'function'],
    ['cluster.brokerPool.createBroker', typeof cluster.brokerPool?.createBroker === 'function'],
    ['cluster.connectionPoolBuilder', typeof cluster.connectionPoolBuilder?.build === 'function']
  ]
}

function mendConnections({ connectionPoolBuilder }: VendorCluster, environment: Environment): void {
  const build = connectionPoolBuilder.build.bind(connectionPoolBuilder)
  connectionPoolBuilder.build = async destination => {
    const pool = await build(destination)
    for (const connection of pool.pool) {
      mendConnection(connection, environment)
      skipIdleTimer(connection.requestQueue)
    }
    return pool
  }
}

/**
 * After every answer kafkajs starts a timer with a negative delay, which Node takes as 1 ms and warns of. Without anything
 * pending there is nothing to wait for, so it is not started.
 */
function skipIdleTimer(queue: VendorRequestQueue): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue)
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule()
  }
}

/** One topic that is gone, or one partition without a leader, must not take the others with it (`metadata.ts`). */
function tolerateTopics({ brokerPool }: VendorCluster): void {
  const create = brokerPool.createBroker
  brokerPool.createBroker = options => {
    const broker = create(options)
    broker.metadata = topics => fetchMetadata(broker, topics)
    return broker
  }
}

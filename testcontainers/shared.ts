import { startDynamodb } from './dynamodb.ts'
import { startEventhubs } from './eventhubs.ts'
import { startKafka } from './kafka.ts'
import { startKinesis } from './kinesis.ts'
import { startPostgres } from './postgres.ts'
import { startPubsub } from './pubsub.ts'
import { startPulsar } from './pulsar.ts'
import { startRegistry } from './registry.ts'
import type { SecureListener } from './server.ts'

/** A server that several users have in common. Plain data but for `stop`, which its starter alone calls. */
export interface SharedServer {
  readonly url: string
  /** The listener with TLS and users; undefined when the server was given by its url. */
  readonly tls: SecureListener | undefined
  /** Of Pulsar: where its binary protocol is spoken, for native clients. */
  readonly serviceUrl?: string | undefined
  /** Stops the server if it was started here; leaves a given one alone. */
  stop(): Promise<void>
}

/**
 * The Kafka of `TIDEMARK_KAFKA_URL` when that is set, else a new one. Set the variable to spend no time on starting one
 * in each of many short test runs: `npm run up -- kafka` prints what to set it to.
 * @throws Error saying why none can be started
 */
export async function sharedKafka(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_KAFKA_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  return startKafka()
}

/**
 * The Pulsar of `TIDEMARK_PULSAR_URL` (its binary protocol at `TIDEMARK_PULSAR_SERVICE_URL`) when that is set, else a new
 * one. `npm run up -- pulsar` prints what to set them to.
 * @throws Error saying why none can be started
 */
export async function sharedPulsar(): Promise<SharedServer> {
  const { TIDEMARK_PULSAR_URL: given, TIDEMARK_PULSAR_SERVICE_URL: serviceUrl } = process.env
  if (given) return { url: given, tls: undefined, serviceUrl, stop: async () => {} }
  return startPulsar()
}

/**
 * The Pub/Sub of `TIDEMARK_PUBSUB_URL` when that is set, else a new one. `npm run up -- pubsub` prints what to set it to.
 * @throws Error saying why none can be started
 */
export async function sharedPubsub(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_PUBSUB_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  const { url, stop } = await startPubsub()
  return { url, tls: undefined, stop }
}

/**
 * The PostgreSQL of `TIDEMARK_POSTGRES_URL` (of a role that may create databases and roles) when that is set, else a new one.
 * `npm run up -- postgres` prints what to set it to.
 * @throws Error saying why none can be started
 */
export async function sharedPostgres(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_POSTGRES_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  const { url, stop } = await startPostgres()
  return { url, tls: undefined, stop }
}

/** The DynamoDB of `TIDEMARK_DYNAMODB_URL` when that is set, else a new one. `npm run up -- dynamodb` prints what to set it to. */
export async function sharedDynamodb(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_DYNAMODB_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  const { url, stop } = await startDynamodb()
  return { url, tls: undefined, stop }
}

/** The Event Hubs of `TIDEMARK_EVENTHUBS_URL` when that is set, else a new double. `npm run up -- eventhubs` prints what to set it to. */
export async function sharedEventhubs(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_EVENTHUBS_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  const { url, stop } = await startEventhubs()
  return { url, tls: undefined, stop }
}

/** The Kinesis of `TIDEMARK_KINESIS_URL` when that is set, else a new one. `npm run up -- kinesis` prints what to set it to. */
export async function sharedKinesis(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_KINESIS_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  const { url, stop } = await startKinesis()
  return { url, tls: undefined, stop }
}

/** The schema registry of `TIDEMARK_REGISTRY_URL` when that is set, else a new one. `npm run up -- registry` prints what to set it to. */
export async function sharedRegistry(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_REGISTRY_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  return startRegistry()
}

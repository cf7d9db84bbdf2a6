import { Client, type ClientParts } from './client.ts'
import { systemEnvironment, type Environment } from './core/environment.ts'
import { asStreamError, StreamError } from './core/errors.ts'
import { upperSnake, type Variables } from './core/options.ts'
import type { SchemaRegistry } from './core/registry.ts'
import type { Tracing } from './core/tracing.ts'
import { openAdapter, type BrokerConfig } from './open-adapter.ts'
import { vitalsTopic, type ClientStore } from './pipeline/index.ts'
import type { AnyAdapter } from './spec/index.ts'

export type { AdapterConfig, BrokerConfig } from './open-adapter.ts'

export interface ConnectOptions {
  /** Named brokers; topics without a word of their own are on `default`. */
  readonly brokers: Readonly<Record<string, BrokerConfig>>
  /**
   * Which broker carries a topic, where it is not `default`: `{ totals: { broker: 'cloud' } }`. `tidemark.vitals`, which each
   * broker has for itself, is for all brokers on the one that is named here.
   */
  readonly topics?: Readonly<Record<string, { readonly broker: string }>>
  /**
   * Where tasks commit: `sqlite:<file>`, `postgres://user:password@host/database`, `dynamodb://region/table`, `broker`
   * (transactions of the broker; refused where it has none), or a store.
   * Default: the broker's own transactions where a stage stays on one cluster that has them, else a SQLite file beside the
   * data of the `file:` broker or in `./.tidemark/`.
   */
  readonly store?: string | ClientStore
  readonly registry?: SchemaRegistry
  /** Carries traces from hop to hop in the headers of records: see `tidemark/opentelemetry`. */
  readonly tracing?: Tracing
  /** Time and randomness; for tests. */
  readonly environment?: Environment
  /**
   * Variables that override options: `TIDEMARK_BROKERS__DEFAULT` (a URL), `TIDEMARK_BROKERS__DEFAULT__CLIENT_ID` (an
   * option of it), `TIDEMARK_TOPICS__TOTALS__BROKER`, `TIDEMARK_STORE`, `TIDEMARK_RUN__COMMIT_INTERVAL`. Default:
   * `process.env`.
   */
  readonly variables?: Variables
}

/**
 * Opens a client on the named brokers. Errors: `bad-config` (what is wrong, and where), `peer-missing` (what to install),
 * `connection`.
 *
 * @example
 * await using client = await connect({ brokers: { default: process.env.BROKER ?? 'file:./data' } })
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const known = ['brokers', 'topics', 'store', 'registry', 'tracing', 'environment', 'variables']
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw new StreamError('bad-config', `connect: unknown option '${name}'; known are ${known.join(', ')}`)
  const { environment = systemEnvironment, variables = process.env, registry, tracing } = options
  const brokers = new Map<string, AnyAdapter>()
  try {
    for (const [name, config] of Object.entries(options.brokers ?? {})) {
      const adapter = await openAdapter(name, config, variables)
      brokers.set(name, adapter)
      await adapter.open(environment)
    }
  } catch (error) {
    await Promise.all([...brokers.values()].map(adapter => adapter.close().catch(() => {})))
    throw asStreamError(error, 'connection', 'connect')
  }
  if (!brokers.has('default') && brokers.size === 0)
    throw new StreamError('bad-config', "connect: name at least one broker: { brokers: { default: 'file:./data' } }")
  const named = topicBrokers(options.topics ?? {}, brokers, variables)
  const store = variables['TIDEMARK_STORE'] ?? options.store
  const topics = (topic: string): string => named(topic, 'default')!
  const parts: ClientParts = {
    environment,
    brokers,
    topics,
    vitals: named(vitalsTopic),
    store,
    registry,
    variables,
    tracing
  }
  return new Client(parts)
}

function topicBrokers(
  given: NonNullable<ConnectOptions['topics']>,
  brokers: ReadonlyMap<string, AnyAdapter>,
  variables: Variables
): (topic: string, otherwise?: string) => string | undefined {
  const check = (topic: string, broker: string): string => {
    if (brokers.has(broker)) return broker
    throw new StreamError(
      'bad-config',
      `topic '${topic}' is to be on broker '${broker}', which is not one of ${[...brokers.keys()].join(', ')}`
    )
  }
  for (const [topic, { broker }] of Object.entries(given)) check(topic, broker)
  return (topic, otherwise) => {
    const broker = variables[`TIDEMARK_TOPICS__${upperSnake(topic)}__BROKER`] ?? given[topic]?.broker ?? otherwise
    return broker === undefined ? undefined : check(topic, broker)
  }
}

import { Client, type ClientParts } from './client.ts'
import { systemEnvironment, type Environment } from './core/environment.ts'
import { asStreamError, StreamError } from './core/errors.ts'
import { upperSnake, type Variables } from './core/options.ts'
import { nearest, Problems } from './core/problems.ts'
import type { SchemaRegistry } from './core/registry.ts'
import type { Tracing } from './core/tracing.ts'
import { openAdapter, type BrokerConfig } from './open-adapter.ts'
import { assertStore, runSettings, vitalsTopic, type ClientStore } from './pipeline/index.ts'
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
 * Opens a client on the named brokers. Everything is checked before anything is opened. Errors: `bad-config` (all that is wrong,
 * and where), `peer-missing` (what to install),
 * `connection`.
 *
 * @example
 * await using client = await connect({ brokers: { default: process.env.BROKER ?? 'file:./data' } })
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const parts = await readConfiguration(options)
  const opened: AnyAdapter[] = []
  try {
    for (const adapter of parts.brokers.values()) {
      opened.push(adapter)
      await adapter.open(parts.environment)
    }
  } catch (error) {
    await Promise.all(opened.map(adapter => adapter.close().catch(() => {})))
    throw asStreamError(error, 'connection', 'connect')
  }
  return new Client(parts)
}

/** Everything checked, and nothing open yet. Errors: `bad-config`, `peer-missing`. */
export async function readConfiguration(options: ConnectOptions): Promise<ClientParts> {
  const known = ['brokers', 'topics', 'store', 'registry', 'tracing', 'environment', 'variables']
  const problems = new Problems('connect')
  for (const name of Object.keys(options))
    if (!known.includes(name))
      problems.add(`connect: unknown option '${name}'; known are ${known.join(', ')}${nearest(name, known)}`)
  const { environment = systemEnvironment, variables = process.env, registry, tracing } = options
  const brokers = new Map<string, AnyAdapter>()
  const named = objectOf('brokers', options.brokers, problems)
  const names = Object.keys(named ?? {})
  if (named && names.length === 0)
    problems.add("connect: name at least one broker: { brokers: { default: 'file:./data' } }")
  for (const [name, config] of Object.entries(named ?? {}))
    await openAdapter(name, config, variables).then(
      adapter => brokers.set(name, adapter),
      error => problems.take(error)
    )
  const carrier = topicBrokers(objectOf('topics', options.topics, problems) ?? {}, names, variables, problems)
  const store = variables['TIDEMARK_STORE'] ?? options.store
  problems.collect(() => assertStore(store))
  problems.collect(() => runSettings({}, variables))
  problems.assertNone()
  const topics = (topic: string): string => carrier(topic, 'default')!
  return { environment, brokers, topics, vitals: carrier(vitalsTopic), store, registry, variables, tracing }
}

/** `undefined` when it is no object; an empty one when it is left out. */
function objectOf<Part extends object>(name: string, given: Part | undefined, problems: Problems): Part | undefined {
  if (given === undefined) return {} as Part
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given
  problems.add(`connect: option '${name}' must be an object, with a name for each`)
  return undefined
}

function topicBrokers(
  given: NonNullable<ConnectOptions['topics']>,
  brokers: readonly string[],
  variables: Variables,
  problems: Problems
): (topic: string, otherwise?: string) => string | undefined {
  const check = (topic: string, broker: string): string => {
    if (brokers.includes(broker)) return broker
    throw new StreamError(
      'bad-config',
      `topic '${topic}' is to be on broker '${broker}', which is not one of ${brokers.join(', ')}${nearest(broker, brokers)}`
    )
  }
  const namedFor = (topic: string): string | undefined =>
    variables[`TIDEMARK_TOPICS__${upperSnake(topic)}__BROKER`] ?? given[topic]?.broker
  for (const [topic, where] of Object.entries(given)) {
    const path = `topic '${topic}'`
    if (typeof where !== 'object' || where === null || Array.isArray(where)) {
      problems.add(`${path}: must be an object: { broker: '${brokers[0] ?? 'default'}' }`)
      continue
    }
    for (const name of Object.keys(where))
      if (name !== 'broker')
        problems.add(`${path}: unknown option '${name}'; known is broker (partitions and the rest are in \`topic()\`)`)
    const broker = namedFor(topic)
    if (typeof broker === 'string') problems.collect(() => check(topic, broker))
    else if (broker !== undefined) problems.add(`${path}: option 'broker' must be the name of one of the brokers`)
  }
  return (topic, otherwise) => {
    const broker = namedFor(topic) ?? otherwise
    return broker === undefined ? undefined : check(topic, broker)
  }
}

import { adapters, type AdapterOptions } from './adapters/index.ts'
import { Client, type ClientParts } from './client.ts'
import { systemEnvironment, type Environment } from './core/environment.ts'
import { asStreamError, StreamError } from './core/errors.ts'
import { readOptions, upperSnake, type Variables } from './core/options.ts'
import type { SchemaRegistry } from './core/registry.ts'
import { vitalsTopic, type ClientStore } from './pipeline/index.ts'
import type { AnyAdapter } from './spec/index.ts'

/** `{ adapter: 'kafka', brokers: ['localhost:9092'] }`: the options of one adapter, checked by its name. */
export type AdapterConfig = {
  [Name in keyof AdapterOptions]: { readonly adapter: Name } & AdapterOptions[Name]
}[keyof AdapterOptions]

/** A URL (`file:./data`, `kafka://localhost:9092`), the options of an adapter, or an adapter instance. */
export type BrokerConfig = string | AdapterConfig | AnyAdapter

export interface ConnectOptions {
  /** Named brokers; topics without a word of their own are on `default`. */
  readonly brokers: Readonly<Record<string, BrokerConfig>>
  /**
   * Which broker carries a topic, where it is not `default`: `{ totals: { broker: 'cloud' } }`. `tidemark.vitals`, which each
   * broker has for itself, is for all brokers on the one that is named here.
   */
  readonly topics?: Readonly<Record<string, { readonly broker: string }>>
  /**
   * Where tasks commit: `sqlite:<file>`, `postgres://user:password@host/database`, `broker` (transactions of the broker;
   * refused where it has none), or a store.
   * Default: the broker's own transactions where a stage stays on one cluster that has them, else a SQLite file beside the
   * data of the `file:` broker or in `./.tidemark/`.
   */
  readonly store?: string | ClientStore
  readonly registry?: SchemaRegistry
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
  const known = ['brokers', 'topics', 'store', 'registry', 'environment', 'variables']
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw new StreamError('bad-config', `connect: unknown option '${name}'; known are ${known.join(', ')}`)
  const { environment = systemEnvironment, variables = process.env, registry } = options
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
  const parts: ClientParts = { environment, brokers, topics, vitals: named(vitalsTopic), store, registry, variables }
  return new Client(parts)
}

async function openAdapter(name: string, given: BrokerConfig, variables: Variables): Promise<AnyAdapter> {
  const variable = `TIDEMARK_BROKERS__${upperSnake(name)}`
  const config = variables[variable] ?? given
  const where = `broker '${name}'`
  if (config === undefined || config === null)
    throw new StreamError(
      'bad-config',
      `${where} is ${String(config)}: give a URL such as 'file:./data', { adapter: 'kafka', ... }, or an adapter (is a variable not set?)`
    )
  if (isAdapter(config)) return config
  const url = typeof config === 'string' ? config : undefined
  const scheme = url === undefined ? (config as AdapterConfig).adapter : /^([a-z][a-z0-9+.-]*):/.exec(url)?.[1]
  const load = Object.hasOwn(adapters, scheme ?? '') ? adapters[scheme as keyof AdapterOptions] : undefined
  if (!load) {
    const schemes = Object.keys(adapters).join(', ')
    throw new StreamError(
      'bad-config',
      `${where}: '${scheme ?? withoutSecrets(url ?? '')}' is no adapter; known are ${schemes}. A broker is a URL such as 'file:./data', { adapter: 'kafka', ... }, or an adapter`
    )
  }
  const module = await load()
  const { adapter: _, ...own } =
    url === undefined ? (config as AdapterConfig) : { adapter: scheme, ...module.fromUrl(url) }
  const options = readOptions(where, module.options, own, variables, variable)
  return module.create(options as never)
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

function isAdapter(config: BrokerConfig): config is AnyAdapter {
  return typeof config === 'object' && 'specification' in config
}

/** What may be shown of a URL that somebody mistyped. */
function withoutSecrets(url: string): string {
  // Up to the last @: a password may hold any of / @ ?
  return url.replace(/\/\/.*@/, '//…@').replace(/\?.*$/, '?…')
}

import { adapters, type AdapterOptions } from './adapters/index.ts'
import { StreamError } from './core/errors.ts'
import { Problems } from './core/problems.ts'
import { readOptions, upperSnake, type Variables } from './core/options.ts'
import type { AnyAdapter } from './spec/index.ts'

/** `{ adapter: 'kafka', brokers: ['localhost:9092'] }`: the options of one adapter, checked by its name. */
export type AdapterConfig = {
  [Name in keyof AdapterOptions]: { readonly adapter: Name } & AdapterOptions[Name]
}[keyof AdapterOptions]

/** A URL (`file:./data`, `kafka://localhost:9092`), the options of an adapter, or an adapter instance. */
export type BrokerConfig = string | AdapterConfig | AnyAdapter

/**
 * Makes the adapter of a named broker; it is not open yet. `TIDEMARK_BROKERS__<NAME>` goes before what is given. Throws
 * `bad-config`, `peer-missing`.
 */
export async function openAdapter(name: string, given: BrokerConfig, variables: Variables): Promise<AnyAdapter> {
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
  const problems = new Problems('connect', where)
  const adapter = problems.collect(() => {
    const { adapter: _, ...own } =
      url === undefined ? (config as AdapterConfig) : { adapter: scheme, ...module.fromUrl(url) }
    const options = readOptions(where, module.options, own, variables, variable)
    return module.create(options as never)
  })
  problems.assertNone()
  return adapter!
}

function isAdapter(config: BrokerConfig): config is AnyAdapter {
  return typeof config === 'object' && 'specification' in config
}

/** What may be shown of a URL that somebody mistyped. */
function withoutSecrets(url: string): string {
  // Up to the last @: a password may hold any of / @ ?
  return url.replace(/\/\/.*@/, '//…@').replace(/\?.*$/, '?…')
}

import { StreamError } from '../../core/errors.ts'
import { type OptionSpec, type OptionTable, parseText, readOptions } from '../../core/options.ts'
import type { PulsarClient, PulsarModule, WebSocketClass } from './client.ts'

export interface PulsarOptions {
  /** The web address of a broker or proxy, for the admin API and for WebSockets: `http://localhost:8080`. */
  readonly webUrl?: string
  /** The binary address, for the native transport: `pulsar://localhost:6650`. */
  readonly serviceUrl?: string
  /** Default `public`. */
  readonly tenant?: string
  /** Default `default`. */
  readonly namespace?: string
  /** How messages travel. Default `auto`: native when `pulsar-client` loads and `serviceUrl` is given, else WebSocket. */
  readonly transport?: 'auto' | 'native' | 'websocket'
  /** A token, sent as a header. */
  readonly token?: string
  /** Options of `node:tls` for `https:` and `wss:`: `{ ca, cert, key, servername }`. */
  readonly tls?: Readonly<Record<string, unknown>>
  /**
   * The broker drops what a producer sends twice: the stamp's producer and sequence become Pulsar's. Topics are created
   * with it; a topic that has it off is refused. Default false: readers of tidemark drop repeats anyway.
   */
  readonly deduplication?: boolean
  /** Sends in flight for one partition. Default 1000. */
  readonly maxInFlight?: number
  /** Ms for an admin request and for opening a socket. Default 30 000. */
  readonly requestTimeout?: number
  /** Ms between two pings of an open socket. Default 30 000; Pulsar closes a socket that is silent for 300 000. */
  readonly pingInterval?: number
  /** An instance of pulsar-client's `Client` or its module, or the class `WebSocket` of `ws`. */
  readonly client?: PulsarClient | PulsarModule | WebSocketClass
}

/** The options as data: read from the environment, checked, and printed in the docs. */
export const pulsarOptions: OptionTable = {
  webUrl: { kind: 'string', doc: 'web address of a broker or proxy: http://localhost:8080' },
  serviceUrl: { kind: 'string', doc: 'binary address, for the native transport: pulsar://localhost:6650' },
  tenant: { kind: 'string', doc: 'default public' },
  namespace: { kind: 'string', doc: 'default default' },
  transport: {
    kind: 'string',
    doc: 'auto, native or websocket; default auto: native when pulsar-client loads and serviceUrl is given',
    values: ['auto', 'native', 'websocket']
  },
  token: { kind: 'string', doc: 'token of the role, sent as a header', secret: true },
  tls: { kind: 'any', doc: 'options of node:tls (ca, cert, key, servername)' },
  deduplication: { kind: 'boolean', doc: 'the broker drops what a producer sends twice; default false' },
  maxInFlight: { kind: 'number', doc: 'sends in flight for one partition; default 1000' },
  requestTimeout: { kind: 'number', doc: 'ms for an admin request and for opening a socket; default 30000' },
  pingInterval: { kind: 'number', doc: 'ms between two pings of an open socket; default 30000' },
  client: { kind: 'any', doc: "an instance of pulsar-client's Client or its module, or the class WebSocket of ws" }
}

/** The same with every default filled in. */
export interface ReadPulsarOptions extends Required<Omit<PulsarOptions, 'serviceUrl' | 'token' | 'tls' | 'client'>> {
  readonly serviceUrl: string | undefined
  readonly token: string | undefined
  readonly tls: Readonly<Record<string, unknown>>
  readonly client: PulsarClient | PulsarModule | WebSocketClass | undefined
}

/** Throws `bad-config`, naming the option and never a secret. */
export function readPulsarOptions(given: PulsarOptions): ReadPulsarOptions {
  const options = readOptions('pulsar', pulsarOptions, given) as unknown as PulsarOptions
  const { webUrl, serviceUrl, tenant = 'public', namespace = 'default', transport = 'auto' } = options
  if (webUrl === undefined) throw bad("option 'webUrl' is missing: http://localhost:8080")
  if (!/^https?:\/\/[^\s/?#@]+\/?$/.test(webUrl))
    throw bad(`option 'webUrl' is not like http://localhost:8080: '${masked(webUrl)}'`)
  if (serviceUrl !== undefined && !/^pulsar(\+ssl)?:\/\/[^\s/?#@]+\/?$/.test(serviceUrl))
    throw bad(`option 'serviceUrl' is not like pulsar://localhost:6650: '${masked(serviceUrl)}'`)
  for (const [name, value] of Object.entries({ tenant, namespace }))
    if (!/^[\w.=:-]+$/.test(value)) throw bad(`option '${name}' is no name for Pulsar: '${value}'`)
  for (const [name, value] of Object.entries(options))
    if (typeof value === 'number' && !(Number.isInteger(value) && value > 0))
      throw bad(`option '${name}' must be a whole number above 0, got ${value}`)
  const { tls = {} } = options
  if (typeof tls !== 'object' || tls === null) throw bad("option 'tls' must be an object: { ca: '-----BEGIN ...' }")
  return {
    webUrl: webUrl.replace(/\/$/, ''),
    serviceUrl: serviceUrl?.replace(/\/$/, ''),
    tenant,
    namespace,
    transport,
    token: options.token,
    tls,
    deduplication: options.deduplication ?? false,
    maxInFlight: options.maxInFlight ?? 1_000,
    requestTimeout: options.requestTimeout ?? 30_000,
    pingInterval: options.pingInterval ?? 30_000,
    client: options.client
  }
}

const form = 'pulsar://host:8080/tenant/namespace?deduplication=true'

/**
 * Options of `pulsar://host:8080/tenant/namespace?ssl=true&transport=websocket`: host and port are those of the **web**
 * service, 8080 when left out (8443 with `ssl=true`), tenant and namespace default to `public/default`. Throws
 * `bad-config` for an unknown parameter, and for a secret: those come as options or from the environment.
 */
export function fromUrl(url: URL | string): PulsarOptions {
  const parts = /^pulsar:\/\/([^/?#]*)(?:\/([^/?#]+)\/([^/?#]+))?\/?(?:\?([^#]*))?$/.exec(String(url))
  if (!parts || parts[1] === '') throw bad(`a URL looks like ${form}`)
  const [, authority, tenant, namespace, query] = parts as unknown as [string, string, string?, string?, string?]
  if (authority.includes('@')) throw bad(`a URL must not hold a user and a password: ${elsewhere}`)
  const options: Record<string, unknown> = { ...(tenant !== undefined && { tenant, namespace }) }
  let ssl = false
  for (const [name, value] of new URLSearchParams(query ?? '')) {
    if (name === 'ssl') ssl = parseText("pulsar: parameter 'ssl'", flag, value) as boolean
    else setOption(options, name, value)
  }
  const host = /:\d+$/.test(authority) ? authority : `${authority}:${ssl ? 8443 : 8080}`
  options['webUrl'] = `${ssl ? 'https' : 'http'}://${host}`
  readOptions('pulsar', pulsarOptions, options)
  return options as PulsarOptions
}

const elsewhere =
  "pass option 'token', or set the environment variable TIDEMARK_BROKERS__DEFAULT__TOKEN (DEFAULT being the broker's name)"
const flag: OptionSpec = { kind: 'boolean', doc: '' }
const notInUrl = ['webUrl', 'tenant', 'namespace', 'token', 'tls', 'client']

function setOption(into: Record<string, unknown>, name: string, value: string): void {
  if (name === 'token' || name === 'password')
    throw bad(`'${name}' is a secret and must not stand in a URL: ${elsewhere}`)
  const spec = Object.hasOwn(pulsarOptions, name) && !notInUrl.includes(name) ? pulsarOptions[name] : undefined
  if (!spec) {
    const known = ['ssl', ...Object.keys(pulsarOptions).filter(each => !notInUrl.includes(each))]
    throw bad(`unknown parameter '${name}' in the URL; known are ${known.join(', ')}`)
  }
  into[name] = parseText(`pulsar: parameter '${name}'`, spec, value)
}

function masked(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//…@').replace(/\?.*$/, '?…')
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `pulsar: ${message}`, { adapter: 'pulsar' })
}

import { StreamError } from '../../core/errors.ts'
import { type OptionTable, parseText, readOptions } from '../../core/options.ts'
import { defaultMaxMessageSize } from './capabilities.ts'
import type { CheckpointOptions } from './checkpoints.ts'
import type { EventhubsModule, TokenCredential } from './client.ts'

export interface EventhubsOptions {
  /** Of the namespace, as the portal shows it; one with `EntityPath` is good for that hub alone. */
  readonly connectionString?: string
  /** The namespace: `orders.servicebus.windows.net`. */
  readonly host?: string
  /**
   * With `host`: a `TokenCredential`, such as `DefaultAzureCredential` of `@azure/identity`; or `{ name, key }` or
   * `{ signature }` of a shared access policy.
   */
  readonly credential?:
    | TokenCredential
    | { readonly name: string; readonly key: string }
    | { readonly signature: string }
  /** With `host`: a shared access policy and its key. */
  readonly sharedAccessKeyName?: string
  readonly sharedAccessKey?: string
  /** With `host`: `SharedAccessSignature sr=...&sig=...&se=...&skn=...`. */
  readonly sharedAccessSignature?: string
  /** With `host`: no TLS, and the key of Microsoft's emulator unless another is given. Default false. */
  readonly emulator?: boolean
  /**
   * Where hubs are created: the resource id of the namespace (`/subscriptions/.../namespaces/orders`), for Azure's management
   * API and a `credential` with tokens; or a whole URL. Without it topics must exist.
   */
  readonly management?: string
  /**
   * Consumer groups of readers that own nothing: replay, vitals, and groups without owner levels. Each takes five such readers
   * of a partition; when one is full, the next is taken. Default `$Default`.
   */
  readonly consumerGroups?: readonly string[]
  /**
   * A tidemark group reads by a consumer group of its own name, and a lease's epoch is the owner level: the service itself
   * disconnects a reader whose partition has gone to another. The consumer groups must exist, or `management` is given.
   * Default: whether `management` is given.
   */
  readonly ownerLevels?: boolean
  /** Where consumers of Azure's own libraries have left their checkpoints: a group without a position starts behind them. */
  readonly checkpoints?: CheckpointOptions
  /** Largest publication, bytes. Default 1 MiB; 262144 in the Basic tier. */
  readonly maxMessageSize?: number
  /** Ms for one request, a new connection included. Default 15 000. */
  readonly requestTimeout?: number
  /** Passed on to the client: another address than the namespace's, such as that of a private link. */
  readonly customEndpointAddress?: string
  /** Passed on to the client: `{ webSocket, webSocketConstructorOptions }`, for AMQP over WebSockets. */
  readonly webSocketOptions?: Readonly<Record<string, unknown>>
  /** The module `@azure/event-hubs`. */
  readonly client?: EventhubsModule
}

/** The options as data: read from the environment, checked, and printed in the docs. */
export const eventhubsOptions: OptionTable = {
  connectionString: { kind: 'string', doc: 'of the namespace, as the portal shows it', secret: true },
  host: { kind: 'string', doc: 'the namespace: orders.servicebus.windows.net' },
  credential: { kind: 'any', doc: 'with host: a TokenCredential, { name, key } or { signature }', secret: true },
  sharedAccessKeyName: { kind: 'string', doc: 'with host: the name of a shared access policy' },
  sharedAccessKey: { kind: 'string', doc: 'with host: its key', secret: true },
  sharedAccessSignature: { kind: 'string', doc: 'with host: a signature that was made elsewhere', secret: true },
  emulator: { kind: 'boolean', doc: "with host: no TLS, and the key of Microsoft's emulator; default false" },
  management: { kind: 'string', doc: 'resource id of the namespace, or a URL: where hubs are created' },
  consumerGroups: { kind: 'strings', doc: 'of readers that own nothing; default $Default' },
  ownerLevels: { kind: 'boolean', doc: 'the epoch of a lease is an owner level; default whether management is given' },
  checkpoints: {
    kind: 'object',
    doc: "where consumers of Azure's own libraries have left their checkpoints",
    inside: {
      container: { kind: 'string', doc: 'name of the blob container' },
      connectionString: { kind: 'string', doc: 'of the storage account', secret: true },
      url: { kind: 'string', doc: 'of the container, with a signature or with a credential', secret: true },
      credential: { kind: 'any', doc: 'with url: a TokenCredential; default that of the broker', secret: true },
      consumerGroup: { kind: 'string', doc: 'whose checkpoints; default $Default' },
      namespace: { kind: 'string', doc: 'as the checkpoints name it; default the host' },
      client: { kind: 'any', doc: 'a ContainerClient of @azure/storage-blob' }
    }
  },
  maxMessageSize: { kind: 'number', doc: 'largest publication, bytes; default 1048576' },
  requestTimeout: { kind: 'number', doc: 'ms for one request, a new connection included; default 15000' },
  customEndpointAddress: { kind: 'string', doc: 'passed on to the client' },
  webSocketOptions: { kind: 'any', doc: 'passed on to the client: { webSocket, webSocketConstructorOptions }' },
  client: { kind: 'any', doc: 'the module @azure/event-hubs' }
}

/** The same, checked and with every default filled in. */
export interface ReadEventhubsOptions {
  readonly host: string
  /** What the constructors of the clients take, for a hub. */
  argumentsFor(hub: string): readonly unknown[]
  /** For Azure's other services, where the credential is one with tokens. */
  readonly tokens: TokenCredential | undefined
  readonly management: string | undefined
  readonly consumerGroups: readonly string[]
  readonly ownerLevels: boolean
  readonly checkpoints: CheckpointOptions | undefined
  readonly maxMessageSize: number
  readonly requestTimeout: number
  readonly clientOptions: Readonly<Record<string, unknown>>
  readonly client: EventhubsModule | undefined
}

/** The shared access policy of Microsoft's emulator, which is no secret. */
const emulatorPolicy = { name: 'RootManageSharedAccessKey', key: 'SAS_KEY_VALUE' }
const azure = 'https://management.azure.com'

/** Throws `bad-config`, naming the option and never a secret. */
export function readEventhubsOptions(given: EventhubsOptions): ReadEventhubsOptions {
  const options = readOptions('eventhubs', eventhubsOptions, given) as unknown as EventhubsOptions
  for (const [name, value] of Object.entries(options))
    if (typeof value === 'number' && !(Number.isInteger(value) && value > 0))
      throw bad(`option '${name}' must be a whole number above 0, got ${value}`)
  const { management, consumerGroups = ['$Default'], webSocketOptions, customEndpointAddress } = options
  if (consumerGroups.length === 0) throw bad("option 'consumerGroups' must name at least one")
  const tokens = tokensOf(options.credential)
  const address = management?.startsWith('/') ? `${azure}${management}` : management
  if (address?.includes('@')) throw bad("option 'management' must not hold a user and a password")
  if (address !== undefined && !/^https?:\/\/[^/]+\/subscriptions\/[^?#]+\/namespaces\/[^/?#]+\/?$/i.test(address))
    throw bad(
      `option 'management' is not like /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.EventHub/namespaces/NAME: '${management}'`
    )
  // A token is shown to it, and it says what hubs there are.
  if (address?.startsWith('http:') && !/^http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])[:/]/i.test(address))
    throw bad("option 'management' must be https: on another machine than this one")
  if (address?.startsWith('https:') && !tokens)
    throw bad(
      "option 'management' needs the option 'credential' with a TokenCredential, such as DefaultAzureCredential"
    )
  const requestTimeout = options.requestTimeout ?? 15_000
  const connection = readConnection(options)
  return {
    ...connection,
    tokens,
    management: address?.replace(/\/$/, ''),
    consumerGroups,
    ownerLevels: options.ownerLevels ?? address !== undefined,
    checkpoints: options.checkpoints,
    maxMessageSize: options.maxMessageSize ?? defaultMaxMessageSize,
    requestTimeout,
    clientOptions: {
      // The front retries.
      retryOptions: { maxRetries: 0, timeoutInMs: requestTimeout },
      ...(webSocketOptions !== undefined && { webSocketOptions }),
      ...(customEndpointAddress !== undefined && { customEndpointAddress })
    },
    client: options.client
  }
}

function readConnection(options: EventhubsOptions): Pick<ReadEventhubsOptions, 'host' | 'argumentsFor'> {
  const { connectionString, host, credential, emulator } = options
  const { sharedAccessKeyName: name, sharedAccessKey: key, sharedAccessSignature: signature } = options
  if (connectionString !== undefined) {
    const endpoint = /(?:^|;)\s*Endpoint=sb:\/\/([^/;]+)/i.exec(connectionString)?.[1]
    const only = /(?:^|;)\s*EntityPath=([^;]+)/i.exec(connectionString)?.[1]
    if (endpoint === undefined) throw bad("option 'connectionString' has no Endpoint=sb://...")
    // A URL names the host, and the environment has the secret.
    if (host !== undefined && host.toLowerCase() !== endpoint.toLowerCase())
      throw bad(`option 'host' says '${host}', and option 'connectionString' '${endpoint}': make them agree`)
    return {
      host: endpoint,
      argumentsFor(hub) {
        if (only !== undefined && only !== hub)
          throw bad(`the connection string is good for the hub '${only}' alone, not for '${hub}'`)
        return [connectionString, hub]
      }
    }
  }
  if (host === undefined) throw bad("option 'connectionString' or 'host' is missing: orders.servicebus.windows.net")
  if (!/^[\w.-]+(:\d{1,5})?$/.test(host))
    throw bad(`option 'host' is not like orders.servicebus.windows.net: '${host}'`)
  if ((name === undefined) !== (key === undefined))
    throw bad("'sharedAccessKeyName' and 'sharedAccessKey' belong together")
  if (emulator) {
    const given = credential && 'name' in credential ? credential : emulatorPolicy
    const policy = name === undefined ? given : { name, key }
    const text = `Endpoint=sb://${host};SharedAccessKeyName=${policy.name};SharedAccessKey=${policy.key};UseDevelopmentEmulator=true`
    return { host, argumentsFor: hub => [text, hub] }
  }
  const proof = credential ?? (name === undefined ? signature && { signature } : { name, key })
  if (!proof)
    throw bad(
      "a credential is missing: option 'credential' (DefaultAzureCredential of @azure/identity), 'sharedAccessKeyName' and 'sharedAccessKey', or 'connectionString'"
    )
  return { host, argumentsFor: hub => [host, hub, proof] }
}

function tokensOf(credential: EventhubsOptions['credential']): TokenCredential | undefined {
  if (credential === undefined || credential === null) return undefined
  if (typeof credential === 'object' && 'getToken' in credential && typeof credential.getToken === 'function')
    return credential
  if (typeof credential === 'object' && (('name' in credential && 'key' in credential) || 'signature' in credential))
    return undefined
  throw bad("option 'credential' must have getToken(), or be { name, key } or { signature }")
}

const form = 'eventhubs://orders.servicebus.windows.net?consumerGroups=readers'
const elsewhere =
  "pass it as an option, or set an environment variable such as TIDEMARK_BROKERS__DEFAULT__CONNECTION_STRING (DEFAULT being the broker's name)"
const secrets = ['connectionString', 'sharedAccessKey', 'sharedAccessSignature', 'password']
const notInUrl = [...secrets, 'host', 'credential', 'checkpoints', 'webSocketOptions', 'client']

/** Options of `eventhubs://namespace?option=value`. Throws `bad-config` for an unknown parameter and for a secret. */
export function fromUrl(url: URL | string): EventhubsOptions {
  const parts = /^eventhubs:\/\/([^/?#]+)\/?(?:\?([^#]*))?$/.exec(String(url))
  if (!parts) throw bad(`a URL looks like ${form}`)
  const [, host, query] = parts as unknown as [string, string, string?]
  if (host.includes('@')) throw bad(`a URL must not hold a user and a password: ${elsewhere}`)
  const options: Record<string, unknown> = { host }
  for (const [name, value] of new URLSearchParams(query ?? '')) {
    if (secrets.includes(name)) throw bad(`'${name}' is a secret and must not stand in a URL: ${elsewhere}`)
    const spec = Object.hasOwn(eventhubsOptions, name) && !notInUrl.includes(name) ? eventhubsOptions[name] : undefined
    if (!spec) {
      const known = Object.keys(eventhubsOptions).filter(each => !notInUrl.includes(each))
      throw bad(`unknown parameter '${name}' in the URL; known are ${known.join(', ')}`)
    }
    options[name] = parseText(`eventhubs: parameter '${name}'`, spec, value)
  }
  readOptions('eventhubs', eventhubsOptions, options)
  return options as EventhubsOptions
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `eventhubs: ${message}`, { adapter: 'eventhubs' })
}

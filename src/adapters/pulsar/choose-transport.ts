import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { loadPeer } from '../shared/load-peer.ts'
import type { PulsarClient, PulsarModule, WebSocketClass } from './client.ts'
import { NativeTransport } from './native.ts'
import type { ReadPulsarOptions } from './options.ts'
import type { Transport } from './transport.ts'
import { WebSocketTransport } from './websocket.ts'

export interface Chosen {
  readonly transport: Transport
  readonly native: PulsarClient | undefined
  /** Closes a client that was made here, not one that was handed in. */
  readonly closeClient: () => Promise<void>
}

/** What the option `transport` asks for. Rejects with `peer-missing` when its package does not load, `bad-config`. */
export async function chooseTransport(options: ReadPulsarOptions, environment: Environment): Promise<Chosen> {
  const { client, transport, serviceUrl } = options
  if (client && 'createReader' in client) return native(options, environment, client, client.MessageId)
  if (client && 'Client' in client) return ownNative(options, environment, client)
  if (transport === 'native') return ownNative(options, environment, await loadNative())
  if (transport === 'auto' && client === undefined && serviceUrl !== undefined) {
    const module = await loadNative().catch(() => undefined)
    if (module) return ownNative(options, environment, module)
  }
  const webSocket =
    client ??
    (await loadPeer<WebSocketClass>(
      { adapter: 'pulsar', name: 'ws', option: 'client' },
      () => import('ws') as Promise<unknown>
    ))
  return {
    transport: new WebSocketTransport({ ...options, webSocket: webSocket as WebSocketClass, environment }),
    native: undefined,
    closeClient: async () => {}
  }
}

// The name is not a literal: the package is not there at build time, and mostly not at run time.
const nativePackage = 'pulsar-client'

function loadNative(): Promise<PulsarModule> {
  return loadPeer<PulsarModule>(
    { adapter: 'pulsar', name: nativePackage, option: 'client' },
    () => import(nativePackage) as Promise<unknown>
  )
}

function ownNative(options: ReadPulsarOptions, environment: Environment, module: PulsarModule): Chosen {
  const { serviceUrl, token, requestTimeout, tls } = options
  if (serviceUrl === undefined) throw bad("the native transport needs the option 'serviceUrl': pulsar://localhost:6650")
  const trusted = tls['caPath']
  const client = new module.Client({
    serviceUrl,
    operationTimeoutSeconds: Math.max(1, Math.round(requestTimeout / 1_000)),
    ...(token !== undefined && { authentication: new module.AuthenticationToken({ token }) }),
    ...(typeof trusted === 'string' && { tlsTrustCertsFilePath: trusted })
  })
  return {
    ...native(options, environment, client, module.MessageId),
    closeClient: async () => void (await client.close())
  }
}

function native(
  options: ReadPulsarOptions,
  environment: Environment,
  client: PulsarClient,
  messageIds: PulsarClient['MessageId']
): Chosen {
  if (!messageIds)
    throw bad(
      "a client of pulsar-client that is handed in needs its 'MessageId' beside it: Object.assign(client, { MessageId })"
    )
  const { requestTimeout } = options
  return {
    transport: new NativeTransport({ client, messageIds, environment, requestTimeout }),
    native: client,
    closeClient: async () => {}
  }
}

function bad(message: string): StreamError {
  return new StreamError('bad-config', `pulsar: ${message}`, { adapter: 'pulsar' })
}

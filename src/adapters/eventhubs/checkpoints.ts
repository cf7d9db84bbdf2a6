import { messageOf, StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import { loadPeer } from '../shared/load-peer.ts'
import type { TokenCredential } from './client.ts'
import { classify, type Classified } from './errors.ts'
import { positionOf } from './positions.ts'

/** Where consumers of Azure's own libraries have left their checkpoints: a container of Azure Blob Storage. */
export interface CheckpointOptions {
  /** Its name, with `connectionString`. */
  readonly container?: string
  /** Of the storage account. */
  readonly connectionString?: string
  /** Of the container: with a signature, or with a credential. */
  readonly url?: string
  /** With `url`. Default: the credential of the broker. */
  readonly credential?: TokenCredential
  /** Whose checkpoints. Default `$Default`. */
  readonly consumerGroup?: string
  /** The namespace as the checkpoints name it. Default: the host of the broker, without a port. */
  readonly namespace?: string
  /** A `ContainerClient` of `@azure/storage-blob`. */
  readonly client?: ContainerClient
}

/** The part of a `ContainerClient` of `@azure/storage-blob` 12 that is used. */
export interface ContainerClient {
  listBlobsFlat(options: { readonly prefix: string; readonly includeMetadata: true }): AsyncIterable<{
    readonly name: string
    readonly metadata?: Readonly<Record<string, string>>
  }>
}

interface StorageModule {
  readonly ContainerClient: new (...parts: any[]) => ContainerClient
}

/**
 * Reads the checkpoints of the libraries for .NET, Java, JavaScript, Python and Go: a blob
 * `<namespace>/<hub>/<consumer group>/checkpoint/<partition>` in lower case each, with the sequence number last processed in
 * its metadata. They are only read.
 */
export class Checkpoints {
  readonly #options: CheckpointOptions
  readonly #namespace: string
  readonly #tokens: TokenCredential | undefined
  #client: Promise<ContainerClient> | undefined

  constructor(options: CheckpointOptions, host: string, tokens: TokenCredential | undefined) {
    this.#options = options
    this.#namespace = options.namespace ?? host.replace(/:\d+$/, '')
    this.#tokens = tokens
  }

  /** By partition, `undefined` where there is none. */
  async positions(hub: string, partitions: number): Promise<(Position | undefined)[]> {
    const client = await (this.#client ??= this.#open())
    const { consumerGroup = '$Default' } = this.#options
    const prefix = `${this.#namespace}/${hub}/${consumerGroup}/checkpoint/`.toLowerCase()
    const positions = new Array<Position | undefined>(partitions).fill(undefined)
    for await (const { name, metadata = {} } of listed(client, prefix)) {
      const id = name.slice(prefix.length)
      if (!/^\d{1,9}$/.test(id) || Number(id) >= partitions) continue
      const fields = new Map(Object.entries(metadata).map(([field, value]) => [field.toLowerCase(), value]))
      const sequence = fields.get('sequencenumber') ?? ''
      // An offset alone is no position: it is an opaque text, and begins anew after a fail-over.
      if (!/^-?\d+$/.test(sequence))
        throw new StreamError(
          'corrupt',
          `the checkpoint '${name}' has no sequence number: let its consumer write it again, or remove it to start without it`,
          { adapter: 'eventhubs' }
        )
      if (Number(sequence) >= 0) positions[Number(id)] = positionOf(Number(sequence))
    }
    return positions
  }

  async #open(): Promise<ContainerClient> {
    const { client, container, connectionString, url, credential = this.#tokens } = this.#options
    if (client) return client
    if (url === undefined && (container === undefined || connectionString === undefined))
      throw new StreamError(
        'bad-config',
        "eventhubs: option 'checkpoints' needs 'container' and 'connectionString', or 'url', or 'client'",
        { adapter: 'eventhubs' }
      )
    const { ContainerClient } = await loadPeer<StorageModule>(
      { adapter: 'eventhubs', name: '@azure/storage-blob', option: 'checkpoints.client' },
      () => import('@azure/storage-blob')
    )
    return url === undefined
      ? new ContainerClient(connectionString, container)
      : new ContainerClient(url, ...(credential ? [credential] : []))
  }
}

interface Blob {
  readonly name: string
  readonly metadata?: Readonly<Record<string, string>>
}

/** What goes wrong is said in our words: the storage account is another service than the hub. */
async function* listed(client: ContainerClient, prefix: string): AsyncGenerator<Blob> {
  try {
    yield* client.listBlobsFlat({ prefix, includeMetadata: true })
  } catch (error) {
    const { code, retryable } = codeOf(error)
    throw new StreamError(code, `the checkpoints '${prefix}' cannot be read: ${messageOf(error)}`, {
      adapter: 'eventhubs',
      retryable,
      cause: error
    })
  }
}

/** Errors of `@azure/storage-blob` carry the status of the answer. */
function codeOf(error: unknown): Classified {
  const { statusCode: status } = (error ?? {}) as { statusCode?: unknown }
  if (typeof status !== 'number') return classify(error)
  if (status === 401 || status === 403) return { code: 'unauthorized', retryable: false }
  if (status === 429 || status === 503) return { code: 'throttled', retryable: true }
  return status >= 500 ? { code: 'connection', retryable: true } : { code: 'bad-config', retryable: false }
}

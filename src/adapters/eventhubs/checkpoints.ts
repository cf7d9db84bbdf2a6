import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import { loadPeer } from '../shared/load-peer.ts'
import type { TokenCredential } from './client.ts'
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
    for await (const { name, metadata = {} } of client.listBlobsFlat({ prefix, includeMetadata: true })) {
      const partition = Number(name.slice(prefix.length))
      if (!(partition >= 0 && partition < partitions)) continue
      const fields = new Map(Object.entries(metadata).map(([field, value]) => [field.toLowerCase(), value]))
      const sequence = fields.get('sequencenumber') ?? ''
      // An offset alone is no position: it is an opaque text, and begins anew after a fail-over.
      if (!/^-?\d+$/.test(sequence))
        throw new StreamError(
          'corrupt',
          `the checkpoint '${name}' has no sequence number: let its consumer write it again, or remove it to start without it`,
          { adapter: 'eventhubs' }
        )
      if (Number(sequence) >= 0) positions[partition] = positionOf(Number(sequence))
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

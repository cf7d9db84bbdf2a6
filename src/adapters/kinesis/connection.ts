import { abortedError, type Environment } from '../../core/environment.ts'
import { loadPeer } from '../shared/load-peer.ts'
import type { HttpHandlerModule, KinesisClient, KinesisModule, RequestName } from './client.ts'
import { explained, kinesisError } from './errors.ts'
import type { ReadKinesisOptions } from './options.ts'

/** The AWS client of one adapter: each call is one request, never retried here. */
export class Connection {
  readonly native: KinesisClient
  readonly environment: Environment
  /** Whose limits it shares: equal for all connections of a process to one account's streams, as far as one can tell. */
  readonly place: string
  readonly #module: KinesisModule
  readonly #timeout: number
  readonly #ownsNative: boolean

  private constructor(
    module: KinesisModule,
    native: KinesisClient,
    ownsNative: boolean,
    place: string,
    environment: Environment,
    timeout: number
  ) {
    this.#module = module
    this.native = native
    this.#ownsNative = ownsNative
    this.place = place
    this.environment = environment
    this.#timeout = timeout
  }

  /** Loads the packages. Rejects with `peer-missing`; opens no socket. */
  static async open(options: ReadKinesisOptions, environment: Environment): Promise<Connection> {
    const peer = { adapter: 'kinesis', name: '@aws-sdk/client-kinesis', option: 'client' }
    const module = await loadPeer<KinesisModule>(peer, () => import('@aws-sdk/client-kinesis'))
    const { client: given, region, endpoint, requestTimeout } = options
    const native = given ?? new module.KinesisClient(await clientConfig(options))
    const place = `${endpoint ?? 'aws'} ${region ?? ''}`
    return new Connection(module, native, given === undefined, place, environment, requestTimeout)
  }

  /**
   * One request. Rejects with what the client threw, with `timeout` when it took too long, with `aborted` by the signal.
   * What was asked of the service cannot be taken back: it may take effect all the same.
   */
  async request(name: RequestName, input: object, signal?: AbortSignal): Promise<any> {
    if (signal?.aborted) throw abortedError(signal)
    const abort = new AbortController()
    const late = kinesisError('timeout', `${name} took longer than ${this.#timeout} ms`, true)
    const timer = this.environment.timer(this.#timeout, () => abort.abort(late), true)
    const onAbort = (): void => abort.abort(abortedError(signal))
    signal?.addEventListener('abort', onAbort, { once: true })
    const ended = Promise.withResolvers<never>()
    abort.signal.addEventListener('abort', () => ended.reject(abort.signal.reason), { once: true })
    ended.promise.catch(() => {})
    try {
      return await Promise.race([this.send(name, input, abort.signal), ended.promise])
    } catch (error) {
      throw explained(error, name)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** A request without an end of its own, such as a subscription. */
  send(name: RequestName, input: object, signal: AbortSignal): Promise<any> {
    const command = new this.#module[`${name}Command`](input as never)
    return this.native.send(command, { abortSignal: signal })
  }

  async close(): Promise<void> {
    if (this.#ownsNative) this.native.destroy()
  }
}

async function clientConfig(options: ReadKinesisOptions): Promise<Record<string, unknown>> {
  const { region, endpoint, credentials, requestHandler } = options
  const local = endpoint?.startsWith('http:') === true
  return {
    ...(region !== undefined ? { region } : local && { region: 'us-east-1' }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined ? { credentials } : local && { credentials: standIn }),
    ...(requestHandler !== undefined ? { requestHandler } : local && { requestHandler: await plainHandler() }),
    // The retries are the front's, with the order of a partition in mind.
    maxAttempts: 1
  }
}

const standIn = { accessKeyId: 'local', secretAccessKey: 'local' }

/** The client's own handler speaks HTTP/2, which servers without TLS do not understand. */
async function plainHandler(): Promise<unknown> {
  const peer = { adapter: 'kinesis', name: '@smithy/node-http-handler', option: 'requestHandler' }
  const { NodeHttpHandler } = await loadPeer<HttpHandlerModule>(peer, () => import('@smithy/node-http-handler'))
  return new NodeHttpHandler({ httpAgent: { maxSockets: 100, keepAlive: true } })
}

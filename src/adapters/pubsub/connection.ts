import { readFile } from 'node:fs/promises'
import { abortedError, type Environment, unlessAborted } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { loadPeer } from '../shared/load-peer.ts'
import type {
  Call,
  PublisherApi,
  PubsubClient,
  PubsubModule,
  PullingStream,
  SubscriberApi,
  SubscriberStub
} from './client.ts'
import { pubsubError } from './errors.ts'
import type { ReadPubsubOptions } from './options.ts'

/** Google's front ends take 100 calls at a time on one connection; a streaming pull is a call that does not end. */
const streamsPerConnection = 80

/** Life of a streaming pull, ms; the service ends it after half an hour at the latest. */
const streamLife = 1_800_000

interface PullingConnection {
  readonly api: SubscriberApi
  readonly stub: Promise<SubscriberStub>
  streams: number
}

/** The generated clients of one adapter: each method is one request, never retried here. */
export class Connection {
  readonly project: string
  readonly native: PubsubClient
  readonly environment: Environment
  readonly #module: PubsubModule
  readonly #config: object
  readonly #timeout: number
  readonly #ownsNative: boolean
  #publisher: Promise<PublisherApi> | undefined
  #subscriber: Promise<SubscriberApi> | undefined
  #pulling: PullingConnection[] = []

  private constructor(
    module: PubsubModule,
    native: PubsubClient,
    ownsNative: boolean,
    project: string,
    config: object,
    environment: Environment,
    timeout: number
  ) {
    this.#module = module
    this.native = native
    this.#ownsNative = ownsNative
    this.project = project
    this.#config = config
    this.environment = environment
    this.#timeout = timeout
  }

  /** Loads the package, finds out the project; opens no connection. */
  static async open(options: ReadPubsubOptions, environment: Environment): Promise<Connection> {
    const { client, keyFile } = options
    if (keyFile !== undefined) await checkKeyFile(keyFile)
    const peer = { adapter: 'pubsub', name: '@google-cloud/pubsub', option: 'client' }
    const given = client !== undefined && 'getClientConfig' in client ? client : undefined
    const module =
      client !== undefined && 'v1' in client
        ? (client as PubsubModule)
        : await loadPeer<PubsubModule>(peer, () => import('@google-cloud/pubsub'))
    const native = given ?? new module.PubSub(clientOptions(options))
    const config = await native.getClientConfig().catch((error: unknown) => {
      throw pubsubError(error, 'pubsub: finding the project and its credentials')
    })
    const project = String(config.projectId ?? options.projectId ?? '')
    if (project === '')
      throw new StreamError('bad-config', "pubsub: no project is known: pass option 'projectId'", { adapter: 'pubsub' })
    return new Connection(module, native, given === undefined, project, config, environment, options.requestTimeout)
  }

  /** One request to the publisher service. Rejects with what the client threw. */
  async publisher<Request>(
    method: (api: PublisherApi) => Call<Request>,
    request: Request,
    signal?: AbortSignal
  ): Promise<any> {
    this.#publisher ??= this.#generated(() => new this.#module.v1.PublisherClient(this.#config))
    return this.#call(this.#publisher, method, request, signal, () => (this.#publisher = undefined))
  }

  /** One request to the subscriber service. */
  async subscriber<Request>(
    method: (api: SubscriberApi) => Call<Request>,
    request: Request,
    signal?: AbortSignal
  ): Promise<any> {
    this.#subscriber ??= this.#generated(() => new this.#module.v1.SubscriberClient(this.#config))
    return this.#call(this.#subscriber, method, request, signal, () => (this.#subscriber = undefined))
  }

  /** A new streaming pull, on a connection that has room for it. `ended` must be called once. */
  async pull(): Promise<{ readonly stream: PullingStream; ended(): void }> {
    let place = this.#pulling.find(({ streams }) => streams < streamsPerConnection)
    if (!place) {
      // Connections with equal options are shared in the process: these are not, else their calls would queue.
      const api = new this.#module.v1.SubscriberClient({ ...this.#config, 'grpc.use_local_subchannel_pool': 1 })
      this.#pulling.push((place = { api, stub: api.initialize() as Promise<SubscriberStub>, streams: 0 }))
    }
    const taken = place
    // Before it is open: others ask for a place meanwhile.
    taken.streams++
    const stub = await taken.stub.catch((error: unknown) => {
      this.#pulling = this.#pulling.filter(other => other !== taken)
      throw error
    })
    return {
      // A point in time of the wall clock, as gRPC wants it.
      stream: stub.streamingPull({ deadline: this.environment.now() + streamLife }),
      ended: () => void taken.streams--
    }
  }

  async close(): Promise<void> {
    const apis = await Promise.allSettled([this.#publisher, this.#subscriber])
    const open = apis.flatMap(result => (result.status === 'fulfilled' && result.value ? [result.value] : []))
    await Promise.allSettled([...open, ...this.#pulling.map(({ api }) => api)].map(api => api.close()))
    if (this.#ownsNative) await this.native.close()
  }

  async #generated<Api extends PublisherApi | SubscriberApi>(create: () => Api): Promise<Api> {
    const api = create()
    await api.initialize()
    return api
  }

  async #call<Api, Request>(
    opening: Promise<Api>,
    method: (api: Api) => Call<Request>,
    request: Request,
    signal: AbortSignal | undefined,
    failed: () => void
  ): Promise<any> {
    if (signal?.aborted) throw abortedError(signal)
    const api = await opening.catch((error: unknown) => {
      failed()
      throw error
    })
    const calling = method(api).call(api, request, { retry: null, timeout: this.#timeout, autoPaginate: false })
    return unlessAborted(calling, signal)
  }
}

/** The client would fail with the first request only, and say no more than that there is no such file. */
async function checkKeyFile(file: string): Promise<void> {
  try {
    JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    const why = (error as { code?: string }).code ?? 'it is no JSON' // never a part of it
    throw new StreamError('bad-config', `pubsub: option 'keyFile' cannot be read: ${why}`, { adapter: 'pubsub' })
  }
}

function clientOptions(options: ReadPubsubOptions): Record<string, unknown> {
  const { projectId, emulator, apiEndpoint, credentials, keyFile } = options
  return {
    ...(projectId !== undefined && { projectId }),
    ...(apiEndpoint !== undefined && { apiEndpoint }),
    ...(credentials !== undefined && { credentials }),
    ...(keyFile !== undefined && { keyFilename: keyFile }),
    // Without the universe it would ask the metadata server for one, which an emulator does not have.
    ...(emulator !== undefined && {
      apiEndpoint: emulator,
      emulatorMode: true,
      clientOptions: { universeDomain: 'googleapis.com' }
    })
  }
}

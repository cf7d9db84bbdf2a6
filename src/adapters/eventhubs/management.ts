import type { Environment } from '../../core/environment.ts'
import { type ErrorCode, StreamError } from '../../core/errors.ts'
import type { TokenCredential } from './client.ts'
import { classify } from './errors.ts'

export interface ManagementOptions {
  /** `https://management.azure.com/subscriptions/.../namespaces/orders`, without a slash at the end. */
  readonly address: string
  /** Needed for `https:`. */
  readonly tokens: TokenCredential | undefined
  readonly environment: Environment
  /** Ms for one request. */
  readonly timeout: number
}

/** A hub as Azure Resource Manager describes it. */
export interface ManagedHub {
  readonly name: string
  readonly partitions: number
}

interface Resource {
  readonly name: string
  readonly properties?: { readonly partitionCount?: number }
}

const version = '2024-01-01'
const codes: Readonly<Record<number, readonly [code: ErrorCode, retryable?: boolean]>> = {
  400: ['bad-config'],
  401: ['unauthorized'],
  403: ['unauthorized'],
  404: ['unknown-topic'],
  409: ['connection', true],
  429: ['throttled', true]
}

/**
 * Azure Resource Manager, as far as hubs and consumer groups need it: the service itself cannot create them over AMQP.
 * Source: REST API of Microsoft.EventHub, 2024-01-01.
 */
export class Management {
  readonly #options: ManagementOptions

  constructor(options: ManagementOptions) {
    this.#options = options
  }

  async hub(name: string): Promise<ManagedHub | undefined> {
    const found = await this.#request('GET', `/eventhubs/${encodeURIComponent(name)}`, [404])
    return found === undefined ? undefined : managed(found as Resource)
  }

  async hubs(): Promise<ManagedHub[]> {
    const hubs: ManagedHub[] = []
    let path: string | undefined = '/eventhubs'
    while (path !== undefined) {
      const page = (await this.#request('GET', path)) as { value: Resource[]; nextLink?: string }
      hubs.push(...page.value.map(managed))
      path = page.nextLink === undefined ? undefined : this.#sameServer(page.nextLink)
    }
    return hubs
  }

  /** Creates it, or gives an existing one more partitions. */
  async putHub(name: string, properties: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#request('PUT', `/eventhubs/${encodeURIComponent(name)}`, [], { properties })
  }

  async deleteHub(name: string): Promise<void> {
    await this.#request('DELETE', `/eventhubs/${encodeURIComponent(name)}`)
  }

  async createGroup(hub: string, group: string): Promise<void> {
    const path = `/eventhubs/${encodeURIComponent(hub)}/consumergroups/${encodeURIComponent(group)}`
    await this.#request('PUT', path, [], { properties: {} })
  }

  /** A token goes nowhere else, whatever an answer says. */
  #sameServer(link: string): string {
    if (URL.canParse(link) && new URL(link).origin === new URL(this.#options.address).origin) return link
    throw new StreamError('internal', 'Azure answered with a next page that is on another server', {
      adapter: 'eventhubs'
    })
  }

  /** The body of the answer, `undefined` for one of the statuses expected. */
  async #request(method: string, path: string, expected: readonly number[] = [], body?: object): Promise<unknown> {
    const { address, environment, timeout } = this.#options
    const target = path.startsWith('http') ? path : `${address}${path}?api-version=${version}`
    const what = `${method} ${new URL(target).pathname}`
    const abort = new AbortController()
    const timer = environment.timer(timeout, () => abort.abort(), true)
    try {
      const answer = await fetch(target, {
        method,
        headers: { 'content-type': 'application/json', ...(await this.#authorization()) },
        signal: abort.signal,
        ...(body && { body: JSON.stringify(body) })
      })
      const text = await answer.text()
      if (expected.includes(answer.status)) return undefined
      if (answer.ok) return text === '' ? undefined : JSON.parse(text)
      throw refused(what, answer.status, text)
    } catch (error) {
      if (StreamError.is(error)) throw error
      const known = abort.signal.aborted ? { code: 'timeout' as const, retryable: true } : classify(error)
      const { code, retryable } = known.code === 'internal' ? { code: 'connection' as const, retryable: true } : known
      throw new StreamError(code, `${what}: Azure's management API cannot be reached: ${String(error)}`, {
        adapter: 'eventhubs',
        retryable,
        cause: error
      })
    } finally {
      timer.cancel()
    }
  }

  async #authorization(): Promise<Record<string, string>> {
    const { address, tokens } = this.#options
    if (!tokens) return {}
    const token = await tokens.getToken(`${new URL(address).origin}/.default`)
    return token ? { authorization: `Bearer ${token.token}` } : {}
  }
}

function managed({ name, properties }: Resource): ManagedHub {
  return { name, partitions: properties?.partitionCount ?? 0 }
}

function refused(what: string, status: number, text: string): StreamError {
  const [code, retryable = false] = codes[status] ?? (status >= 500 ? (['connection', true] as const) : ['internal'])
  const said = /"message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text.slice(0, 300)
  const advice =
    code === 'unauthorized'
      ? " (the role 'Azure Event Hubs Data Owner' is not enough: it takes 'Contributor' on the namespace)"
      : ''
  return new StreamError(code, `${what}: Azure answered ${status}, ${said}${advice}`, {
    adapter: 'eventhubs',
    retryable
  })
}

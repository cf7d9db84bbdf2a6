/** What a store on a server must keep to while the network between them fails, whichever server it is. */
import { afterEach, expect, it } from 'vitest'
import type { ClientStore } from '../../src/exactly-once/index.ts'
import { TcpProxy, type Chunk, type Verdict } from '../support/tcp-proxy.ts'
import { everything } from './network-scenario.ts'
import { checkedChain } from './postgres-owner.ts'
import { commitOf, row, rowsOf, task } from './stores.ts'

export interface NetworkKit {
  /** Where the server listens. */
  readonly port: number
  /** The URL of a store that nobody has used, and the same through a port. */
  urls(port: number, options: Readonly<Record<string, string>>): { readonly url: string; readonly direct: string }
  open(url: string): Promise<ClientStore>
  /** Does the chunk carry the write that makes a commit? */
  commits(chunk: Chunk): boolean
  /** For an append that nobody answers. */
  readonly impatient: Readonly<Record<string, string>>
}

export interface BehindProxy {
  readonly proxy: TcpProxy
  readonly url: string
  readonly direct: string
}

/** Proxies and stores of one test, which it closes. */
export class Network {
  readonly #kit: NetworkKit
  readonly #cleanUps: (() => Promise<void>)[] = []

  constructor(kit: NetworkKit) {
    this.#kit = kit
    afterEach(() => this.close())
  }

  async behindProxy(options: Readonly<Record<string, string>> = {}): Promise<BehindProxy> {
    const proxy = await TcpProxy.start(this.#kit.port)
    this.later(() => proxy.close())
    return { proxy, ...this.#kit.urls(proxy.port, options) }
  }

  async opened(url: string): Promise<ClientStore> {
    const store = await this.#kit.open(url)
    this.later(() => store.close())
    return store
  }

  later(cleanUp: () => Promise<unknown>): void {
    this.#cleanUps.push(async () => void (await cleanUp()))
  }

  async close(): Promise<void> {
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp()
  }
}

/** The cases that are the same for every server; call it inside of a `describe`. */
export function networkFaults(kit: NetworkKit): Network {
  const network = new Network(kit)

  it.each<[what: string, from: 'client' | 'server', verdict: Verdict]>([
    ['each request is lost, once', 'client', 'cut'],
    ['each answer is lost, once', 'server', 'cut'],
    ['the connection breaks after each request', 'client', 'pass-cut'],
    ['the connection breaks inside of each answer', 'server', 'half']
  ])(
    'has one history when %s',
    async (_, from, verdict) => {
      const counting = await network.behindProxy()
      let chunks = 0
      counting.proxy.judge = chunk => (chunk.from === from && chunks++, 'pass')
      await everything(await network.opened(counting.url))
      expect(chunks).toBeGreaterThan(20)
      let unclear = 0
      let lost = 0
      for (let victim = 0; victim < chunks; victim++) {
        const { proxy, url, direct } = await network.behindProxy()
        let passed = 0
        proxy.judge = chunk => {
          if (chunk.from !== from || passed++ !== victim) return 'pass'
          lost++
          return verdict
        }
        unclear += (await everything(await network.opened(url))).unclear
        expect(await checkedChain(await network.opened(direct), task), `with chunk ${victim} lost`).toBe(4)
        await network.close()
      }
      // Else the faults were somewhere else.
      expect(lost).toBe(chunks)
      expect(unclear).toBeGreaterThanOrEqual(4)
    },
    240_000
  )

  /** Holds the first commit on its way, however long it is waited for. */
  const holdCommit = (proxy: TcpProxy): void => {
    proxy.judge = chunk => (kit.commits(chunk) ? ((proxy.judge = undefined), 'hold') : 'pass')
  }

  it('finds a commit that arrives after it was found absent: the second attempt is told that it is there', async () => {
    const { proxy, url, direct } = await network.behindProxy(kit.impatient)
    const log = await (await network.opened(url)).acquire(task)
    const commit = commitOf(1, { state: [row('a', 'once')] })
    holdCommit(proxy)
    expect(await log.append(commit)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: undefined })
    await proxy.deliver()
    expect(await log.append(commit)).toBe('ok')
    expect(await log.append(commitOf(2, { state: [row('b', 'too')] }))).toBe('ok')
    const next = await (await network.opened(direct)).acquire(task)
    expect(next.last).toMatchObject({ number: 2 })
    expect(await rowsOf(next)).toEqual(['total a once', 'total b too'])
  })

  it('is fenced, not told that it is there, when a late commit is somebody else’s', async () => {
    const { proxy, url, direct } = await network.behindProxy(kit.impatient)
    const log = await (await network.opened(url)).acquire(task)
    holdCommit(proxy)
    const commit = commitOf(1)
    expect(await log.append(commit)).toBe('unknown')
    const successor = await (await network.opened(direct)).acquire(task)
    expect(await successor.append(commitOf(1))).toBe('ok')
    await proxy.deliver()
    expect(await log.append(commit)).toBe('fenced')
    expect(await log.readBack()).toBe('fenced')
    expect(await successor.append(commitOf(2))).toBe('ok')
  })

  it('is told as away, and can be closed, while nothing can be reached', async () => {
    const { proxy, url } = await network.behindProxy()
    const store = await network.opened(url)
    await store.leases('scope')
    proxy.cut()
    const away = { code: expect.stringMatching(/connection|timeout/), retryable: true }
    await expect(store.leases('scope')).rejects.toMatchObject(away)
    await expect(store.beat('scope', 'me')).rejects.toMatchObject(away)
    const pending = store.acquire(task).catch((error: unknown) => error)
    await store.close()
    expect(await pending).toMatchObject({ code: expect.stringMatching(/connection|closed/) })
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'closed', retryable: false })
  })

  return network
}

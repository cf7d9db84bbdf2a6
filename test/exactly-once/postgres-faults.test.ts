import { afterEach, describe, expect, it } from 'vitest'
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { connected, notRun, port, running, schemaOf, storeUrl, through, waiting } from '../support/postgres.ts'
import { TcpProxy, type Verdict } from '../support/tcp-proxy.ts'
import { everything } from './network-scenario.ts'
import { checkedChain, Owner, retried } from './postgres-owner.ts'
import { commitOf, row, task } from './stores.ts'

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function behindProxy(
  options: Record<string, string> = {}
): Promise<{ proxy: TcpProxy; url: string; direct: string }> {
  const proxy = await TcpProxy.start(port)
  cleanUps.push(() => proxy.close())
  const direct = storeUrl()
  const url = new URL(through(proxy.port, direct))
  for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value)
  return { proxy, url: url.href, direct }
}

async function opened(url: string): Promise<PostgresStore> {
  const store = await retried(() => PostgresStore.open({ url, connectTimeout: 2_000 }))
  cleanUps.push(() => store.close())
  return store
}

const scenario = async (url: string): Promise<{ unclear: number }> => everything(await opened(url))

describe.skipIf(!running)(`a PostgreSQL store behind a network with faults${notRun}`, () => {
  it.each<[what: string, from: 'client' | 'server', verdict: Verdict]>([
    ['each request is lost, once', 'client', 'cut'],
    ['each answer is lost, once', 'server', 'cut'],
    ['the connection breaks after each request', 'client', 'pass-cut'],
    ['the connection breaks inside of each answer', 'server', 'half']
  ])(
    'has one history when %s',
    async (_, from, verdict) => {
      const counting = await behindProxy()
      let chunks = 0
      counting.proxy.judge = chunk => (chunk.from === from && chunks++, 'pass')
      await scenario(counting.url)
      expect(chunks).toBeGreaterThan(20)
      let unclear = 0
      let lost = 0
      for (let victim = 0; victim < chunks; victim++) {
        const { proxy, url, direct } = await behindProxy()
        let passed = 0
        proxy.judge = chunk => {
          if (chunk.from !== from || passed++ !== victim) return 'pass'
          lost++
          return verdict
        }
        unclear += (await scenario(url)).unclear
        expect(await checkedChain(await opened(direct), task), `with chunk ${victim} lost`).toBe(4)
        for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
      }
      // Else the faults were somewhere else.
      expect(lost).toBe(chunks)
      expect(unclear).toBeGreaterThanOrEqual(4)
    },
    240_000
  )

  it('finds a commit that arrives after it was found absent: the second attempt is told that it is there', async () => {
    const { proxy, url, direct } = await behindProxy()
    const log = await (await opened(url)).acquire(task)
    const commit = commitOf(1, { state: [row('a', 'once')] })
    proxy.judge = () => ((proxy.judge = undefined), 'hold')
    expect(await log.append(commit)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: undefined })
    await proxy.deliver()
    expect(await log.append(commit)).toBe('ok')
    expect(await log.append(commitOf(2))).toBe('ok')
    expect((await (await opened(direct)).acquire(task)).last).toMatchObject({ number: 2 })
  })

  it('is fenced, not told that it is there, when a late commit is somebody else’s', async () => {
    const { proxy, url, direct } = await behindProxy()
    const log = await (await opened(url)).acquire(task)
    proxy.judge = () => ((proxy.judge = undefined), 'hold')
    const commit = commitOf(1)
    expect(await log.append(commit)).toBe('unknown')
    const successor = await (await opened(direct)).acquire(task)
    expect(await successor.append(commitOf(1))).toBe('ok')
    await proxy.deliver()
    expect(await log.append(commit)).toBe('fenced')
    expect(await log.readBack()).toBe('fenced')
    expect(await successor.append(commitOf(2))).toBe('ok')
  })

  it('waits, when it reads back, for a commit that the server is still at', async () => {
    const { proxy, url, direct } = await behindProxy()
    const log = await (await opened(url)).acquire(task)
    const commit = commitOf(1)
    const other = await connected()
    cleanUps.push(() => other.end())
    await other.query('BEGIN')
    await other.query(`SELECT * FROM ${schemaOf(direct)}.head FOR UPDATE`)
    const appending = log.append(commit)
    await waiting(schemaOf(direct), 1)
    proxy.cut()
    expect(await appending).toBe('unknown')
    proxy.restore()
    const reading = retried(() => log.readBack())
    await waiting(schemaOf(direct), 2)
    await other.query('ROLLBACK')
    expect(await reading).toMatchObject({ last: { number: 1, token: commit.token } })
  })

  it('gives a commit up that another session keeps waiting: nothing of it happens later', async () => {
    const { url, direct } = await behindProxy({ statementTimeout: '200' })
    const log = await (await opened(url)).acquire(task)
    const other = await connected()
    cleanUps.push(() => other.end())
    await other.query('BEGIN')
    await other.query(`SELECT * FROM ${schemaOf(direct)}.head FOR UPDATE`)
    expect(await log.append(commitOf(1))).toBe('unknown')
    await expect(log.readBack()).rejects.toMatchObject({ code: 'timeout', retryable: true })
    await other.query('ROLLBACK')
    expect(await log.readBack()).toMatchObject({ last: undefined })
  })

  it('gives up a server that has fallen silent, and goes on with a new connection', async () => {
    const { proxy, url } = await behindProxy({ statementTimeout: '100', connections: '1' })
    const store = await opened(url)
    const log = await store.acquire(task)
    proxy.judge = () => ((proxy.judge = undefined), 'silence')
    const started = performance.now()
    expect(await log.append(commitOf(1))).toBe('unknown')
    expect(performance.now() - started).toBeGreaterThan(4_000) // the grace over the server's own limit
    expect(await log.readBack()).toMatchObject({ last: undefined })
    expect(await log.append(commitOf(1))).toBe('ok')
  })

  it('tries to connect again in growing pauses, all callers together', async () => {
    const { proxy, url } = await behindProxy()
    const store = await opened(url)
    const owners = Array.from({ length: 8 }, (_, ordinal) => new Owner(store, { ...task, id: `p/s/${ordinal}` }))
    await Promise.all(owners.map(owner => owner.acquire()))
    proxy.cut()
    const before = proxy.opened
    const committing = Promise.all(owners.map(owner => owner.commit()))
    await new Promise(resolve => setTimeout(resolve, 1_500))
    // 8 callers, tries every 20 ms: without pauses they would be some hundreds.
    expect(proxy.opened - before).toBeLessThan(60)
    expect(proxy.opened - before).toBeGreaterThan(2)
    proxy.restore()
    expect(await committing).toEqual(owners.map(() => true))
  })

  it('is told as away, and can be closed, while nothing can be reached', async () => {
    const { proxy, url } = await behindProxy()
    const store = await opened(url)
    await store.leases('scope')
    proxy.cut()
    await expect(store.leases('scope')).rejects.toMatchObject({ code: 'connection', retryable: true })
    await expect(store.beat('scope', 'me')).rejects.toMatchObject({ code: 'connection', retryable: true })
    const pending = store.acquire(task).catch((error: unknown) => error)
    await store.close()
    expect(await pending).toMatchObject({ code: expect.stringMatching(/connection|closed/) })
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'closed', retryable: false })
  })
})

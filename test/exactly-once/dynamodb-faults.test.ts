import { afterEach, describe, expect, inject, it } from 'vitest'
import { DynamodbStore } from '../../src/exactly-once/index.ts'
import { dynamodbAvailable, startDynamodb } from '../../testcontainers/dynamodb.ts'
import { notRun, port, running, storeUrl, through, urlOf } from '../support/dynamodb.ts'
import { TcpProxy, type Verdict } from '../support/tcp-proxy.ts'
import { movesHead } from './dynamodb-kit.ts'
import { everything } from './network-scenario.ts'
import { checkedChain, Owner, retried } from './postgres-owner.ts'
import { commitOf, row, rowsOf, task } from './stores.ts'

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function behindProxy(
  options: Record<string, string> = {}
): Promise<{ proxy: TcpProxy; url: string; direct: string }> {
  const proxy = await TcpProxy.start(port)
  cleanUps.push(() => proxy.close())
  const direct = storeUrl(options)
  return { proxy, url: through(proxy.port, direct), direct }
}

async function opened(url: string): Promise<DynamodbStore> {
  const store = await retried(() => DynamodbStore.open({ url }))
  cleanUps.push(() => store.close())
  return store
}

describe.skipIf(!running)(`a DynamoDB store behind a network with faults${notRun}`, () => {
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
      await everything(await opened(counting.url))
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
        unclear += (await everything(await opened(url))).unclear
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
    const { proxy, url, direct } = await behindProxy({ requestTimeout: '1000' })
    const log = await (await opened(url)).acquire(task)
    const commit = commitOf(1, { state: [row('a', 'once')] })
    proxy.judge = chunk => (movesHead(chunk) ? ((proxy.judge = undefined), 'hold') : 'pass')
    expect(await log.append(commit)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: undefined })
    await proxy.deliver()
    expect(await log.append(commit)).toBe('ok')
    expect(await log.append(commitOf(2, { state: [row('b', 'too')] }))).toBe('ok')
    const next = await (await opened(direct)).acquire(task)
    expect(next.last).toMatchObject({ number: 2 })
    expect(rowsOf(next)).toEqual(['total a once', 'total b too'])
  })

  it('goes on from a commit whose answer was lost, with all of its state', async () => {
    const { proxy, url, direct } = await behindProxy()
    const log = await (await opened(url)).acquire(task)
    let asked: number | undefined
    proxy.judge = chunk => {
      if (movesHead(chunk)) asked = chunk.connection
      return chunk.from === 'server' && chunk.connection === asked ? ((proxy.judge = undefined), 'cut') : 'pass'
    }
    const commit = commitOf(1, { state: [row('a', '1')] })
    expect(await log.append(commit)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: { number: 1, token: commit.token } })
    expect(await log.append(commitOf(2, { state: [row('b', '2')] }))).toBe('ok')
    expect(rowsOf(await (await opened(direct)).acquire(task))).toEqual(['total a 1', 'total b 2'])
  })

  it('is fenced, not told that it is there, when a late commit is somebody else’s', async () => {
    const { proxy, url, direct } = await behindProxy()
    const log = await (await opened(url)).acquire(task)
    proxy.judge = chunk => (movesHead(chunk) ? ((proxy.judge = undefined), 'hold') : 'pass')
    const commit = commitOf(1)
    expect(await log.append(commit)).toBe('unknown')
    const successor = await (await opened(direct)).acquire(task)
    expect(await successor.append(commitOf(1))).toBe('ok')
    await proxy.deliver()
    expect(await log.append(commit)).toBe('fenced')
    expect(await log.readBack()).toBe('fenced')
    expect(await successor.append(commitOf(2))).toBe('ok')
  })

  it('gives up a server that has fallen silent', async () => {
    const { proxy, url } = await behindProxy({ requestTimeout: '300' })
    const log = await (await opened(url)).acquire(task)
    proxy.judge = () => ((proxy.judge = undefined), 'silence')
    expect(await log.append(commitOf(1))).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: undefined })
    expect(await log.append(commitOf(1))).toBe('ok')
  })

  it('is told as away, and can be closed, while nothing can be reached', async () => {
    const { proxy, url } = await behindProxy()
    const store = await opened(url)
    await store.leases('scope')
    proxy.cut()
    await expect(store.leases('scope')).rejects.toMatchObject({
      code: expect.stringMatching(/connection|timeout/),
      retryable: true
    })
    await expect(store.beat('scope', 'me')).rejects.toMatchObject({
      code: expect.stringMatching(/connection|timeout/),
      retryable: true
    })
    const pending = store.acquire(task).catch((error: unknown) => error)
    await store.close()
    expect(await pending).toMatchObject({ code: expect.stringMatching(/connection|closed/) })
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'closed', retryable: false })
  })
})

describe.skipIf(!running)(`owners that share one DynamoDB${notRun}`, () => {
  it('take one task from each other, and each commit is one owner’s alone', async () => {
    const url = storeUrl()
    const committed: number[] = []
    let fenced = 0
    const work = async (): Promise<void> => {
      const store = await opened(url)
      for (let done = false; !done;) {
        const owner = new Owner(store, task)
        await owner.acquire()
        while (!(done = owner.number >= 120) && (await owner.commit(owner.number % 7 === 0 ? 20_000 : 0))) {
          committed.push(owner.number)
          // Lets others in.
          if (owner.number % 5 === 0) await new Promise(resolve => setTimeout(resolve, 20))
        }
        if (done) return
        fenced++
        // Leases see to it that owners do not come faster than commits; here, a pause.
        await new Promise(resolve => setTimeout(resolve, 50 + Math.random() * 300))
      }
    }
    await Promise.all([work(), work(), work()])
    expect(committed.toSorted((left, right) => left - right)).toEqual(
      Array.from({ length: 120 }, (_, index) => index + 1)
    )
    expect(await checkedChain(await opened(url), task)).toBe(120)
    // Else nobody was fenced, and nothing was tested.
    expect(fenced).toBeGreaterThan(2)
  }, 60_000)
})

const reason = inject('backends').includes('dynamodb') ? await dynamodbAvailable() : 'BACKENDS leaves out dynamodb'

describe.skipIf(reason)(`a DynamoDB that crashes${reason ? ` (not run: ${reason})` : ''}`, () => {
  it('in the middle of commits loses none that was acknowledged, and doubles none', async () => {
    await using server = await startDynamodb()
    const store = await opened(urlOf('crashes', { endpoint: server.endpoint, requestTimeout: '2000' }))
    const tasks = Array.from({ length: 3 }, (_, ordinal) => ({ ...task, id: `p/s/${ordinal}`, ordinal }))
    const acknowledged = new Map(tasks.map(({ id }) => [id, 0]))
    let stopped = false
    const working = tasks.map(async each => {
      const owner = new Owner(store, each)
      await owner.acquire()
      while (!stopped) {
        expect(await owner.commit(each.ordinal % 2 === 0 ? 0 : 600_000)).toBe(true)
        acknowledged.set(each.id, owner.number)
      }
      return owner.unclear
    })
    const total = (): number => [...acknowledged.values()].reduce((sum, number) => sum + number, 0)
    let before = 0
    for (let crash = 0; crash < 3; crash++) {
      await expect.poll(total, { timeout: 30_000, interval: 10 }).toBeGreaterThan(before + 20)
      await server.kill()
      before = total()
      await server.restart()
    }
    await expect.poll(total, { timeout: 30_000, interval: 10 }).toBeGreaterThan(before + 20)
    stopped = true
    const unclear = (await Promise.all(working)).reduce((sum, each) => sum + each, 0)
    for (const each of tasks) expect(await retried(() => checkedChain(store, each))).toBe(acknowledged.get(each.id))
    expect(unclear).toBeGreaterThan(2)
  }, 120_000)
})

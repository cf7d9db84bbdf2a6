import { describe, expect, inject, it } from 'vitest'
import { DynamodbStore } from '../../src/exactly-once/index.ts'
import { dynamodbAvailable, startDynamodb } from '../../testcontainers/dynamodb.ts'
import { notRun, port, running, storeUrl, through, urlOf } from '../support/dynamodb.ts'
import { movesHead } from './dynamodb-kit.ts'
import { Network, networkFaults, type NetworkKit } from './network-faults.ts'
import { checkedChain, Owner, retried } from './postgres-owner.ts'
import { commitOf, row, rowsOf, task } from './stores.ts'

const kit: NetworkKit = {
  port,
  urls(proxy, options) {
    const direct = storeUrl(options)
    return { direct, url: through(proxy, direct) }
  },
  open: url => retried(() => DynamodbStore.open({ url })),
  commits: movesHead,
  impatient: { requestTimeout: '1000' }
}

describe.skipIf(!running)(`a DynamoDB store behind a network with faults${notRun}`, () => {
  const network = networkFaults(kit)

  it('goes on from a commit whose answer was lost, with all of its state', async () => {
    const { proxy, url, direct } = await network.behindProxy()
    const log = await (await network.opened(url)).acquire(task)
    let asked: number | undefined
    proxy.judge = chunk => {
      if (movesHead(chunk)) asked = chunk.connection
      return chunk.from === 'server' && chunk.connection === asked ? ((proxy.judge = undefined), 'cut') : 'pass'
    }
    const commit = commitOf(1, { state: [row('a', '1')] })
    expect(await log.append(commit)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: { number: 1, token: commit.token } })
    expect(await log.append(commitOf(2, { state: [row('b', '2')] }))).toBe('ok')
    expect(await rowsOf(await (await network.opened(direct)).acquire(task))).toEqual(['total a 1', 'total b 2'])
  })

  it('is opened though the first request is not answered', async () => {
    const { proxy, url } = await network.behindProxy({ requestTimeout: '2000' })
    let silent = 0
    proxy.judge = () => (silent++ === 0 ? 'silence' : 'pass')
    const store = await DynamodbStore.open({ url })
    network.later(() => store.close())
    expect(silent).toBeGreaterThan(1)
    expect(await store.leases('scope')).toEqual([])
  })

  it('gives up a server that has fallen silent', async () => {
    const { proxy, url } = await network.behindProxy({ requestTimeout: '2000' })
    const log = await (await network.opened(url)).acquire(task)
    proxy.judge = () => ((proxy.judge = undefined), 'silence')
    expect(await log.append(commitOf(1))).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: undefined })
    expect(await log.append(commitOf(1))).toBe('ok')
  })
})

describe.skipIf(!running)(`owners that share one DynamoDB${notRun}`, () => {
  const network = new Network(kit)

  it('take one task from each other, and each commit is one owner’s alone', async () => {
    const url = storeUrl()
    const committed: number[] = []
    let fenced = 0
    const work = async (): Promise<void> => {
      const store = await network.opened(url)
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
    expect(await checkedChain(await network.opened(url), task)).toBe(120)
    // Else nobody was fenced, and nothing was tested.
    expect(fenced).toBeGreaterThan(2)
  }, 60_000)
})

const reason = inject('backends').includes('dynamodb') ? await dynamodbAvailable() : 'BACKENDS leaves out dynamodb'

describe.skipIf(reason)(`a DynamoDB that crashes${reason ? ` (not run: ${reason})` : ''}`, () => {
  const network = new Network(kit)

  it('in the middle of commits loses none that was acknowledged, and doubles none', async () => {
    await using server = await startDynamodb()
    const store = await network.opened(urlOf('crashes', { endpoint: server.endpoint, requestTimeout: '2000' }))
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

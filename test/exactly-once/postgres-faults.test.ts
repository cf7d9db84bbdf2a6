import { describe, expect, it } from 'vitest'
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { connected, notRun, port, running, schemaOf, storeUrl, through, waiting } from '../support/postgres.ts'
import { networkFaults, type NetworkKit } from './network-faults.ts'
import { Owner, retried } from './postgres-owner.ts'
import { commitOf, task } from './stores.ts'

const kit: NetworkKit = {
  port,
  urls(proxy, options) {
    const direct = storeUrl()
    const url = new URL(through(proxy, direct))
    for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value)
    return { direct, url: url.href }
  },
  open: url => retried(() => PostgresStore.open({ url, connectTimeout: 2_000 })),
  // A commit is one statement, and the connection is there already.
  commits: ({ from }) => from === 'client',
  impatient: {}
}

describe.skipIf(!running)(`a PostgreSQL store behind a network with faults${notRun}`, () => {
  const network = networkFaults(kit)

  it('waits, when it reads back, for a commit that the server is still at', async () => {
    const { proxy, url, direct } = await network.behindProxy()
    const log = await (await network.opened(url)).acquire(task)
    const commit = commitOf(1)
    const other = await connected()
    network.later(() => other.end())
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
    const { url, direct } = await network.behindProxy({ statementTimeout: '200' })
    const log = await (await network.opened(url)).acquire(task)
    const other = await connected()
    network.later(() => other.end())
    await other.query('BEGIN')
    await other.query(`SELECT * FROM ${schemaOf(direct)}.head FOR UPDATE`)
    expect(await log.append(commitOf(1))).toBe('unknown')
    await expect(log.readBack()).rejects.toMatchObject({ code: 'timeout', retryable: true })
    await other.query('ROLLBACK')
    expect(await log.readBack()).toMatchObject({ last: undefined })
  })

  it('gives up a server that has fallen silent, and goes on with a new connection', async () => {
    const { proxy, url } = await network.behindProxy({ statementTimeout: '100', connections: '1' })
    const store = await network.opened(url)
    const log = await store.acquire(task)
    proxy.judge = () => ((proxy.judge = undefined), 'silence')
    const started = performance.now()
    expect(await log.append(commitOf(1))).toBe('unknown')
    expect(performance.now() - started).toBeGreaterThan(4_000) // the grace over the server's own limit
    expect(await log.readBack()).toMatchObject({ last: undefined })
    expect(await log.append(commitOf(1))).toBe('ok')
  })

  it('tries to connect again in growing pauses, all callers together', async () => {
    const { proxy, url } = await network.behindProxy()
    const store = await network.opened(url)
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
})

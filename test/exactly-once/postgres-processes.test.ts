import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, inject, it } from 'vitest'
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { postgresAvailable, startPostgres } from '../../testcontainers/postgres.ts'
import { notRun, running, storeUrl, withOptions } from '../support/postgres.ts'
import { checkedChain, Owner, retried } from './postgres-owner.ts'
import { task } from './stores.ts'

const script = fileURLToPath(new URL('./postgres-process.ts', import.meta.url))
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
})

interface Worker {
  readonly child: ChildProcess
  /** Numbers that it was told are committed. */
  readonly committed: number[]
  fenced: number | undefined
}

function start(url: string, commits: number): Worker {
  const child = fork(script, [url, String(commits)], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.push(child)
  const worker: Worker = { child, committed: [], fenced: undefined }
  child.on('message', (message: { committed?: number; fenced?: number }) => {
    if (message.committed !== undefined) worker.committed.push(message.committed)
    if (message.fenced !== undefined) worker.fenced = message.fenced
  })
  return worker
}

async function checked(url: string): Promise<number> {
  const store = await PostgresStore.open({ url })
  try {
    return await checkedChain(store, task)
  } finally {
    await store.close()
  }
}

describe.skipIf(!running)(`processes that share one PostgreSQL${notRun}`, () => {
  it('take one task from each other, and each commit is one process’s alone', async () => {
    const url = storeUrl()
    const workers = [start(url, 300), start(url, 300), start(url, 300)]
    await Promise.all(workers.map(({ child }) => once(child, 'exit')))
    expect(workers.map(({ child }) => child.exitCode)).toEqual([0, 0, 0])
    const all = workers.flatMap(({ committed }) => committed).toSorted((left, right) => left - right)
    expect(all).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
    expect(await checked(url)).toBe(300)
    // Else nobody was fenced, and nothing was tested.
    expect(workers.reduce((sum, { fenced = 0 }) => sum + fenced, 0)).toBeGreaterThan(2)
  }, 60_000)

  it('lose no acknowledged commit by kill -9 of a worker, and go on where it was', async () => {
    const url = storeUrl()
    let acknowledged = 0
    for (let round = 0; round < 4; round++) {
      const worker = start(url, 100_000)
      await expect
        .poll(() => worker.committed.at(-1) ?? 0, { timeout: 10_000, interval: 5 })
        .toBeGreaterThan(acknowledged + 10 + round * 7)
      worker.child.kill('SIGKILL')
      await once(worker.child, 'exit')
      expect(worker.committed[0]).toBeGreaterThan(acknowledged)
      acknowledged = worker.committed.at(-1)!
    }
    expect(await checked(url)).toBeGreaterThanOrEqual(acknowledged)
  }, 60_000)
})

const reason = inject('backends').includes('postgres') ? await postgresAvailable() : 'BACKENDS leaves out postgres'

describe.skipIf(reason)(`a PostgreSQL that crashes${reason ? ` (not run: ${reason})` : ''}`, () => {
  it('in the middle of commits loses none that was acknowledged, and doubles none', async () => {
    await using server = await startPostgres()
    const url = withOptions(server.url, { schema: 'crashes', connections: '4' })
    const store = await PostgresStore.open({ url })
    const tasks = Array.from({ length: 6 }, (_, ordinal) => ({ ...task, id: `p/s/${ordinal}`, ordinal }))
    const acknowledged = new Map(tasks.map(({ id }) => [id, 0]))
    let unclear = 0
    let stopped = false
    const working = tasks.map(async each => {
      const owner = new Owner(store, each)
      await owner.acquire()
      while (!stopped) {
        // Large ones too, so that a crash can come in the middle of one.
        expect(await owner.commit(each.ordinal % 2 === 0 ? 0 : 200_000)).toBe(true)
        acknowledged.set(each.id, owner.number)
      }
      unclear += owner.unclear
    })
    const total = (): number => [...acknowledged.values()].reduce((sum, number) => sum + number, 0)
    let before = 0
    for (let crash = 0; crash < 6; crash++) {
      await expect.poll(total, { timeout: 30_000, interval: 10 }).toBeGreaterThan(before + 40)
      await sleep(crash * 7)
      await server.kill()
      before = total()
      await server.restart()
    }
    await expect.poll(total, { timeout: 30_000, interval: 10 }).toBeGreaterThan(before + 40)
    stopped = true
    await Promise.all(working)
    for (const each of tasks) expect(await retried(() => checkedChain(store, each))).toBe(acknowledged.get(each.id))
    expect(unclear).toBeGreaterThan(6)
    await store.close()
  }, 120_000)
})

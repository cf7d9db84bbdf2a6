/** Three processes share a pipeline by leases in a store; one of them is killed, then the server of the store. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { file } from '../../src/adapters/file/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { connect } from '../../src/index.ts'
import { ledger, type LedgerJob } from '../../src/testing/conformance/index.ts'
import { linesOf } from './lines.ts'
import { ungrouped } from './ungrouped.ts'

const script = fileURLToPath(new URL('./pipeline-worker.ts', import.meta.url))

function work(folder: string, job: LedgerJob): ChildProcess {
  const child = spawn(process.execPath, [script, folder, JSON.stringify(job)], {
    stdio: ['ignore', 'inherit', 'inherit']
  })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

export interface ThreeWorkers {
  readonly server: { kill(): Promise<void>; restart(): Promise<void> }
  readonly store: string
  readonly sessionTimeout: number
  /** For what must have been booked before the first kill, before the second one, and at the end, ms. */
  readonly patience: readonly [number, number, number]
}

/** Nothing is lost, nothing is booked twice, and who is told to stop ends well. */
export async function threeWorkers({ server, store, sessionTimeout, patience }: ThreeWorkers): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-leased-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const name = `ledger-${process.pid}`
  const job: LedgerJob = { name, store, sessionTimeout, pace: 2 }
  const book = ledger(name)
  const adapter = ungrouped(file({ path: folder }))
  await adapter.open(systemEnvironment)
  const client = await connect({ brokers: { default: adapter }, store, variables: {} })
  const producer = await client.producer(book.deposits)
  const deposit = (from: number, to: number): Promise<unknown> =>
    producer.sendAll(
      Array.from({ length: to - from }, (_, index) => ({
        key: `account-${(from + index) % 20}`,
        value: { amount: 1, at: 1_700_000_000_000 + from + index }
      }))
    )
  const booked = async (): Promise<number> => (await linesOf(adapter, book)).length
  await deposit(0, 600)
  const workers = [work(folder, job), work(folder, job), work(folder, job)]
  await expect.poll(booked, { timeout: patience[0] }).toBeGreaterThan(150)
  workers[1]!.kill('SIGKILL')
  await once(workers[1]!, 'exit')
  await deposit(600, 1_000)
  await expect.poll(booked, { timeout: patience[1] }).toBeGreaterThan(700)
  await server.kill()
  await deposit(1_000, 1_300)
  await server.restart()
  await expect.poll(booked, { timeout: patience[2] }).toBeGreaterThanOrEqual(1_300)
  for (const worker of [workers[0]!, workers[2]!]) {
    const ended = once(worker, 'exit')
    worker.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  }
  const next = new Map<string, number>()
  for (const { account, line } of await linesOf(adapter, book)) {
    const expected = (next.get(account) ?? 0) + 1
    expect(line, `line ${expected} of ${account}`).toEqual({ line: expected, balance: expected })
    next.set(account, expected)
  }
  expect([...next.values()].reduce((sum, lines) => sum + lines, 0)).toBe(1_300)
  await client.close()
}

/** Three processes share a pipeline by leases in a store; one of them is killed, then the server of the store. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { file } from '../../src/adapters/file/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { connect } from '../../src/index.ts'
import { ledger, type LedgerJob } from '../../src/testing/conformance/index.ts'
import { linesOf } from './lines.ts'
import { ungrouped } from './ungrouped.ts'

const script = fileURLToPath(new URL('./pipeline-worker.ts', import.meta.url))

/** What each worker has said last on its stderr. */
const last = new WeakMap<ChildProcess, string>()

function work(folder: string, job: LedgerJob): ChildProcess {
  const child = spawn(process.execPath, [script, folder, JSON.stringify(job)], {
    stdio: ['ignore', 'inherit', 'pipe']
  })
  last.set(child, '')
  child
    .stderr!.setEncoding('utf8')
    .on('data', (text: string) => last.set(child, (last.get(child)! + text).slice(-4_000)))
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

/** Waits until so much is done, as long as there is progress; says where it stands when there is none. */
async function gettingOn(
  progress: () => Promise<number>,
  wanted: number,
  patience: number,
  workers: readonly ChildProcess[]
): Promise<void> {
  let [most, since] = [0, performance.now()]
  for (;;) {
    const done = await progress()
    if (done >= wanted) return
    if (done > most) [most, since] = [done, performance.now()]
    for (const index of workers.keys()) assertLives(workers, index)
    if (performance.now() - since > patience)
      throw new Error(`the workers hang: ${most} of ${wanted} lines are booked, and none more for ${patience} ms`)
    await sleep(50)
  }
}

/** A worker that has ended by itself is a failure of its own, not a reason to wait. */
function assertLives(workers: readonly ChildProcess[], index: number): void {
  const worker = workers[index]!
  const { exitCode, signalCode } = worker
  if (exitCode !== null)
    throw new Error(`worker ${index} has ended by itself with code ${exitCode}: ${last.get(worker)}`)
  if (signalCode !== null && signalCode !== 'SIGKILL') throw new Error(`worker ${index} was ended by ${signalCode}`)
}

export interface ThreeWorkers {
  readonly server: { kill(): Promise<void>; restart(): Promise<void> }
  readonly store: string
  readonly sessionTimeout: number
  /** It must get on at least once in so many ms: less is a hang, on however slow a machine. */
  readonly patience: number
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
  const until = (lines: number): Promise<void> => gettingOn(booked, lines, patience, workers)
  await until(151)
  workers[1]!.kill('SIGKILL')
  await once(workers[1]!, 'exit')
  await deposit(600, 1_000)
  await until(701)
  await server.kill()
  await deposit(1_000, 1_300)
  await server.restart()
  await until(1_300)
  for (const worker of [workers[0]!, workers[2]!]) {
    assertLives(workers, workers.indexOf(worker))
    const ended = once(worker, 'exit', { signal: AbortSignal.timeout(patience) })
    worker.kill('SIGTERM')
    expect(await ended, 'a worker that was told to stop').toEqual([0, null])
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

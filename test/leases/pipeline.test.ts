import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { file, fileCapabilities } from '../../src/adapters/file/index.ts'
import { bindTopic, decodeRecord } from '../../src/broker/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import { connect } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import {
  adapterConformance,
  conformanceCases,
  isLocked,
  ledger,
  type Harness,
  type LedgerJob,
  type Line,
  type WorkerProcess
} from '../../src/testing/conformance/index.ts'
import { ungrouped } from './ungrouped.ts'

const script = fileURLToPath(new URL('./pipeline-worker.ts', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'tidemark-leased-'))
const running = new Set<WorkerProcess>()

function work(job: LedgerJob): WorkerProcess {
  const child = spawn(process.execPath, [script, folder, JSON.stringify(job)], {
    stdio: ['ignore', 'inherit', 'inherit']
  })
  const exited = new Promise<number | null>(resolve => child.once('exit', resolve))
  const worker = { exited, kill: (signal: NodeJS.Signals) => void child.kill(signal) }
  running.add(worker)
  void exited.then(() => running.delete(worker))
  return worker
}

async function opened(): Promise<AnyAdapter> {
  const adapter = ungrouped(file({ path: folder }))
  await adapter.open(systemEnvironment)
  return adapter
}

afterAll(async () => {
  for (const worker of running) {
    worker.kill('SIGKILL')
    await worker.exited
  }
})

/** Every line as a reader with this library sees it: repeats of the relay are dropped. */
async function linesOf(
  adapter: AnyAdapter,
  { lines }: ReturnType<typeof ledger>
): Promise<{ account: string; line: Line }[]> {
  const bound = await bindTopic(lines, adapter, lines.partitions!, undefined)
  const seen = new Set<string>()
  const found: { account: string; line: Line }[] = []
  for (let partition = 0; partition < bound.partitions; partition++) {
    const from = { topic: lines.name, partition, from: 'earliest', readCommitted: true, maxBytes: 1 << 20 } as const
    const reader = await adapter.partitionReader!(from)
    for (let atEnd = false; !atEnd;) {
      const received = await reader.receive({ wait: 0 })
      atEnd = received.atEnd
      for (const raw of received.records) {
        const { producer, sequence } = decodeStamp(raw.stamp!)
        const id = `${partition} ${sequence} ${producer}`
        if (seen.has(id)) continue
        seen.add(id)
        const { key, value } = decodeRecord(bound, { topic: lines.name, partition }, raw)
        found.push({ account: key as string, line: value as Line })
      }
    }
    await reader.close()
  }
  return found
}

describe('a pipeline on a broker without groups', () => {
  it('three processes share it by leases; one is killed: nothing is lost, nothing twice', async () => {
    const total = 900
    const name = `ledger-${process.pid}`
    const book = ledger(name)
    const job = { name, store: `sqlite:${join(folder, 'commits.db')}`, sessionTimeout: 2_000, pace: 2 }
    const adapter = await opened()
    const client = await connect({ brokers: { default: adapter }, store: job.store, variables: {} })
    const producer = await client.producer(book.deposits)
    const deposit = (from: number, to: number): Promise<unknown> =>
      producer.sendAll(
        Array.from({ length: to - from }, (_, index) => ({
          key: `account-${(from + index) % 20}`,
          value: { amount: 1, at: 1_700_000_000_000 + from + index }
        }))
      )
    await deposit(0, 600)
    const workers = [work(job), work(job), work(job)]
    const booked = async (): Promise<number> =>
      (await adapter.admin().describeTopic(book.lines.name)) ? (await linesOf(adapter, book)).length : 0
    await expect.poll(booked, { timeout: 20_000 }).toBeGreaterThan(150)
    workers[1]!.kill('SIGKILL')
    await workers[1]!.exited
    await deposit(600, total)
    await expect.poll(booked, { timeout: 30_000 }).toBeGreaterThanOrEqual(total)
    for (const worker of [workers[0]!, workers[2]!]) worker.kill('SIGTERM')
    expect(await Promise.all([workers[0]!.exited, workers[2]!.exited])).toEqual([0, 0])

    const lines = await linesOf(adapter, book)
    const next = new Map<string, number>()
    for (const { account, line } of lines) {
      const expected = (next.get(account) ?? 0) + 1
      expect(line, `line ${expected} of ${account}`).toEqual({ line: expected, balance: expected })
      next.set(account, expected)
    }
    expect(lines.length).toBe(total)
    expect(next.size).toBe(20)
    console.log(`leases: 3 processes on a broker without groups, 1 killed, ${total} deposits, 0 lost, 0 duplicated`)
    await client.close()
  }, 90_000)
})

/** The pipeline cases of the suite: kill -9, and a worker that is stopped for longer than its session. */
const harness: Harness = {
  backend: 'file without groups',
  capabilities: { ...fileCapabilities, groups: false },
  sessionTimeout: 2_000,
  start: opened,
  spawnWorker: work,
  isLocked: () => isLocked(join(folder, 'log.db')),
  stop: () => rm(folder, { recursive: true, force: true })
}
const cases = conformanceCases.filter(({ group }) => group === 'pipeline')
adapterConformance(harness, { describe, it, afterAll }, cases)

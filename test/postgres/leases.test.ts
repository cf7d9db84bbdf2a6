import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { file } from '../../src/adapters/file/index.ts'
import { bindTopic, decodeRecord } from '../../src/broker/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import { connect } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { ledger, type LedgerJob, type Line } from '../../src/testing/conformance/index.ts'
import { postgresAvailable, startPostgres } from '../../testcontainers/postgres.ts'
import { ungrouped } from '../leases/ungrouped.ts'
import { asked, withOptions } from '../support/postgres.ts'

const script = fileURLToPath(new URL('../leases/pipeline-worker.ts', import.meta.url))
const reason = inject('backends').includes('postgres') ? await postgresAvailable() : 'BACKENDS leaves out postgres'

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

/** Every line as a reader with this library sees it: repeats of the relay are dropped. */
async function linesOf(
  adapter: AnyAdapter,
  lines: ReturnType<typeof ledger>['lines']
): Promise<{ account: string; line: Line }[]> {
  if (!(await adapter.admin().describeTopic(lines.name))) return []
  const bound = await bindTopic(lines, adapter, lines.partitions!, undefined)
  const seen = new Set<string>()
  const found: { account: string; line: Line }[] = []
  for (let partition = 0; partition < bound.partitions; partition++) {
    const place = { topic: lines.name, partition }
    const reader = await adapter.partitionReader!({
      ...place,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    for (let atEnd = false; !atEnd;) {
      const received = await reader.receive({ wait: 0 })
      atEnd = received.atEnd
      for (const raw of received.records) {
        const { producer, sequence } = decodeStamp(raw.stamp!)
        const id = `${partition} ${sequence} ${producer}`
        if (seen.has(id)) continue
        seen.add(id)
        const { key, value } = decodeRecord(bound, place, raw)
        found.push({ account: key as string, line: value as Line })
      }
    }
    await reader.close()
  }
  return found
}

describe.skipIf(reason)(
  `a broker without groups, leases and commits in PostgreSQL${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    test('three workers share a pipeline; one is killed, then the server: nothing is lost, nothing twice', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-leased-'))
      onTestFinished(() => rm(folder, { recursive: true, force: true }))
      await using server = await startPostgres()
      const name = `ledger-${process.pid}`
      const store = withOptions(server.url, { schema: 'ledger' })
      const job: LedgerJob = { name, store, sessionTimeout: 2_000, pace: 2 }
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
      const booked = async (): Promise<number> => (await linesOf(adapter, book.lines)).length
      await deposit(0, 600)
      const workers = [work(folder, job), work(folder, job), work(folder, job)]
      await expect.poll(booked, { timeout: 20_000 }).toBeGreaterThan(150)
      workers[1]!.kill('SIGKILL')
      await once(workers[1]!, 'exit')
      await deposit(600, 1_000)
      await expect.poll(booked, { timeout: 30_000 }).toBeGreaterThan(700)
      await server.kill()
      await deposit(1_000, 1_300)
      await server.restart()
      await expect.poll(booked, { timeout: 40_000 }).toBeGreaterThanOrEqual(1_300)
      for (const worker of [workers[0]!, workers[2]!]) {
        const ended = once(worker, 'exit')
        worker.kill('SIGTERM')
        expect(await ended).toEqual([0, null])
      }
      const next = new Map<string, number>()
      for (const { account, line } of await linesOf(adapter, book.lines)) {
        const expected = (next.get(account) ?? 0) + 1
        expect(line, `line ${expected} of ${account}`).toEqual({ line: expected, balance: expected })
        next.set(account, expected)
      }
      expect([...next.values()].reduce((sum, lines) => sum + lines, 0)).toBe(1_300)
      const holders = await asked('SELECT name FROM ledger.lease WHERE owner IS NOT NULL', [], server.url)
      // All have said goodbye; of the one that was killed, at most its presence is left.
      expect(holders.length).toBeLessThanOrEqual(1)
      await client.close()
    }, 120_000)
  }
)

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, inject, it, onTestFinished, test } from 'vitest'
import { file } from '../../src/adapters/file/index.ts'
import { memory, MemoryBroker, memoryCapabilities } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { DynamodbStore } from '../../src/exactly-once/index.ts'
import { connect } from '../../src/index.ts'
import { adapterConformance, conformanceCases, ledger, type LedgerJob } from '../../src/testing/conformance/index.ts'
import { dynamodbAvailable, startDynamodb } from '../../testcontainers/dynamodb.ts'
import { notRun, running, url, urlOf } from '../support/dynamodb.ts'
import { linesOf } from './lines.ts'
import { regrouped, ungrouped, withoutTransactions } from './ungrouped.ts'

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

const reason = inject('backends').includes('dynamodb') ? await dynamodbAvailable() : 'BACKENDS leaves out dynamodb'

describe.skipIf(reason)(
  `a broker without groups, leases and commits in DynamoDB${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    test('three workers share a pipeline; one is killed, then the server: nothing is lost, nothing twice', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-leased-'))
      onTestFinished(() => rm(folder, { recursive: true, force: true }))
      await using server = await startDynamodb()
      const name = `ledger-${process.pid}`
      const store = urlOf('ledger', { endpoint: server.endpoint, requestTimeout: '2000' })
      const job: LedgerJob = { name, store, sessionTimeout: 3_000, pace: 2 }
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
      await expect.poll(booked, { timeout: 40_000 }).toBeGreaterThan(150)
      workers[1]!.kill('SIGKILL')
      await once(workers[1]!, 'exit')
      await deposit(600, 1_000)
      await expect.poll(booked, { timeout: 40_000 }).toBeGreaterThan(700)
      await server.kill()
      await deposit(1_000, 1_300)
      await server.restart()
      await expect.poll(booked, { timeout: 60_000 }).toBeGreaterThanOrEqual(1_300)
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
    }, 180_000)
  }
)

/** What the contract asks of a reader in a group, asked of one by leases in DynamoDB. */
const cases = conformanceCases.filter(({ group }) => ['positions', 'membership'].includes(group))
describe.skipIf(!running)(`leases in DynamoDB${notRun}`, () => {
  const broker = new MemoryBroker()
  const stores: DynamodbStore[] = []
  adapterConformance(
    {
      backend: 'memory, by leases in DynamoDB',
      capabilities: withoutTransactions(memoryCapabilities),
      sessionTimeout: 2_000,
      async start() {
        const store = await DynamodbStore.open({ url })
        stores.push(store)
        const adapter = memory({ broker })
        await adapter.open(systemEnvironment)
        return regrouped(adapter, store)
      },
      async stop() {
        for (const store of stores) await store.close()
      }
    },
    { describe, it, afterAll },
    cases.filter(({ name }) => name !== 'the backlog is what was written and not committed')
  )
})

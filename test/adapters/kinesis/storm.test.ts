/** The whole pipeline while shards are split and merged, requests are refused and a worker is killed. */
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { fromUrl } from '../../../src/adapters/kinesis/index.ts'
import { CaseContext } from '../../../src/testing/conformance/context.ts'
import type { WorkerProcess } from '../../../src/testing/conformance/index.ts'
import { Bank } from '../../../src/testing/conformance/pipelines/bank.ts'
import { ledger } from '../../../src/testing/conformance/pipelines/ledger.ts'
import { kinesisHarness } from '../../testing/harnesses.ts'
import { merge, notRun, open, running, split, updateShardCount, url } from './server.ts'
import { ThrottlingProxy } from './throttling-proxy.ts'

describe.runIf(running)('a pipeline in a storm', () => {
  let context: CaseContext | undefined
  const abort = new AbortController()
  afterEach(() => context?.close())

  it('books every deposit once: a split, a merge, a new shard count, refusals, and a worker killed', async () => {
    await using proxy = await ThrottlingProxy.start(fromUrl(url).endpoint!)
    const harness = await kinesisHarness({
      url: `kinesis://us-east-1?endpoint=${proxy.endpoint}&pollInterval=100`,
      stop: async () => {}
    })
    context = new CaseContext(harness, abort.signal)
    const direct = context.keep(await open())
    const bank = new Bank(context, 'store')
    const name = context.name('storm')
    const book = ledger(name)
    const producer = await bank.producer(book)
    const job = { name, store: context.storeFor('store'), sessionTimeout: 2_000, pace: 1 }
    const start = (): WorkerProcess => context!.worker(harness.spawnWorker!(job))
    const workers = [start(), start()]
    proxy.share = 0.2
    const total = 2_000
    const depositing = (async () => {
      for (let from = 0; from < total; from += 50) {
        await bank.deposit(producer, from, from + 50)
        await wait(100)
      }
    })()
    for (const topic of [book.deposits.name, book.lines.name]) await split(direct, topic, 1)
    await wait(500)
    workers[0]!.kill('SIGKILL')
    workers.push(start())
    for (const topic of [book.deposits.name, book.lines.name]) await merge(direct, topic, 1)
    await wait(500)
    await updateShardCount(direct, book.deposits.name, 2)
    await depositing
    await producer.close()
    proxy.share = 0
    const booked = async (): Promise<number> => new Set((await bank.lines(book)).map(({ id }) => id)).size
    for (const deadline = performance.now() + 90_000; (await booked()) < total;)
      if (performance.now() > deadline) throw new Error(`only ${await booked()} of ${total} were booked`)
    for (const worker of workers.slice(1)) worker.kill('SIGTERM')
    for (const worker of workers.slice(1)) expect(await worker.exited).toBe(0)
    await bank.check(book, total)
    expect(proxy.refused).toBeGreaterThan(20)
  }, 180_000)
})

it.skipIf(running)(`a pipeline in a storm${notRun}`, () => {})

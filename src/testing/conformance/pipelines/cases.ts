import assert from 'node:assert/strict'
import { parkedHeaders } from '../../../broker/index.ts'
import { noHeaders, headerText, type RawRecord } from '../../../core/record.ts'
import type { Applies } from '../applies.ts'
import type { CaseContext } from '../context.ts'
import type { ConformanceCase, WorkerProcess } from '../types.ts'
import { Bank } from './bank.ts'
import { atEachCommitPoint, booked } from './commit-points.ts'
import { ledger } from './ledger.ts'

const group = 'pipeline'

const processes: Applies = (_capabilities, traits) => {
  if (!traits.spawnWorker)
    return 'workers in processes of their own cannot reach this broker, or the harness starts none'
  return true
}

/** SIGSTOP at a moment when the worker holds no lock of a file that it shares with the others. */
async function stopOutsideWrites(context: CaseContext, worker: WorkerProcess, store: string): Promise<void> {
  const file = /^sqlite:(.*)$/.exec(store)?.[1]
  for (const deadline = context.deadline(); ;) {
    worker.kill('SIGSTOP')
    const locked = (file !== undefined && (await isLocked(file))) || (await context.harness.isLocked?.())
    if (!locked) return
    worker.kill('SIGCONT')
    assert.ok(performance.now() < deadline, 'the worker was inside a write each time it was stopped')
    await context.sleep(7)
  }
}

/** Does another process hold the write lock of this SQLite file? */
export async function isLocked(file: string): Promise<boolean> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(file, { timeout: 20 })
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK')
    return false
  } catch {
    return true
  } finally {
    database.close()
  }
}

export const pipelineCases: readonly ConformanceCase[] = [
  ...atEachCommitPoint(group, 'every deposit is booked once', async (context, commitIn) => {
    const bank = new Bank(context, commitIn)
    const book = ledger(context.name('ledger'))
    const producer = await bank.producer(book)
    const worker = await bank.work(book.app)
    await bank.deposit(producer, 0, 500)
    await producer.close()
    await booked(context, bank, book, 500)
    await worker.stop()
    await bank.check(book, 500)
  }),
  ...atEachCommitPoint(
    group,
    'a worker that joins and one that leaves hand over without loss or repeat',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      const book = ledger(context.name('ledger'))
      const producer = await bank.producer(book)
      const first = await bank.work(book.app)
      await bank.deposit(producer, 0, 300)
      await booked(context, bank, book, 100)
      const second = await bank.work(book.app)
      await bank.deposit(producer, 300, 600)
      await booked(context, bank, book, 400)
      await first.stop()
      await bank.deposit(producer, 600, 900)
      await producer.close()
      await booked(context, bank, book, 900)
      await second.stop()
      await bank.check(book, 900)
    }
  ),
  ...atEachCommitPoint(
    group,
    'a run that is stopped and started again goes on where it was',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      const book = ledger(context.name('ledger'))
      const producer = await bank.producer(book)
      await bank.deposit(producer, 0, 200)
      const first = await bank.work(book.app)
      await booked(context, bank, book, 50)
      await first.stop()
      await bank.deposit(producer, 200, 400)
      await producer.close()
      const second = await bank.work(book.app)
      await booked(context, bank, book, 400)
      await second.stop()
      await bank.check(book, 400)
    }
  ),
  ...atEachCommitPoint(
    group,
    'poison bytes and a handler that keeps failing are parked with their cause; the partition goes on',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      const failure = { retries: 1, backoff: { first: 1, most: 1 } }
      const before = ({ amount }: { amount: number }): void => {
        if (amount < 0) throw new Error('no negative deposits')
      }
      const book = ledger(context.name('ledger'), { before, failure, partitions: 1 })
      const producer = await bank.producer(book)
      await bank.deposit(producer, 0, 20)
      const poison = {
        topic: book.deposits.name,
        partition: 0,
        key: Buffer.from('account-1'),
        value: Buffer.from('{no json'),
        headers: noHeaders
      }
      await context.send([{ ...poison, stamp: undefined, timestamp: 1_700_000_000_000 }])
      await producer.send({ key: 'account-2', value: { amount: -1, at: 1_700_000_000_020 } })
      await bank.deposit(producer, 21, 40)
      await producer.close()
      const worker = await bank.work(book.app)
      await booked(context, bank, book, 39)
      await worker.stop()
      const code = ({ headers }: RawRecord): string => headerText(headers, parkedHeaders.code)!
      const parked = (await bank.parked(book, 2)).toSorted((left, right) => (code(left) < code(right) ? -1 : 1))
      const cause = parked.map(({ headers }) => [
        headerText(headers, parkedHeaders.code),
        headerText(headers, parkedHeaders.attempts)
      ])
      assert.deepEqual(cause, [
        ['bad-record', '1'],
        ['handler', '2']
      ])
      assert.equal(Buffer.from(parked[0]!.value!).toString(), '{no json', 'the bytes as they came')
      assert.match(headerText(parked[1]!.headers, parkedHeaders.error)!, /no negative deposits/)
      assert.match(headerText(parked[1]!.headers, parkedHeaders.origin)!, new RegExp(`^${book.deposits.name}/0/`))
    }
  ),
  ...atEachCommitPoint(
    group,
    'kill -9 of a worker: another takes over, nothing is lost or booked twice',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      const name = context.name('ledger')
      const book = ledger(name)
      const producer = await bank.producer(book)
      const spawn = context.harness.spawnWorker!
      const job = { name, store: context.storeFor(commitIn), sessionTimeout: context.sessionTimeout, pace: 1 }
      const first = context.worker(spawn(job))
      await bank.deposit(producer, 0, 400)
      await booked(context, bank, book, 100)
      const second = context.worker(spawn(job))
      first.kill('SIGKILL')
      await bank.deposit(producer, 400, 600)
      await producer.close()
      await booked(context, bank, book, 600)
      second.kill('SIGTERM')
      assert.equal(await second.exited, 0, 'the second worker drains')
      await bank.check(book, 600)
    },
    processes
  ),
  ...atEachCommitPoint(
    group,
    'a worker that is stopped for longer than its session comes back fenced',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      const name = context.name('ledger')
      const book = ledger(name)
      const producer = await bank.producer(book)
      const spawn = context.harness.spawnWorker!
      const job = { name, store: context.storeFor(commitIn), sessionTimeout: context.sessionTimeout, pace: 1 }
      const first = context.worker(spawn(job))
      await bank.deposit(producer, 0, 400)
      await booked(context, bank, book, 50)
      await stopOutsideWrites(context, first, job.store)
      const second = context.worker(spawn(job))
      // The first one may have booked all there was: these can only be the second's.
      await bank.deposit(producer, 400, 500)
      await booked(context, bank, book, 500)
      first.kill('SIGCONT')
      await bank.deposit(producer, 500, 600)
      await producer.close()
      await booked(context, bank, book, 600)
      for (const worker of [first, second]) worker.kill('SIGTERM')
      assert.deepEqual([await first.exited, await second.exited], [0, 0], 'both drain')
      await bank.check(book, 600)
    },
    processes
  )
]

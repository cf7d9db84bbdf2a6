import assert from 'node:assert/strict'
import { systemEnvironment } from '../../../core/environment.ts'
import { PoisonError } from '../../../core/failure.ts'
import { redrive } from '../../../pipeline/index.ts'
import type { ConformanceCase } from '../types.ts'
import { Bank } from './bank.ts'
import { atEachCommitPoint, booked } from './commit-points.ts'
import { ledger } from './ledger.ts'

const group = 'retries'

/** Deposits, over twenty accounts; a twentieth of them is of the account that fails. */
const deposits = 200
const ofOne = deposits / 20

export const retryCases: readonly ConformanceCase[] = [
  ...atEachCommitPoint(
    group,
    'a record that is tried again holds up its key alone, and goes on waiting at another worker',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      let isLocked = true
      const before = (_: unknown, account: string): void => {
        if (isLocked && account === 'account-3') throw new Error('locked')
      }
      const failure = { retries: Infinity, backoff: { first: 100, most: 500 } }
      const book = ledger(context.name('ledger'), { before, failure })
      const producer = await bank.producer(book)
      const first = await bank.work(book.app)
      await bank.deposit(producer, 0, deposits)
      await booked(context, bank, book, deposits - ofOne)
      const accounts = new Set((await bank.lines(book)).map(({ account }) => account))
      assert.ok(!accounts.has('account-3'), 'it was booked, though it fails')
      await first.stop()
      isLocked = false
      const second = await bank.work(book.app)
      await booked(context, bank, book, deposits)
      await producer.close()
      await second.stop()
      await bank.check(book, deposits)
    }
  ),
  ...atEachCommitPoint(
    group,
    'what was parked is sent back once, however often that is asked for',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      let isClosed = true
      const before = (_: unknown, account: string): void => {
        if (isClosed && account === 'account-5') throw new PoisonError('closed')
      }
      const book = ledger(context.name('ledger'), { before })
      const producer = await bank.producer(book)
      const worker = await bank.work(book.app)
      await bank.deposit(producer, 0, deposits)
      await booked(context, bank, book, deposits - ofOne)
      isClosed = false
      const host = bank.host(await context.start())
      let sent = 0
      // What is committed may be on its way to the parked topic.
      for (const deadline = context.deadline(); sent < ofOne; sent += (await redrive(host, book.deposits)).sent)
        assert.ok(systemEnvironment.monotonic() < deadline, `waited in vain for ${ofOne} parked records, sent ${sent}`)
      await booked(context, bank, book, deposits)
      assert.equal((await redrive(host, book.deposits)).sent, 0)
      await producer.close()
      await worker.stop()
      await bank.check(book, deposits)
    }
  ),
  ...atEachCommitPoint(
    group,
    'handlers of many keys at a time keep the order of each, through a hand-over',
    async (context, commitIn) => {
      const bank = new Bank(context, commitIn)
      let calls = 0
      const before = async ({ at }: { at: number }): Promise<void> => {
        await context.sleep(at % 7)
        if (++calls % 11 === 0) throw new Error('not now')
      }
      const failure = { retries: Infinity, backoff: { first: 1, most: 20 } }
      const book = ledger(context.name('ledger'), { before, failure, concurrency: 8 })
      const producer = await bank.producer(book)
      const first = await bank.work(book.app)
      await bank.deposit(producer, 0, deposits)
      await booked(context, bank, book, deposits / 4)
      const second = await bank.work(book.app)
      await first.stop()
      await bank.deposit(producer, deposits, 2 * deposits)
      await producer.close()
      await booked(context, bank, book, 2 * deposits)
      await second.stop()
      await bank.check(book, 2 * deposits)
    }
  )
]

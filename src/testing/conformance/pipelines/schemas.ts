import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parkedHeaders } from '../../../broker/index.ts'
import { headerText } from '../../../core/record.ts'
import type { SchemaRegistry } from '../../../core/registry.ts'
import { avro, fileRegistry } from '../../../schema/index.ts'
import type { Applies } from '../applies.ts'
import { outgoing, type CaseContext } from '../context.ts'
import type { ConformanceCase } from '../types.ts'
import { Bank, type CommitPoint } from './bank.ts'
import { atEachCommitPoint, booked } from './commit-points.ts'
import { ledger, type Deposit, type Ledger, type LedgerCodecs, type Line } from './ledger.ts'

const group = 'schemas'

/** Of an optional peer, which who tests an adapter need not have. */
const installed: Applies = () => {
  try {
    import.meta.resolve('avsc')
    return true
  } catch {
    return "the package 'avsc' is not installed"
  }
}

const options = { long: 'number' } as const
const amount = { name: 'amount', type: 'int' } as const
const at = { name: 'at', type: 'long' } as const
const older = { type: 'record', name: 'Deposit', fields: [amount, at] } as const
const newer = {
  type: 'record',
  name: 'Deposit',
  fields: [{ name: 'note', type: 'string', default: '' }, { ...amount, type: 'long' }, at]
} as const
const line = {
  type: 'record',
  name: 'Line',
  fields: [
    { name: 'line', type: 'int' },
    { name: 'balance', type: 'int' }
  ]
} as const

function codecsWith(deposit: typeof older | typeof newer): LedgerCodecs {
  return { deposit: avro<Deposit>(deposit, options), line: avro<Line>(line), state: avro<number>('int') }
}

/** The same topics, as a service with yesterday's schema has them and as one with today's. */
function ledgers(name: string): { readonly yesterday: Ledger; readonly today: Ledger } {
  return { yesterday: ledger(name, { codecs: codecsWith(older) }), today: ledger(name, { codecs: codecsWith(newer) }) }
}

async function registryOf(context: CaseContext, ids: 'payload' | 'headers'): Promise<SchemaRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-case-'))
  context.keep({ close: () => rm(folder, { recursive: true, force: true }) })
  const registry = fileRegistry(folder)
  if (ids === 'payload') return registry
  const name = 'schema-id'
  return {
    ...registry,
    headers: {
      place: `header '${name}'`,
      write: ({ id }) => ({ [name]: Buffer.from(String(id)) }),
      read: headers => (headers[name] ? Number(headerText(headers, name)) : undefined)
    }
  }
}

async function bookTwoVersions(context: CaseContext, commitIn: CommitPoint, ids: 'payload' | 'headers'): Promise<void> {
  const bank = new Bank(context, commitIn, await registryOf(context, ids))
  const { yesterday, today } = ledgers(context.name('ledger'))
  const before = await bank.producer(yesterday)
  await bank.deposit(before, 0, 100)
  const worker = await bank.work(today.app)
  await booked(context, bank, today, 100)
  const now = await bank.producer(today)
  for (let from = 100; from < 300; from += 20)
    await now.sendAll(
      Array.from({ length: 20 }, (_, index) => ({
        key: `account-${index}`,
        value: { amount: 1, at: 1_700_000_000_000 + from + index, note: 'new' } as Deposit
      }))
    )
  await bank.deposit(before, 300, 400)
  await before.close()
  await now.close()
  await booked(context, bank, today, 400)
  await worker.stop()
  await bank.check(today, 400)
}

export const schemaCases: readonly ConformanceCase[] = [
  ...atEachCommitPoint(
    group,
    'records and state under two versions of a schema are booked once',
    (context, commitIn) => bookTwoVersions(context, commitIn, 'payload'),
    installed
  ),
  {
    group,
    name: 'ids of schemas in headers come through, and state needs none',
    applies: installed,
    run: context => bookTwoVersions(context, 'store', 'headers')
  },
  {
    group,
    name: 'a record that does not fit its schema is parked as it came, with its cause',
    applies: installed,
    async run(context) {
      const bank = new Bank(context, 'store', await registryOf(context, 'payload'))
      const { today } = ledgers(context.name('ledger'))
      const producer = await bank.producer(today)
      const worker = await bank.work(today.app)
      await bank.deposit(producer, 0, 20)
      const spoilt = Buffer.from([0, 0, 0, 0, 99, 2])
      await context.send([outgoing(today.deposits.name, 0, spoilt, { key: Buffer.from('account-0') })])
      await bank.deposit(producer, 20, 40)
      await producer.close()
      await booked(context, bank, today, 40)
      const parked = await bank.parked(today, 1)
      await worker.stop()
      assert.deepEqual(
        parked.map(({ value }) => Buffer.from(value!)),
        [spoilt]
      )
      assert.equal(headerText(parked[0]!.headers, parkedHeaders.code), 'bad-schema')
      assert.match(headerText(parked[0]!.headers, parkedHeaders.error)!, /no schema has id 99/)
      await bank.check(today, 40)
    }
  }
]

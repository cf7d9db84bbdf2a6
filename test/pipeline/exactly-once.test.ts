import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { SqliteStore } from '../../src/exactly-once/index.ts'
import { json, keyed, number, pipeline, processor, sink, source, text, topic, type Pipeline } from '../../src/index.ts'
import { runThroughChaos } from './chaos.ts'
import { dice, seeds, World } from './world.ts'

interface Deposit {
  readonly account: string
  readonly number: number
  readonly amount: number
  readonly at: number
}
interface Balance {
  readonly number: number
  readonly balance: number
  /** Of this attempt, and of the one before it by the state: outputs and state of different attempts do not fit together. */
  readonly attempt: number
  readonly before: number
}

const lateness = 50
const deposits = topic('deposits', {
  key: text,
  value: json<Deposit>(),
  eventTime: deposit => deposit.at,
  lateness,
  partitions: 4
})
const balances = topic('balances', { key: text, value: json<Balance>(), partitions: 4 })
const reminders = topic('reminders', { key: text, value: text, partitions: 2 })
const copies = topic('copies', { key: text, value: json<Balance>(), partitions: 3 })

const start = Date.UTC(2026, 0, 1)
const count = 60

/** What one split brings: four accounts, event times with bounded disorder. */
function script(split: string, seed: number): Deposit[] {
  const random = dice(seed * 31 + split.length)
  const numbers = new Map<string, number>()
  return Array.from({ length: count }, (_, index) => {
    const account = `${split}-${Math.floor(random() * 4)}`
    const next = (numbers.get(account) ?? 0) + 1
    numbers.set(account, next)
    return {
      account,
      number: next,
      amount: 1 + Math.floor(random() * 100),
      at: start + index * 20 - Math.floor(random() * lateness)
    }
  })
}

const splits = ['left', 'right']

function bank(world: World, seed: number, rows: Map<string, number>): Pipeline {
  const random = dice(seed * 13)
  const teller = source({
    name: 'teller',
    to: deposits,
    splits: () => splits,
    async *run({ resume, split }) {
      const all = script(split, seed)
      for (let at = Number(resume ?? 0); at < all.length;) {
        const size = 1 + Math.floor(random() * 6)
        yield all
          .slice(at, at + size)
          .map((deposit, index) => ({ key: deposit.account, value: deposit, cursor: at + index + 1 }))
        at += size
        if (random() < 0.7) await sleep(world.environment, random() * 400)
      }
    }
  })
  const book = processor({
    name: 'book',
    from: deposits,
    to: [balances, reminders],
    failure: { retries: 30 },
    state: { balance: keyed(number, 0), count: keyed(number, 0), attempt: keyed(number, 0) },
    async process({ key, value }, { state, timers }) {
      if (random() < 0.2) await sleep(world.environment, random() * 30)
      state.balance.set(state.balance.get() + value.amount)
      state.count.set(state.count.get() + 1)
      timers.at(value.at + 100, `${value.number}`)
      if (random() < 0.05) {
        timers.at(value.at + 50, 'ghost') // must go with the attempt
        throw new Error('not this time')
      }
      const before = state.attempt.get()
      const attempt = random()
      state.attempt.set(attempt)
      return {
        topic: 'balances',
        key,
        value: { number: state.count.get(), balance: state.balance.get(), attempt, before }
      }
    },
    onTimer: ({ key, name }) => ({ topic: 'reminders', key, value: name })
  })
  const copy = processor({
    name: 'copy',
    from: balances,
    to: copies,
    *process({ key, value }) {
      yield { key, value }
    }
  })
  const vault = sink({
    name: 'vault',
    from: copies,
    write: records => {
      if (random() < 0.1) throw new Error('the vault is closed')
      for (const { key, value } of records) rows.set(`${key}/${value.number}`, value.balance)
    }
  })
  return pipeline('bank', [teller, book, copy, vault])
}

/** The same, by the book. */
function expected(seed: number): { balances: Map<string, number>; reminders: string[] } {
  const all = splits.flatMap(split => script(split, seed))
  const sums = new Map<string, number>()
  const balanceRows = new Map<string, number>()
  for (const { account, number: at, amount } of all) {
    const sum = (sums.get(account) ?? 0) + amount
    sums.set(account, sum)
    balanceRows.set(`${account}/${at}`, sum)
  }
  return { balances: balanceRows, reminders: all.map(({ account, number: at }) => `${account}/${at}`).sort() }
}

async function check(world: World, seed: number, rows: Map<string, number>): Promise<void> {
  const oracle = expected(seed)
  const total = splits.length * count
  for (const name of [balances, copies]) {
    const records = await world.records(name)
    expect(records.map(({ key, value }) => `${key}/${value.number}`).length, name.name).toBe(total)
    expect(new Map(records.map(({ key, value }) => [`${key}/${value.number}`, value.balance]))).toEqual(oracle.balances)
    const last = new Map<string, Balance>()
    for (const { key, value } of records) {
      expect(value.number, `order of ${key}`).toBe((last.get(key)?.number ?? 0) + 1)
      expect(value.before, `attempts of ${key}`).toBe(last.get(key)?.attempt ?? 0)
      last.set(key, value)
    }
  }
  expect((await world.records(reminders)).map(({ key, value }) => `${key}/${value}`).sort()).toEqual(oracle.reminders)
  expect(rows).toEqual(oracle.balances)
  for (const stage of ['book', 'copy', 'vault'])
    expect(await world.counts(stage), stage).toMatchObject({ processed: total, parked: 0, late: 0, lost: 0 })
  expect(await world.counts('book')).toMatchObject({ emitted: total * 2 })
}

const settings = { commitInterval: 40, commitRecords: 25, sessionTimeout: 8_000 }

describe('exactly once through any fault', () => {
  it('without faults', async () => {
    const world = new World()
    const rows = new Map<string, number>()
    await world.run(bank(world, 1, rows), settings)
    await check(world, 1, rows)
  })

  const stores: [string, () => Promise<World> | World, (seed: number) => Promise<World>][] = [
    ['a store in memory', () => new World(), async seed => new World({ seed, latency: 30 })],
    [
      'transactions of the broker',
      () => new World(),
      async seed => new World({ seed, commitIn: 'broker', latency: 30 })
    ],
    [
      'SQLite',
      () => new World(),
      async seed => new World({ seed, store: await SqliteStore.open(':memory:'), latency: 30 })
    ]
  ]
  describe.each(stores)('%s', (_, __, open) => {
    it.each(seeds(12))(
      'seed %d',
      async seed => {
        const world = await open(seed)
        const rows = new Map<string, number>()
        const done = await runThroughChaos(world, bank(world, seed, rows), {
          seed,
          faults: 25,
          workers: 2,
          run: settings
        })
        try {
          await check(world, seed, rows)
        } catch (error) {
          throw new Error(`after ${done.join('\n')}`, { cause: error })
        }
      },
      30_000
    )
  })
})

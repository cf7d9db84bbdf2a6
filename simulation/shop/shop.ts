import { sleep } from '../../src/core/environment.ts'
import {
  failed,
  json,
  keyed,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Pipeline,
  type Topic
} from '../../src/index.ts'
import type { Machine } from '../core/machine.ts'
import type { Random } from '../core/random.ts'
import type { Observations } from './observations.ts'
import { windowSize, type Order, type Script } from './script.ts'

/** Second hop: what an item has seen, told with every order. */
export interface Step {
  readonly id: string
  readonly item: string
  readonly amount: number
}

export interface Total {
  readonly id: string
  readonly count: number
  readonly total: number
  /** Of the attempt that made this, and of the one before it by the state: attempts that were dropped do not fit. */
  readonly attempt: string
  readonly before: string
}

export interface Pane {
  readonly window: number
  readonly total: number
  readonly ids: readonly string[]
}

export interface Topics {
  readonly orders: Topic<'orders', string, Order>
  readonly steps: Topic<'steps', string, Step>
  readonly totals: Topic<'totals', string, Total>
  readonly panes: Topic<'panes', string, Pane>
}

export function topicsOf({ partitions, lateness }: Script): Topics {
  return {
    orders: topic('orders', { key: text, value: json<Order>(), eventTime: order => order.at, lateness, partitions }),
    steps: topic('steps', { key: text, value: json<Step>(), partitions }),
    totals: topic('totals', { key: text, value: json<Total>(), partitions }),
    panes: topic('panes', { key: text, value: json<Pane>(), partitions: 1 })
  }
}

/** What an order becomes at the first hop: none, one or two steps. */
export function stepsOf({ id, item, amount }: Order): Step[] {
  if (amount % 10 === 0) return []
  const one = { id, item, amount }
  return amount % 7 === 0 ? [one, { id: `${id}+`, item: `${item}-gift`, amount: 1 }] : [one]
}

export const windowOf = (at: number): number => Math.floor(at / windowSize) * windowSize + windowSize

export interface ShopParts {
  readonly script: Script
  /** The database of the sink: `item/count` -> id. */
  readonly rows: Map<string, string>
  readonly seen: Observations
  readonly random: Random
  /** More may come: the sources do not end yet. */
  isOpen(): boolean
}

/**
 * The pipeline under test, or a half of it, as one machine runs it: a source with splits, a stateless hop to other keys, a hop with state,
 * timers and two outputs, and a sink into a database of rows by key.
 */
export function shop(
  part: 'shop' | 'front' | 'back',
  machine: Machine,
  { script, rows, seen, random, isOpen }: ShopParts
): Pipeline {
  const { orders, steps, totals, panes } = topicsOf(script)
  const { environment } = machine
  const dice = random.fork(`shop of ${machine.name}`)
  const pace = script.duration / 20
  const feed = source({
    name: 'feed',
    to: orders,
    splits: () => [...script.splits.keys()],
    async *run({ resume, split }) {
      const all = script.splits.get(split)!
      for (let at = Number(resume ?? 0); at < all.length;) {
        const size = 1 + dice.below(Math.ceil(all.length / 8))
        yield all
          .slice(at, at + size)
          .map((order, index) => ({ key: order.account, value: order, cursor: at + index + 1 }))
        at += size
        if (dice.chance(0.8)) await sleep(environment, dice.skewed(0, 6 * pace))
      }
      while (isOpen()) await sleep(environment, 1_000)
    }
  })
  const hop = {
    name: 'route',
    from: orders,
    to: steps,
    failure: { retries: 2, backoff: { first: 5, most: 20 } }
  } as const
  const entriesOf = (order: Order) => stepsOf(order).map(step => ({ key: step.item, value: step }))
  // One by one or in batches: to everybody else it is the same stage, so machines of one pipeline need not agree.
  const route = random.fork(`style of ${machine.name}`).chance(0.5)
    ? processor({
        ...hop,
        async process(record, { watermark, task }) {
          seen.record(task, record, watermark)
          if (dice.chance(0.05)) await sleep(environment, dice.skewed(0, 500))
          if (record.value.poison) throw new Error('poison')
          return entriesOf(record.value)
        }
      })
    : processor({
        ...hop,
        batch: { records: 1 + dice.below(40), wait: dice.below(3) * 20 },
        async processBatch(records, { watermark, task }) {
          for (const record of records) seen.record(task, record, watermark)
          if (dice.chance(0.2)) await sleep(environment, dice.skewed(0, 500))
          if (dice.chance(0.02)) throw new Error('not this time')
          return records.map(({ value }) => (value.poison ? failed(new Error('poison')) : entriesOf(value)))
        }
      })
  const count = processor({
    name: 'count',
    from: steps,
    to: [totals, panes],
    failure: { retries: 30, backoff: { first: 5, most: 50 } },
    state: {
      count: keyed(json<number>(), 0),
      total: keyed(json<number>(), 0),
      attempt: keyed(text, ''),
      open: keyed(json<Record<string, Pane>>(), {})
    },
    process(record, { state, timers, watermark, task }) {
      seen.record(task, record, watermark)
      const { key, value, eventTime } = record
      const window = windowOf(eventTime)
      const before = state.attempt.get()
      const attempt = `${machine.name}/${dice.next()}`
      state.attempt.set(attempt)
      state.count.set(state.count.get() + 1)
      state.total.set(state.total.get() + value.amount)
      const open = state.open.get()
      const pane = open[window] ?? { window, total: 0, ids: [] }
      state.open.set({ ...open, [window]: { window, total: pane.total + value.amount, ids: [...pane.ids, value.id] } })
      timers.at(window)
      if (dice.chance(0.02)) {
        timers.at(window - windowSize, 'ghost')
        throw new Error('not this time')
      }
      return {
        topic: 'totals',
        key,
        value: { id: value.id, count: state.count.get(), total: state.total.get(), attempt, before }
      }
    },
    onTimer({ key, time, name }, { state, watermark, task }) {
      seen.timer(task, time, watermark)
      if (name === 'ghost') throw new Error('a timer of a failed attempt has fired')
      const { [time]: pane, ...open } = state.open.get()
      state.open.set(open)
      return pane && { topic: 'panes', key, value: pane }
    }
  })
  const ledger = sink({
    name: 'ledger',
    from: totals,
    write: async records => {
      await machine.call('database', 'upsert', () => {
        for (const { key, value } of records) rows.set(`${key}/${value.count}`, value.id)
      })
    }
  })
  const stages = { shop: [feed, route, count, ledger], front: [feed, route], back: [count, ledger] }
  return pipeline(part, stages[part])
}

/** Joins in whole pipelines: on a broker, with producers, commits, crashes. */
import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import {
  intervalJoin,
  json,
  number,
  optional,
  pipeline,
  source,
  StreamError,
  tableJoin,
  text,
  topic,
  type JoinType,
  type Pipeline,
  type SourceContext
} from '../../src/index.ts'
import type { SourceStage } from '../../src/pipeline/index.ts'
import { crash, drive, elapse, type DriveItem } from '../../src/testing/index.ts'
import { runThroughChaos } from '../pipeline/chaos.ts'
import { dice, seeds, World } from '../pipeline/world.ts'

const start = Date.UTC(2026, 0, 1)
const at = (offset: number, value: unknown, key = 'k'): DriveItem => ({ key, value, eventTime: start + offset })
const orders = topic('orders', { key: text, value: text })
const payments = topic('payments', { key: text, value: number })
const paid = topic('paid', { key: text, value: json<readonly [string, number | undefined]>() })

describe('an interval join in a pipeline', () => {
  const joining = (type: JoinType): Pipeline =>
    pipeline('joining', [
      intervalJoin({
        name: 'pay',
        left: orders,
        right: payments,
        to: paid,
        before: 60,
        after: 10,
        type,
        join: (order, payment) => ({ key: order.key, value: [order.value, payment?.value] })
      })
    ])
  const inputs = {
    orders: [at(0, 'a'), at(50, 'b'), at(100, 'c'), at(300, 'd')],
    payments: [at(60, 1), at(95, 2), at(161, 3), at(310, 4, 'other')]
  }
  const pairs = [
    ['a', 1, 60],
    ['b', 1, 60],
    ['b', 2, 95],
    ['c', 2, 100]
  ]

  it.each<[JoinType, unknown[]]>([
    ['inner', pairs],
    ['left', [...pairs, ['d', undefined, 360]]]
  ])('%s gives each pair once, whatever dies when', async (type, expected) => {
    for (const side of ['orders', 'payments'] as const)
      for (let position = 0; position <= 4; position++) {
        const { outputs, crashes } = await drive(joining(type), {
          inputs: { ...inputs, [side]: inputs[side].toSpliced(position, 0, crash()) }
        })
        expect(crashes).toBe(1)
        const found = outputs['paid']!.map(({ value, eventTime }) => [
          ...value.slice(0, 1),
          value[1] ?? undefined,
          eventTime - start
        ])
        expect(found.sort(), `crash at ${side} ${position}`).toEqual(expected)
        expect(outputs['paid']!.some(({ late }) => late)).toBe(false)
      }
  })

  it('sends what comes too late to a topic of its own, or counts it', async () => {
    const late = topic('late', { key: text, value: text })
    const stage = intervalJoin({
      name: 'pay',
      left: orders,
      right: payments,
      to: paid,
      before: 60,
      after: 10,
      late: { left: late },
      join: (order, payment) => ({ key: order.key, value: [order.value, payment.value] })
    })
    const { outputs, counts } = await drive(pipeline('late', [stage]), {
      inputs: {
        orders: [at(500, 'a'), at(500, 'b'), elapse(5_000), at(10, 'late'), at(600, 'c')],
        payments: [at(500, 1), at(500, 2), elapse(5_000), at(20, 3), at(600, 4)]
      }
    })
    expect(outputs['paid']!.map(({ value }) => value.join(' ')).sort()).toEqual(['a 1', 'a 2', 'b 1', 'b 2', 'c 4'])
    expect(outputs['late']!.map(({ value }) => value)).toEqual(['late'])
    expect(counts['pay']).toMatchObject({ processed: 8, late: 2, expired: 1 })
  })

  describe('through chaos', () => {
    const spread = 40
    const count = 40
    const lefts = topic('lefts', { key: text, value: number, lateness: spread, partitions: 3 })
    const rights = topic('rights', { key: text, value: number, lateness: spread, partitions: 3 })
    const joined = topic('joined', { key: text, value: json<readonly (number | null)[]>(), partitions: 2 })
    const script = (seed: number): { key: string; value: number; eventTime: number }[] => {
      const random = dice(seed * 37)
      return Array.from({ length: count }, (_, index) => ({
        key: `key-${Math.floor(random() * 3)}`,
        value: index,
        eventTime: start + index * 20 - Math.floor(random() * spread)
      }))
    }

    it.each(seeds(10))('seed %i', { timeout: 60_000 }, async seed => {
      const world = new World({ seed, commitIn: seed % 2 ? 'store' : 'broker' })
      const random = dice(seed * 13)
      const feed = (name: string, to: typeof lefts | typeof rights, seed: number): SourceStage =>
        source({
          name,
          to,
          async *run({ resume }: SourceContext) {
            for (const [index, entry] of script(seed).entries()) {
              if (index < Number(resume ?? 0)) continue
              yield { ...entry, cursor: index + 1 }
              if (random() < 0.3) await sleep(world.environment, random() * 400)
            }
          }
        })
      const stage = intervalJoin({
        name: 'joining',
        left: lefts,
        right: rights,
        to: joined,
        before: 30,
        after: 20,
        type: 'left',
        failure: { retries: 30 },
        join(left, right) {
          if (random() < 0.03) throw new Error('not this time')
          return { key: left.key, value: [left.value, right?.value ?? null] }
        }
      })
      const app = pipeline('joins', [feed('left', lefts, seed), feed('right', rights, seed + 1_000), stage])
      const done = await runThroughChaos(world, app, {
        seed,
        faults: 8,
        workers: 1 + (seed % 3),
        run: { commitInterval: 50, sessionTimeout: 1_000 }
      })
      const expected: string[] = []
      for (const left of script(seed)) {
        const partners = script(seed + 1_000).filter(
          right =>
            right.key === left.key && left.eventTime >= right.eventTime - 30 && left.eventTime <= right.eventTime + 20
        )
        for (const right of partners) expected.push(`${left.value} ${right.value}`)
        if (partners.length === 0) expected.push(`${left.value} null`)
      }
      const records = await world.records(joined)
      expect(records.map(({ value }) => value.map(String).join(' ')).sort(), done.join(', ')).toEqual(expected.sort())
      expect(records.filter(({ late }) => late)).toEqual([])
      expect(await world.counts('joining')).toMatchObject({ processed: 2 * count, late: 0, expired: 0, lost: 0 })
    })
  })
})

describe('a table join', () => {
  const customers = topic('customers', { key: text, value: optional(text) })
  const named = topic('named', { key: text, value: text })
  const stage = (type: JoinType): Pipeline =>
    pipeline('naming', [
      tableJoin({
        name: 'names',
        from: orders,
        table: customers,
        to: named,
        type,
        join: (order, customer) => ({
          key: order.key,
          value: `${order.value} ${customer?.value} ${(customer?.eventTime ?? start) - start}`
        })
      })
    ])
  const inputs = {
    customers: [
      at(0, 'Ada'),
      at(0, 'Bob', 'other'),
      elapse(500),
      at(5, 'Ann'),
      elapse(1_000),
      at(20, null),
      elapse(1_000)
    ],
    orders: [
      elapse(200),
      at(1, 'a'),
      elapse(500),
      at(10, 'b'),
      at(10, 'c', 'nobody'),
      elapse(1_000),
      at(30, 'd'),
      at(30, 'e', 'other')
    ]
  }

  it('finds the newest value of the key, until a tombstone takes it out', async () => {
    const { outputs, counts } = await drive(stage('inner'), { inputs })
    expect(outputs['named']!.map(({ value, eventTime }) => [value, eventTime - start])).toEqual([
      ['a Ada 0', 1],
      ['b Ann 5', 10],
      ['e Bob 0', 30]
    ])
    expect(counts['names']).toMatchObject({ processed: 9, parked: 0 })
  })

  it('left: is told of records without a row', async () => {
    const { outputs } = await drive(stage('left'), { inputs })
    expect(outputs['named']!.map(({ value }) => value)).toEqual([
      'a Ada 0',
      'b Ann 5',
      'c undefined 0',
      'd undefined 0',
      'e Bob 0'
    ])
  })

  it('has its rows again after a crash', async () => {
    for (let position = 0; position <= inputs.orders.length; position++) {
      const { outputs, crashes } = await drive(stage('inner'), {
        inputs: { ...inputs, orders: inputs.orders.toSpliced(position, 0, crash()) }
      })
      expect(crashes).toBe(1)
      expect(
        outputs['named']!.map(({ value }) => value),
        `crash at ${position}`
      ).toEqual(['a Ada 0', 'b Ann 5', 'e Bob 0'])
    }
  })
})

describe('a definition of a join', () => {
  const numbered = topic('numbered', { key: number, value: number })
  const unkeyed = topic('unkeyed', { value: number })
  const results = { to: paid, join: () => undefined }
  const interval = { name: 'pay', left: orders, right: payments, before: 1, after: 0, ...results }
  it.each<[string, () => unknown, RegExp]>([
    ['a negative span', () => intervalJoin({ ...interval, before: -1 }), /intervalJoin 'pay': before must be whole/],
    [
      'half a millisecond',
      () => intervalJoin({ ...interval, after: 0.5 }),
      /after must be whole milliseconds, 0 or more, got 0.5/
    ],
    ['endless lateness', () => intervalJoin({ ...interval, allowedLateness: Infinity }), /allowedLateness/],
    [
      'an unknown type',
      () => intervalJoin({ ...interval, type: 'outer' as never }),
      /type must be 'inner' or 'left', got 'outer'/
    ],
    ['one topic on both sides', () => intervalJoin({ ...interval, right: orders }), /reads 'orders' on both sides/],
    [
      'keys of two kinds',
      () => intervalJoin({ ...interval, right: numbered as never }),
      /keys of 'orders' are text and keys of 'numbered' are number/
    ],
    [
      'a topic without keys',
      () => intervalJoin({ ...interval, right: unkeyed as never }),
      /'unkeyed' may have records without one/
    ],
    [
      'late records into a side',
      () => intervalJoin({ ...interval, late: { right: payments } }),
      /'payments' is for late records/
    ],
    [
      'a table of other keys',
      () => tableJoin({ name: 'names', from: orders, table: numbered as never, ...results }),
      /tableJoin 'names'.*are number/
    ],
    [
      'a table that is the stream',
      () => tableJoin({ name: 'names', from: orders, table: orders, ...results }),
      /on both sides/
    ],
    [
      'a table join of no type',
      () => tableJoin({ name: 'names', from: orders, table: payments, type: 'full' as never, ...results }),
      /got 'full'/
    ]
  ])('refuses %s', (_, define, message) => {
    expect(define).toThrow(message)
    try {
      define()
    } catch (error) {
      expect(StreamError.is(error) && error.code).toBe('bad-config')
    }
  })
})

/** What windows and joins make of the options that processors have: each is passed on, or refused with the way out. */
import { describe, expect, it } from 'vitest'
import {
  aggregate,
  intervalJoin,
  json,
  keyed,
  number,
  optional,
  pipeline,
  tableJoin,
  text,
  topic,
  tumbling,
  when,
  type BatchProcessorOptions,
  type ProcessorOptions
} from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { drive, elapse } from '../../src/testing/index.ts'
import { World } from '../pipeline/world.ts'

const amounts = topic('amounts', { key: text, value: number, partitions: 1 })
const names = topic('names', { key: text, value: optional(text), partitions: 1 })
const out = topic('out', { key: text, value: json<unknown>(), partitions: 1 })
const withheld = topic('withheld', { key: text, value: number, partitions: 1 })

const stages: Record<string, (options: object) => ProcessorStage> = {
  aggregate: options =>
    aggregate({
      name: 'stage',
      from: amounts,
      to: out,
      window: tumbling(100),
      accumulator: number,
      init: () => 0,
      add: (sum, { value }) => sum + value,
      result: ({ key, value }) => ({ key, value }),
      ...options
    }),
  intervalJoin: options =>
    intervalJoin({
      name: 'stage',
      left: amounts,
      right: names,
      to: out,
      before: 10,
      after: 10,
      join: ({ key, value }) => ({ key, value }),
      ...options
    }),
  tableJoin: options =>
    tableJoin({
      name: 'stage',
      from: amounts,
      table: names,
      to: out,
      type: 'left',
      join: ({ key, value }, row) => ({ key, value: [value, row?.value] }),
      ...options
    })
}

type Option = keyof ProcessorOptions<any, any, any> | keyof BatchProcessorOptions<any, any>

// A new option of processors does not compile here before it is decided what these stages make of it.
const fates: Record<Option, 'own' | 'passed on' | 'refused' | 'of a table join'> = {
  name: 'own',
  from: 'own',
  to: 'own',
  failure: 'passed on',
  rateLimit: 'passed on',
  guard: 'of a table join',
  state: 'refused',
  concurrency: 'refused',
  process: 'refused',
  processBatch: 'refused',
  batch: 'refused',
  circuit: 'refused',
  onTimer: 'refused',
  onWatermark: 'refused',
  interval: 'refused',
  onComplete: 'refused'
}
const given: Partial<Record<Option, unknown>> = {
  guard: when({ behind: '5s' }),
  state: { count: keyed(number, 0) },
  concurrency: 4,
  process: () => undefined,
  processBatch: () => [],
  batch: { records: 5 },
  circuit: { failures: 5 },
  onTimer: () => undefined,
  onWatermark: () => undefined,
  interval: '1m',
  onComplete: () => undefined
}

describe.each(Object.entries(stages))('%s', (kind, stage) => {
  it.each(Object.entries(fates).filter(([, fate]) => fate === 'refused' || fate === 'of a table join'))(
    '%s is %s',
    (option, fate) => {
      const define = (): ProcessorStage => stage({ [option]: given[option as Option] })
      if (kind === 'tableJoin' && fate !== 'refused') expect(define().options).toHaveProperty(option)
      else expect(define).toThrow(`${kind} 'stage' takes no \`${option}\`: `)
    }
  )

  it('passes on the failure policy and the rate, which are checked as those of a processor', () => {
    const failure = { retries: 7, order: 'partition' }
    expect(stage({ failure, rateLimit: { records: 100, per: '1s' } })).toMatchObject({ failure, every: 10 })
    expect(() => stage({ rateLimit: { records: 0, per: '1s' } })).toThrow('rateLimit')
    expect(() => stage({ failure: { retries: -1 } })).toThrow('failure.retries')
  })

  it('takes its records no faster than that', async () => {
    const world = new World()
    const client = await world.connect('writer')
    for (const each of [amounts, names, out]) await client.admin.ensure(each)
    const producer = await client.producer(amounts)
    const entries = Array.from({ length: 300 }, (_, value) => ({ key: `k${value}`, value, eventTime: value }))
    await world.environment.run(producer.sendAll(entries))
    const app = pipeline('limited', [stage({ rateLimit: { records: 100, per: '1s' } })])
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    await world.environment.advance(2_000)
    const { processed } = await world.counts('stage')
    expect(processed).toBeGreaterThan(100)
    expect(processed).toBeLessThan(220)
    await world.environment.advance(3_000)
    expect(await world.counts('stage')).toMatchObject({ processed: 300 })
  })
})

describe('the guard of a table join', () => {
  const inputs = {
    amounts: [elapse(100), { key: 'a', value: 1, eventTime: 20 }],
    names: [{ key: 'a', value: 'Ada', eventTime: 10 }]
  }

  it('withholds records, and takes in all rows of the table', async () => {
    const guarded = stages['tableJoin']!({ guard: when({ behind: 0 }, { otherwise: withheld }) })
    const { outputs, counts } = await drive(pipeline('joining', [guarded]), { inputs })
    expect(outputs['out']).toEqual([])
    expect(outputs['withheld']).toMatchObject([{ key: 'a', value: 1 }])
    expect(counts['stage']).toMatchObject({ processed: 2, expired: 0 })
    const open = stages['tableJoin']!({ guard: when({}, { otherwise: withheld }) })
    const through = await drive(pipeline('joining', [open]), { inputs })
    expect(through.outputs['out']).toMatchObject([{ key: 'a', value: [1, 'Ada'] }])
  })

  it('is not for the table', () => {
    expect(() => stages['tableJoin']!({ guard: when({}, { only: names }) })).toThrow(
      "tableJoin 'stage': its guard is for the records of 'amounts'"
    )
  })
})

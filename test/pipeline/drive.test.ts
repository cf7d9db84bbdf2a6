import { describe, expect, it } from 'vitest'
import { json, keyed, number, pipeline, processor, sink, source, text, topic } from '../../src/index.ts'
import { crash, drive, elapse } from '../../src/testing/index.ts'

const trades = topic('trades', { key: text, value: number })
const totals = topic('totals', { key: text, value: number })

const addUp = processor({
  name: 'add-up',
  from: trades,
  to: totals,
  state: { total: keyed(number, 0) },
  process({ key, value }, { state }) {
    state.total.set(state.total.get() + value)
    return { key, value: state.total.get() }
  }
})
const app = pipeline('orders', [addUp])
const entries = (...values: number[]): { key: string; value: number }[] => values.map(value => ({ key: 'ACME', value }))
const valuesOf = (records: readonly { value: unknown }[] | undefined): unknown[] =>
  (records ?? []).map(record => record.value)

describe('drive', () => {
  it('runs a pipeline to its end without a broker', async () => {
    const { outputs, parked, counts, crashes } = await drive(app, { inputs: { trades: entries(5, 7, 1) } })
    expect(valuesOf(outputs['totals'])).toEqual([5, 12, 13])
    expect(outputs['totals']![0]).toMatchObject({ topic: 'totals', key: 'ACME', partition: 0, late: false })
    expect(parked).toEqual([])
    expect(crashes).toBe(0)
    expect(counts['add-up']).toMatchObject({ processed: 3, emitted: 3, parked: 0, late: 0, duplicates: 0, lost: 0 })
  })

  it.each(['store', 'broker'] as const)(
    'kills the worker where the input says so, and the answer stays the same (%s)',
    async commitIn => {
      const inputs = { trades: [crash(), ...entries(5, 7), crash(), ...entries(1), crash(), crash(), ...entries(2)] }
      const { outputs, crashes, counts } = await drive(app, { inputs, commitIn })
      expect(crashes).toBe(4)
      expect(valuesOf(outputs['totals'])).toEqual([5, 12, 13, 15])
      expect(counts['add-up']).toMatchObject({ processed: 4, emitted: 4 })
    }
  )

  it('kills before the commit: the handler sees the entry again', async () => {
    const seen: number[] = []
    const watch = processor({ name: 'watch', from: trades, process: ({ value }) => void seen.push(value) })
    await drive(pipeline('watching', [watch]), { inputs: { trades: [...entries(1, 2), crash(), ...entries(3)] } })
    expect(seen).toEqual([1, 2, 1, 2, 3])
  })

  it('is the same run every time, and takes no real time for retries', async () => {
    let failures = 0
    const flaky = processor({
      name: 'flaky',
      from: trades,
      to: totals,
      failure: { retries: 8, backoff: { first: 1_000, most: 60_000 } },
      process(record) {
        if (failures++ % 8 !== 7) throw new Error('not now')
        return { key: record.key, value: record.value }
      }
    })
    const run = (): ReturnType<typeof drive> =>
      drive(pipeline('flaky', [flaky]), { inputs: { trades: entries(1, 2) }, seed: 5 })
    const started = performance.now()
    const first = await run()
    const second = await run()
    expect(first.milliseconds).toBeGreaterThan(100_000)
    expect(performance.now() - started).toBeLessThan(first.milliseconds)
    expect(second.milliseconds).toBe(first.milliseconds)
    expect(valuesOf(first.outputs['totals'])).toEqual([1, 2])
  })

  it('parks what a handler cannot process, with the cause', async () => {
    const picky = processor({
      name: 'picky',
      from: trades,
      to: totals,
      failure: { retries: 2 },
      process(record) {
        if (record.value < 0) throw new Error('below zero')
        return { key: record.key, value: record.value }
      }
    })
    const { outputs, parked, counts } = await drive(pipeline('picky', [picky]), {
      inputs: { trades: entries(1, -2, 3) }
    })
    expect(valuesOf(outputs['totals'])).toEqual([1, 3])
    expect(parked).toMatchObject([
      {
        origin: 'trades/0/1',
        by: 'picky/picky/0',
        code: 'handler',
        error: 'below zero',
        attempts: 3,
        record: { key: 'ACME', value: -2 }
      }
    ])
    expect(counts['picky']).toMatchObject({ processed: 2, parked: 1 })
  })

  it('lets time pass between entries, and takes claims of the watermark', async () => {
    const at: number[] = []
    const clock = processor({
      name: 'clock',
      from: trades,
      process: (_, { timeliness }) => void at.push(timeliness.watermark)
    })
    const inputs = { trades: [...entries(1), elapse(5_000), { watermark: 42 }, elapse(5_000), ...entries(2)] }
    const { milliseconds } = await drive(pipeline('clocked', [clock]), { inputs })
    expect(milliseconds).toBeGreaterThanOrEqual(10_000)
    expect(milliseconds).toBeLessThan(20_000)
    expect(at.length).toBe(2)
    expect(at[1]).toBeGreaterThanOrEqual(42)
  })

  it('runs several stages, sources and sinks of the pipeline itself', async () => {
    const ticks = topic('ticks', { key: text, value: json<{ n: number }>(), partitions: 3 })
    const rows: number[] = []
    const ticker = source({
      name: 'ticker',
      to: ticks,
      *run() {
        for (let n = 1; n <= 20; n++) yield { key: `k${n % 5}`, value: { n } }
      }
    })
    const double = processor({
      name: 'double',
      from: ticks,
      to: totals,
      process: ({ key, value }) => ({ key, value: value.n * 2 })
    })
    const out = sink({
      name: 'out',
      from: totals,
      write: records => void rows.push(...records.map(record => record.value))
    })
    const { outputs, counts } = await drive(pipeline('chain', [ticker, double, out]))
    expect(outputs['ticks']!.length).toBe(20)
    expect(rows.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => (n + 1) * 2))
    expect(counts).toMatchObject({
      ticker: { emitted: 20 },
      double: { processed: 20, emitted: 20 },
      out: { processed: 20 }
    })
  })

  it('refuses an input that nobody reads, rejects as run does, and gives up after its time', async () => {
    await expect(drive(app, { inputs: { trade: [] } })).rejects.toThrow(
      "drive: no stage of 'orders' reads the topic 'trade'; they read trades"
    )
    const broken = processor({
      name: 'broken',
      from: trades,
      failure: { retries: 0, then: 'stop' },
      process() {
        throw new Error('no')
      }
    })
    await expect(drive(pipeline('broken', [broken]), { inputs: { trades: entries(1) } })).rejects.toMatchObject({
      code: 'handler'
    })
    const stuck = processor({ name: 'stuck', from: trades, process: () => new Promise<void>(() => {}) })
    await expect(
      drive(pipeline('stuck', [stuck]), { inputs: { trades: entries(1) }, timeout: 300 })
    ).rejects.toMatchObject({ code: 'timeout' })
  })
})

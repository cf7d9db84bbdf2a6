/**
 * More keys at a time than there are partitions. Complaints of others that do not happen here: order by key is lost where
 * handlers overlap (googleapis/nodejs-pubsub#1796, dapr/dapr#7332), and a commit goes past a record that is not done
 * (redpanda-data/connect#4009).
 */
import { describe, expect, it } from 'vitest'
import { json, keyed, number, pipeline, PoisonError, processor, text, topic, type Pipeline } from '../../src/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { crash, drive, type DriveItem } from '../../src/testing/index.ts'
import { dice, seeds, World } from './world.ts'

const words = topic('words', { key: text, value: text, partitions: 4 })
const lines = topic('lines', { key: text, value: json<{ value: string; count: number }>(), partitions: 4 })
interface Line {
  readonly value: string
  readonly count: number
}

/** Counts by key after a while, which is the same for all or random. */
function counting(
  world: { readonly environment: World['environment'] },
  concurrency: number,
  milliseconds: () => number,
  fails: (value: string) => unknown = () => false
): { readonly app: Pipeline; most: number; running: number } {
  const seen = { most: 0, running: 0 }
  const stage = processor({
    name: 'count',
    from: words,
    to: lines,
    concurrency,
    failure: { retries: 50, backoff: { first: 10, most: 200 } },
    state: { count: keyed(number, 0), last: keyed(text) },
    async process({ key, value }, { state }) {
      seen.most = Math.max(seen.most, ++seen.running)
      const before = state.count.get()
      try {
        state.count.set(before + 1)
        await sleep(world.environment, milliseconds())
        const error = fails(value)
        if (error) throw error
      } finally {
        seen.running--
      }
      // Nobody of this key has been here meanwhile.
      expect(state.count.get()).toBe(before + 1)
      state.last.set(value)
      return { key, value: { value, count: before + 1 } }
    }
  })
  return Object.assign(seen, { app: pipeline('concurrent', [stage]) })
}

async function write(world: World, values: readonly { key: string; value: string }[]): Promise<void> {
  const client = await world.connect('writer')
  await client.admin.ensure(words)
  await client.admin.ensure(lines)
  const producer = await client.producer(words)
  await world.environment.run(producer.sendAll(values))
}

/** Values of each key, in the order of the records. */
function byKey(records: readonly { key: unknown; value: unknown }[]): Map<string, Line[]> {
  const keys = Map.groupBy(records, ({ key }) => key as string)
  return new Map([...keys].map(([key, all]) => [key, all.map(({ value }) => value as Line)]))
}

const randomWords = (random: () => number, count: number, keys: number): { key: string; value: string }[] =>
  Array.from({ length: count }, (_, index) => {
    const key = `key-${Math.floor(random() * keys)}`
    return { key, value: `${key} ${index}` }
  })

describe('concurrency by key', () => {
  it('does 100 keys over 4 partitions at least 20 times as fast as one at a time, in the order of each key', async () => {
    const took: number[] = []
    for (const concurrency of [1, 100]) {
      const world = new World()
      await write(world, randomWords(dice(7), 2_000, 100))
      const { app } = counting(world, concurrency, () => 50)
      const start = world.environment.monotonic()
      void world
        .worker()
        .run(app, { handleSignals: false })
        .catch(() => {})
      while (world.written('lines') < 2_000) await world.environment.advance(50)
      took.push(world.environment.monotonic() - start)
      for (const history of byKey(await world.records(lines)).values())
        expect(history.map(({ count }) => count)).toEqual(history.map((_, index) => index + 1))
    }
    // Four partitions are four at a time already: one at a time would take 100 seconds.
    expect(2_000 * 50).toBeGreaterThanOrEqual(20 * took[1]!)
    expect(took[0]! / took[1]!).toBeGreaterThan(10)
  })

  it('runs no more than it is told, and one of a key', async () => {
    const world = new World()
    await write(world, randomWords(dice(3), 300, 40))
    const seen = counting(world, 3, () => 20)
    void world
      .worker()
      .run(seen.app, { handleSignals: false })
      .catch(() => {})
    while (world.written('lines') < 300) await world.environment.advance(50)
    expect(seen.most).toBe(12)
  })

  it('writes in the order of the input, whatever comes back first', async () => {
    const world = new World()
    const random = dice(5)
    const values = Array.from({ length: 200 }, (_, index) => ({ key: `key-${index}`, value: String(index) }))
    await write(world, values)
    const { app } = counting(world, 50, () => random() * 100)
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    while (world.written('lines') < 200) await world.environment.advance(50)
    const written = Map.groupBy(await world.records(lines), ({ partition }) => partition)
    for (const records of written.values()) {
      const order = records.map(({ value }) => Number((value as Line).value))
      expect(order).toEqual(order.toSorted((left, right) => left - right))
    }
  })

  it('commits nothing behind a record that is not done', async () => {
    const one = topic('one', { key: text, value: text, partitions: 1 })
    const world = new World()
    const out = topic('out', { key: text, value: text, partitions: 1 })
    let first = true
    const stage = processor({
      name: 'work',
      from: one,
      to: out,
      concurrency: 8,
      async process({ key, value }) {
        if (value === 'slow' && first) {
          first = false
          await sleep(world.environment, 60_000)
        }
        return { key, value }
      }
    })
    const client = await world.connect('writer')
    await client.admin.create(one)
    await client.admin.create(out)
    const producer = await client.producer(one)
    const values = ['a', 'b', 'slow', 'c', 'd']
    await world.environment.run(producer.sendAll(values.map(value => ({ key: value, value }))))
    const worker = world.worker()
    void worker.run(pipeline('prefix', [stage]), { handleSignals: false, sessionTimeout: 1_000 }).catch(() => {})
    await world.environment.advance(5_000)
    expect((await world.records(out)).map(({ value }) => value)).toEqual(['a', 'b'])
    worker.kill()
    await world.environment.turn()
    void world
      .worker()
      .run(pipeline('prefix', [stage]), { handleSignals: false, sessionTimeout: 1_000 })
      .catch(() => {})
    await world.environment.advance(5_000)
    expect((await world.records(out)).map(({ value }) => value)).toEqual(values)
  })

  it('ends with what is under way, and loses nothing of it', async () => {
    const world = new World()
    await write(world, randomWords(dice(11), 400, 60))
    const seen = counting(world, 20, () => 200)
    const stop = new AbortController()
    const running = world.worker().run(seen.app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(700)
    stop.abort()
    await world.environment.run(running)
    expect(seen.running).toBe(0)
    const written = world.written('lines')
    expect(written).toBeGreaterThan(0)
    expect(await world.counts('count')).toMatchObject({ processed: written })
    void world
      .worker()
      .run(counting(world, 20, () => 20).app, { handleSignals: false })
      .catch(() => {})
    while (world.written('lines') < 400) await world.environment.advance(100)
    for (const history of byKey(await world.records(lines)).values())
      expect(history.map(({ count }) => count)).toEqual(history.map((_, index) => index + 1))
  })

  it('fires timers, and tells watermarks, alone and in the order of time', async () => {
    const one = topic('one', { key: text, value: number, eventTime: value => value, partitions: 1 })
    const out = topic('out', { key: text, value: text, partitions: 1 })
    const world = new World()
    let running = 0
    const alone: number[] = []
    const stage = processor({
      name: 'work',
      from: one,
      to: out,
      concurrency: 8,
      state: { sum: keyed(number, 0) },
      async process({ value, eventTime }, { state, timers }) {
        running++
        await sleep(world.environment, 5 + (value % 7))
        running--
        state.sum.set(state.sum.get() + 1)
        timers.at(Math.ceil((eventTime + 1) / 100) * 100)
      },
      async onTimer({ key, time }, { state }) {
        alone.push(running)
        await sleep(world.environment, 3)
        alone.push(running)
        return { key, value: `${time} ${state.sum.get()}` }
      },
      onWatermark: () => void alone.push(running)
    })
    const client = await world.connect('writer')
    await client.admin.create(one)
    await client.admin.create(out)
    const producer = await client.producer(one)
    const entries = Array.from({ length: 500 }, (_, index) => ({ key: `k${index % 10}`, value: index }))
    await world.environment.run(producer.sendAll(entries))
    void world
      .worker()
      .run(pipeline('timers', [stage]), { handleSignals: false })
      .catch(() => {})
    await world.environment.advance(10_000)
    expect(new Set(alone)).toEqual(new Set([0]))
    const fired = (await world.records(out)).map(({ key, value, late }) => ({ key, value, late }))
    // The last span is open: its producer has not gone.
    expect(fired.length).toBe(40)
    expect(fired.every(({ late }) => !late)).toBe(true)
    for (const key of ['k0', 'k9']) {
      const times = fired.filter(each => each.key === key).map(({ value }) => Number(value.split(' ')[0]))
      expect(times).toEqual([100, 200, 300, 400])
    }
  })

  it('parks and tries again in the order of each key', async () => {
    const world = new World()
    const random = dice(21)
    const values = randomWords(random, 600, 30)
    await write(world, values.slice(0, 50))
    const bad = (value: string): boolean => Number(value.split(' ')[1]) % 50 === 7
    const { app } = counting(
      world,
      16,
      () => random() * 20,
      value => (bad(value) ? new PoisonError('never') : random() < 0.1 && new Error('not now'))
    )
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    // A few at a time: records of a key come while it waits, while it is tried again, and when it is through.
    const client = await world.connect('more')
    const producer = await world.environment.run(client.producer(words))
    for (let at = 50; at < 600; at += 10) {
      await world.environment.run(producer.sendAll(values.slice(at, at + 10)))
      await world.environment.advance(random() * 30)
    }
    await world.environment.advance(60_000)
    const histories = byKey(await world.records(lines))
    for (const [key, history] of histories) {
      expect(history.map(({ value }) => value)).toEqual(
        values.filter(each => each.key === key && !bad(each.value)).map(({ value }) => value)
      )
      expect(history.map(({ count }) => count)).toEqual(history.map((_, index) => index + 1))
    }
    expect(await world.counts('count')).toMatchObject({ processed: 588, parked: 12, lost: 0 })
  })

  it.each(seeds(8))('has one effect in the order of each key, with faults and deaths (seed %i)', async seed => {
    const random = dice(seed * 7)
    const values = randomWords(random, 120, 10)
    const inputs = { words: values.flatMap((value): DriveItem[] => (random() < 0.1 ? [value, crash()] : [value])) }
    const stage = processor({
      name: 'count',
      from: topic('words', { key: text, value: text }),
      to: topic('lines', { key: text, value: json<Line>() }),
      concurrency: 6,
      failure: { retries: 100, backoff: { first: 1, most: 10 } },
      state: { count: keyed(number, 0) },
      async process({ key, value }, { state }) {
        state.count.set(state.count.get() + 1)
        for (let turn = Math.floor(random() * 5); turn > 0; turn--) await Promise.resolve()
        if (random() < 0.2) throw new Error('not now')
        return { key, value: { value, count: state.count.get() } }
      }
    })
    const commitIn = seed % 2 === 0 ? 'store' : 'broker'
    const { outputs, counts, parked } = await drive(pipeline('concurrent', [stage]), { inputs, commitIn, seed })
    expect(parked).toEqual([])
    expect(counts['count']).toMatchObject({ processed: 120, lost: 0 })
    for (const [key, history] of byKey(outputs['lines']!)) {
      expect(history.map(({ value }) => value)).toEqual(
        values.filter(each => each.key === key).map(({ value }) => value)
      )
      expect(history.map(({ count }) => count)).toEqual(history.map((_, index) => index + 1))
    }
  })

  it('is refused where it is no number of handlers', () => {
    for (const concurrency of [0, -1, 2.5, Number.NaN])
      expect(() => processor({ name: 'work', from: words, concurrency, process: () => {} })).toThrow(
        "processor 'work': concurrency must be a whole number above 0"
      )
  })
})

import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { json, keyed, number, pipeline, processor, sink, source, text, topic, type Pipeline } from '../../src/index.ts'
import type { Worker } from '../../src/testing/worker.ts'
import { runThroughChaos } from './chaos.ts'
import { failure } from '../support/failure.ts'
import { dice, seeds, World } from './world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 4 })
const sums = topic('sums', { key: text, value: json<{ count: number; sum: number }>(), partitions: 4 })

interface Slow {
  readonly app: Pipeline
  /** Which worker's handler saw how many. */
  readonly seen: Map<string, number>
}

const keys = 40

/** 400 numbers over 40 keys; the handler takes its time. */
function slow(world: World, name: string, total = 400): Slow {
  const seen = new Map<string, number>()
  const feed = source({
    name: 'feed',
    to: numbers,
    async *run({ resume }) {
      for (let value = Number(resume ?? 0); value < total; value++) {
        yield { key: `k${value % keys}`, value, cursor: value + 1 }
        if (value % 20 === 19) await sleep(world.environment, 50)
      }
    }
  })
  const add = processor({
    name: 'add',
    from: numbers,
    to: sums,
    state: { sum: keyed(number, 0), count: keyed(number, 0) },
    async process({ key, value }, { state }) {
      await sleep(world.environment, 5)
      seen.set(name, (seen.get(name) ?? 0) + 1)
      state.sum.set(state.sum.get() + value)
      state.count.set(state.count.get() + 1)
      return { key, value: { count: state.count.get(), sum: state.sum.get() } }
    }
  })
  return { app: pipeline('slow', [feed, add]), seen }
}

async function checkSums(world: World, total = 400): Promise<void> {
  const expected: string[] = []
  for (let key = 0; key < keys; key++) {
    let sum = 0
    for (let value = key, count = 1; value < total; value += keys, count++)
      expected.push(`k${key} ${count} ${(sum += value)}`)
  }
  const records = await world.records(sums)
  expect(records.map(({ key, value }) => `${key} ${value.count} ${value.sum}`).sort()).toEqual(expected.sort())
}

const settings = { handleSignals: false, commitInterval: 50, sessionTimeout: 4_000 }

describe('workers', () => {
  it('drain on abort: what is done is committed, sent, and reported to the group; the rest waits for the next one', async () => {
    const world = new World()
    const stop = new AbortController()
    const first = world.worker().run(slow(world, 'one').app, { ...settings, signal: stop.signal })
    await world.environment.advance(600)
    stop.abort()
    const before = world.environment.monotonic()
    await world.environment.run(first)
    expect(world.environment.monotonic() - before).toBeLessThan(1_000)
    const done = (await world.records(sums)).length
    expect(done).toBeGreaterThan(50)
    expect(done).toBeLessThan(400)
    const counts = await world.counts('add')
    expect(counts).toMatchObject({ processed: done, emitted: done })
    const group = world.broker.group('slow.add')
    const committed = [0, 1, 2, 3].reduce(
      (sum, partition) => sum + Number(group.committed({ topic: 'numbers', partition }) ?? -1) + 1,
      0
    )
    expect(committed).toBe(done)
    await world.run(slow(world, 'two').app, settings)
    await checkSums(world)
    expect(world.written('sums')).toBe(400)
  })

  it('drain: a handler of a task that was lost a moment ago has the time of the others to come back', async () => {
    // It has them back at once, and cannot go on before the store has answered.
    const world = new World({ latency: 100 })
    const { environment } = world
    let handling = 0
    const feed = source({
      name: 'feed',
      to: numbers,
      async *run({ signal }) {
        for (let value = 0; value < 8; value++) yield { key: `k${value}`, value, cursor: value }
        await sleep(environment, 60_000, signal)
      }
    })
    const look = processor({
      name: 'look',
      from: numbers,
      async process() {
        handling++
        await sleep(environment, 900)
        handling--
      }
    })
    const stop = new AbortController()
    const worker = world.worker()
    const running = worker.run(pipeline('lost', [feed, look]), { ...settings, signal: stop.signal })
    while (handling === 0) await environment.advance(10)
    world.broker.faults.kick('lost.look', worker.name)
    await environment.advance(1)
    stop.abort()
    await environment.run(running)
    expect(handling).toBe(0)
  })

  it.each(['store', 'broker'] as const)(
    'share the partitions, and hand them over when one joins and one leaves (%s)',
    async commitIn => {
      const world = new World({ commitIn })
      const stop = new AbortController()
      const one = slow(world, 'one')
      const two = slow(world, 'two')
      const first = world.worker().run(one.app, { ...settings, signal: stop.signal })
      await world.environment.advance(300)
      const second = world.worker().run(two.app, settings)
      await world.environment.advance(300)
      expect(one.seen.get('one')).toBeGreaterThan(20)
      expect(two.seen.get('two')).toBeGreaterThan(20)
      stop.abort()
      await world.environment.run(Promise.all([first, second]))
      await checkSums(world)
      expect(await world.counts('add')).toMatchObject({ processed: 400, emitted: 400, late: 0, lost: 0 })
      // Hand-overs were clean: nothing was processed twice.
      expect((one.seen.get('one') ?? 0) + (two.seen.get('two') ?? 0)).toBe(400)
    }
  )

  it('that stop without a word are replaced', async () => {
    const world = new World()
    const first = world.worker()
    void first.run(slow(world, 'one').app, settings)
    await world.environment.advance(400)
    first.kill()
    await world.run(slow(world, 'two').app, settings)
    await checkSums(world)
  })

  it('whose broker is away go on when it is back', async () => {
    const world = new World()
    const worker = world.worker()
    const running = worker.run(slow(world, 'one').app, settings)
    await world.environment.advance(300)
    world.broker.faults.disconnect(worker.name)
    await world.environment.advance(60_000)
    world.broker.faults.reconnect(worker.name)
    await world.environment.run(running)
    await checkSums(world)
  })

  it('that nobody can stop in time are left behind: a handler that hangs does not hold up the end', async () => {
    const world = new World()
    const stop = new AbortController()
    const stuck = processor({
      name: 'stuck',
      from: numbers,
      process: ({ value }) => (value === 5 ? new Promise<void>(() => {}) : undefined)
    })
    const feed = source({
      name: 'feed',
      to: numbers,
      *run() {
        for (let value = 0; value < 10; value++) yield { key: 'k', value }
      }
    })
    const running = world
      .worker()
      .run(pipeline('stuck', [feed, stuck]), { ...settings, drainTimeout: 2_000, signal: stop.signal })
    await world.environment.advance(1_000)
    stop.abort()
    const error = await failure(() => world.environment.run(running))
    expect(error).toMatchObject({ code: 'handler' })
    expect(error.message).toContain("partition 0 of stage 'stuck' has been handling a record (numbers/0 at 5)")
    expect(world.environment.monotonic()).toBeLessThan(10_000)
  })

  it('that nobody can stop in time are left behind: a broker that is away, too', async () => {
    const world = new World()
    const stop = new AbortController()
    const worker = world.worker()
    const running = worker.run(slow(world, 'one').app, { ...settings, drainTimeout: 2_000, signal: stop.signal })
    await world.environment.advance(300)
    world.broker.faults.disconnect(worker.name)
    stop.abort()
    await world.environment.run(running).catch(() => {})
    expect(world.environment.monotonic()).toBeLessThan(30_000)
    world.broker.faults.reconnect(worker.name)
    await world.run(slow(world, 'two').app, settings)
    await checkSums(world)
  })

  it('come to an end together, the idle ones as well', async () => {
    const world = new World()
    const ends: string[] = []
    const run = (name: string): Promise<void> => {
      const worker: Worker = world.worker()
      return worker.run(slow(world, name).app, settings).then(() => void ends.push(name))
    }
    await world.environment.run(Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(run)))
    expect(ends.length).toBe(6)
    await checkSums(world)
  })

  it('start again behind the end, and end at once', async () => {
    const world = new World()
    await world.run(slow(world, 'one').app, settings)
    const before = world.environment.monotonic()
    const again = slow(world, 'two')
    await world.run(again.app, settings)
    expect(world.environment.monotonic() - before).toBeLessThan(2_000)
    expect(again.seen.size).toBe(0)
    await checkSums(world)
  })
})

describe('at least once through any fault', () => {
  const names = topic('names', { key: text, value: number, partitions: 3 })
  const upper = topic('upper', { key: text, value: number, partitions: 3 })
  const totals = topic('totals', { key: text, value: json<{ number: number; sum: number }>(), partitions: 2 })
  const count = 150

  it.each(seeds(15))(
    'seed %d: nothing is lost',
    async seed => {
      const world = new World({ seed, latency: 20 })
      const random = dice(seed)
      const rows = new Set<number>()
      const feed = source({
        name: 'feed',
        to: names,
        async *run({ resume }) {
          for (let value = Number(resume ?? 0); value < count; value++) {
            yield { key: `k${value % 6}`, value, cursor: value + 1 }
            if (random() < 0.2) await sleep(world.environment, random() * 300)
          }
        }
      })
      // Without state: the group commit is the only one there is.
      const shout = processor({
        name: 'shout',
        from: names,
        to: upper,
        failure: { retries: 20 },
        process({ key, value }) {
          if (random() < 0.05) throw new Error('not now')
          return { key, value }
        }
      })
      const add = processor({
        name: 'add',
        from: upper,
        to: totals,
        state: { seen: keyed(json<number[]>(), []) },
        process({ key, value }, { state }) {
          if (!state.seen.get().includes(value)) state.seen.set([...state.seen.get(), value])
          return { key, value: { number: value, sum: state.seen.get().length } }
        }
      })
      const out = sink({
        name: 'out',
        from: upper,
        write: records => {
          for (const { value } of records) rows.add(value)
        }
      })
      const app = pipeline('least', [feed, shout, add, out])
      const done = await runThroughChaos(world, app, {
        seed,
        faults: 20,
        workers: 2,
        run: { ...settings, guarantee: 'at-least-once' }
      })
      const all = Array.from({ length: count }, (_, value) => value)
      const missing = (found: Iterable<number>): number[] => all.filter(value => !new Set(found).has(value))
      expect(missing((await world.records(names)).map(({ value }) => value)), done.join('\n')).toEqual([])
      expect(missing((await world.records(upper)).map(({ value }) => value)), done.join('\n')).toEqual([])
      expect(missing(rows), done.join('\n')).toEqual([])
      const last = new Map<string, number>()
      for (const { key, value } of await world.records(totals)) last.set(key, Math.max(last.get(key) ?? 0, value.sum))
      expect(
        [...last.values()].reduce((sum, seen) => sum + seen, 0),
        done.join('\n')
      ).toBe(count)
    },
    30_000
  )

  it('without faults it is exact, and as quick as it should be', async () => {
    const world = new World()
    const feed = source({
      name: 'feed',
      to: names,
      *run() {
        for (let value = 0; value < count; value++) yield { key: `k${value}`, value }
      }
    })
    const shout = processor({ name: 'shout', from: names, to: upper, process: ({ key, value }) => ({ key, value }) })
    await world.run(pipeline('least', [feed, shout]), { ...settings, guarantee: 'at-least-once' })
    expect(world.written('upper')).toBe(count)
    expect(world.environment.monotonic()).toBeLessThan(5_000)
  })
})

import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { number, pipeline, processor, source, text, topic, type Timeliness } from '../../src/index.ts'
import { World } from './world.ts'

const second = 1_000

/** What is wrong with one of the hops; how long it takes for a record. */
interface Trouble {
  readonly failsAt?: (value: number) => boolean
  readonly takes?: number
}

const ticks = topic('ticks', { key: text, value: number, partitions: 2 })
const checked = topic('checked', { key: text, value: number, partitions: 2 })
const priced = topic('priced', { key: text, value: number, partitions: 2 })

/** A tick every 50 ms of simulated time; every hop is a pipeline of its own, at a worker of its own. */
function services(world: World, trouble: Partial<Record<'feed' | 'check' | 'price', Trouble>>, seen: Timeliness[]) {
  const { environment } = world
  const attempts = new Map<string, number>()
  const hop = (name: 'check' | 'price', from: typeof ticks, to: typeof ticks) =>
    processor({
      name,
      from,
      to,
      failure: { retries: 1_000, backoff: { first: 500, most: 500 } },
      async process({ key, value }) {
        const { failsAt, takes } = trouble[name] ?? {}
        const attempt = attempts.get(`${name} ${value}`) ?? 0
        attempts.set(`${name} ${value}`, attempt + 1)
        if (failsAt?.(value) && attempt < 10_000) throw new Error('no price today')
        if (takes) await sleep(environment, takes)
        return { key, value }
      }
    })
  const feed = source({
    name: 'feed',
    to: ticks,
    failure: { retries: 1_000 },
    async *run({ resume, signal }) {
      for (let tick = Number(resume ?? 0); !signal.aborted; tick++) {
        if (trouble.feed?.failsAt?.(tick)) throw new Error('the exchange is closed')
        yield { key: `k${tick % 8}`, value: tick, eventTime: environment.now(), cursor: tick + 1 }
        await sleep(environment, 50, signal).catch(() => {})
      }
    }
  })
  // A processor sees the timeliness for each record; what it says is kept.
  const decide = processor({ name: 'decide', from: priced, process: (_, { timeliness }) => void seen.push(timeliness) })
  return {
    feed: pipeline('exchange', [feed]),
    check: pipeline('checks', [hop('check', ticks, checked as never)]),
    price: pipeline('prices', [hop('price', checked as never, priced as never)]),
    decide: pipeline('signals', [decide])
  }
}

async function run(trouble: Parameters<typeof services>[1], forMs: number, dies?: 'feed' | 'check' | 'price') {
  const world = new World({ seed: 7 })
  const seen: Timeliness[] = []
  const apps = services(world, trouble, seen)
  const stop = new AbortController()
  for (const { name, partitions } of [ticks, checked, priced])
    world.broker.createTopic({ topic: name, partitions: partitions! })
  const names = ['feed', 'check', 'price', 'decide'] as const
  const workers = new Map(names.map(name => [name, world.worker()]))
  const running = new Map(
    names.map(name => [name, workers.get(name)!.run(apps[name], { handleSignals: false, signal: stop.signal })])
  )
  for (const each of running.values()) each.catch(() => {})
  await world.environment.advance(10 * second)
  if (dies) {
    workers.get(dies)!.kill()
    running.delete(dies) // it never ends
  }
  await world.environment.advance(forMs)
  // Ask from outside of a record: what the last hop reports of itself.
  const tasks = await world.tasks()
  const { health } = tasks.get('signals/decide/0')!
  stop.abort()
  await world.environment.run(Promise.allSettled(running.values()))
  return { seen, health: health!, tasks }
}

describe('four services away, a consumer knows', () => {
  it('that all is well, and how far behind it is', async () => {
    const { seen, health } = await run({}, 10 * second)
    const last = seen.at(-1)!
    expect(last.slowest).toBeUndefined()
    expect(last).toMatchObject({ failureRate: 0, late: 0, parked: 0, stale: [], exact: true })
    expect(last.behind).toBeLessThan(3 * second)
    expect(last.pendingUpstream).toBeLessThan(200)
    expect(health.heldBy).toBeUndefined()
    expect(Object.keys(health.upstream).sort()).toEqual(['checks/check', 'exchange/feed', 'prices/price'])
    expect(health.upstream['checks/check']!.tasks).toBe(2)
  })

  it('who is slow', async () => {
    const { health } = await run({ check: { takes: 400 } }, 30 * second)
    expect(health.heldBy).toMatchObject({ task: expect.stringContaining('checks/check/'), cause: 'slow' })
    expect(health.upstream['checks/check']!.pending).toBeGreaterThan(20)
    expect(health.upstream['prices/price']!.pending).toBeLessThan(20)
  })

  it('who fails, and tries the same record again and again', async () => {
    const { health } = await run({ check: { failsAt: value => value === 250 } }, 20 * second)
    expect(health.heldBy).toMatchObject({ task: expect.stringContaining('checks/check/'), cause: 'failing' })
    expect(health.upstream['checks/check']!.failureRate).toBeGreaterThan(0)
    expect(health.upstream['prices/price']!.failureRate).toBe(0)
  })

  it('who fails now and then, without holding anything up for long', async () => {
    let calls = 0
    const { health } = await run({ price: { failsAt: () => ++calls % 20 === 0 } }, 20 * second)
    const { failureRate } = health.upstream['prices/price']!
    expect(failureRate).toBeGreaterThan(0.02)
    expect(failureRate).toBeLessThan(0.08)
  })

  it('who has died', async () => {
    const { health } = await run({}, 15 * second, 'check')
    expect(health.heldBy).toMatchObject({ task: expect.stringContaining('checks/check/'), cause: 'silent' })
    expect(health.upstream['exchange/feed']!.silent).toBe(0)
  })

  it('that the source itself has nothing newer', async () => {
    const { health } = await run({ feed: { failsAt: tick => tick >= 200 } }, 15 * second)
    expect(health.heldBy).toMatchObject({ task: expect.stringContaining('exchange/feed/'), cause: 'failing' })
  })
})

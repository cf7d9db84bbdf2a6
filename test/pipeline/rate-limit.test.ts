/** `rateLimit` of a source, a processor and a sink, on a simulated clock; and whether it is shared out fairly. */
import { describe, expect, it } from 'vitest'
import {
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Pipeline,
  type RateLimit
} from '../../src/index.ts'
import type { Environment } from '../../src/core/environment.ts'
import { Rate } from '../../src/pipeline/rate-limit.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { World } from './world.ts'

const events = topic('events', { key: text, value: number, partitions: 4 })

class Scene {
  readonly world = new World()
  /** When each record was begun, and of which partition it was. */
  readonly begun: { at: number; partition: number }[] = []

  async write(partition: number, count: number): Promise<void> {
    const client = await this.world.connect('writer')
    await client.admin.ensure(events)
    const producer = await client.producer(events)
    const entries = Array.from({ length: count }, (_, value) => ({ key: `k${value}`, value, partition }))
    await this.world.environment.run(producer.sendAll(entries))
    await this.world.environment.run(client.close())
  }

  async work(app: Pipeline, time: number): Promise<void> {
    const stop = new AbortController()
    const running = this.world.worker().run(app, { handleSignals: false, signal: stop.signal })
    await this.world.environment.advance(time)
    stop.abort()
    await this.world.environment.run(running)
  }

  readonly note = ({ partition }: { partition: number }): void => {
    this.begun.push({ at: this.world.environment.monotonic(), partition })
  }

  processing(rateLimit?: RateLimit, concurrency = 1): Pipeline {
    const options = { name: 'take', from: events, concurrency, ...(rateLimit && { rateLimit }) }
    return pipeline('limited', [processor({ ...options, process: record => this.note(record) })])
  }

  /** Most records in any window of so many ms. */
  most(window: number): number {
    let most = 0
    for (let first = 0, last = 0; last < this.begun.length; last++) {
      while (this.begun[last]!.at - this.begun[first]!.at >= window) first++
      most = Math.max(most, last - first + 1)
    }
    return most
  }
}

describe('a rate', () => {
  it('makes up for timers that come late, and for nothing that is longer ago', () => {
    const environment = new SimulatedEnvironment()
    let now = 0
    const rate = new Rate(1, { ...environment, now: () => 0, monotonic: () => now } as Environment)
    let given = 0
    // Each is asked for 20 ms after it could have been had.
    for (; now < 1_000; now += 20)
      for (let grant; (grant = rate.ask()); given += grant.records)
        if (grant.at > now) {
          rate.used(grant, 0)
          break
        }
    expect(given).toBeGreaterThan(980)
    expect(given).toBeLessThan(1_070)
    now += 60_000
    let atOnce = 0
    for (let grant; (grant = rate.ask()).at <= now;) atOnce += grant.records
    expect(atOnce).toBeLessThanOrEqual(60)
  })
})

describe('a rate limit', () => {
  it.each([
    [{ records: 20, per: '1s' } as const, 1],
    [{ records: 2_000, per: '1s' } as const, 1],
    [{ records: 100, per: '1s' } as const, 8],
    [{ records: 30, per: '1m' } as const, 1]
  ])('of a processor, %j with concurrency %i, is kept and made use of', async (rateLimit, concurrency) => {
    const scene = new Scene()
    const per = rateLimit.per === '1m' ? 60_000 : 1_000
    for (const partition of [0, 1, 2, 3]) await scene.write(partition, rateLimit.records * 2)
    await scene.work(scene.processing(rateLimit, concurrency), 5 * per)
    // What is spread over the time, what may be given at once, and what was saved up.
    const slack = Math.ceil((rateLimit.records * 60) / per) + 1
    expect(scene.most(per)).toBeLessThanOrEqual(rateLimit.records + slack)
    expect(scene.begun.length).toBeGreaterThanOrEqual(rateLimit.records * 4.8)
    expect(scene.begun.length).toBeLessThanOrEqual(rateLimit.records * 5 + slack)
  })

  it('holds nothing up where there is less to do', async () => {
    const scene = new Scene()
    await scene.write(0, 5)
    await scene.work(scene.processing({ records: 1_000, per: '1s' }), 1_000)
    expect(scene.begun.length).toBe(5)
    expect(scene.begun.at(-1)!.at - scene.begun[0]!.at).toBeLessThan(50)
  })

  it('of a sink is kept', async () => {
    const scene = new Scene()
    await scene.write(0, 200)
    const writes: number[] = []
    const load = sink({
      name: 'load',
      from: events,
      rateLimit: { records: 50, per: '1s' },
      write: records => void writes.push(records.length)
    })
    await scene.work(pipeline('limited', [load]), 2_000)
    const written = writes.reduce((sum, count) => sum + count, 0)
    expect(written).toBeGreaterThanOrEqual(90)
    expect(written).toBeLessThanOrEqual(104)
    // Spread, and not once in a second.
    expect(Math.max(...writes)).toBeLessThan(15)
  })

  it('of a source is kept, for entries one by one and for arrays of them', async () => {
    for (const size of [1, 25]) {
      const scene = new Scene()
      const feed = source({
        name: 'feed',
        to: events,
        rateLimit: { records: 100, per: '1s' },
        *run({ resume }) {
          for (let value = Number(resume ?? 0); ;) {
            const entries = Array.from({ length: size }, () => ({ key: 'k', value, cursor: ++value }))
            yield size === 1 ? entries[0]! : entries
          }
        }
      })
      const client = await scene.world.connect('admin')
      await client.admin.ensure(events)
      await scene.work(pipeline('limited', [feed]), 4_000)
      expect(scene.world.written('events')).toBeGreaterThanOrEqual(380)
      expect(scene.world.written('events')).toBeLessThanOrEqual(400 + size + 6)
    }
  })

  it('is shared out fairly: a partition with a backlog waits for its turn', async () => {
    const scene = new Scene()
    await scene.write(0, 4_000)
    for (const partition of [1, 2, 3]) await scene.write(partition, 50)
    await scene.work(scene.processing({ records: 100, per: '1s' }), 4_000)
    for (const partition of [1, 2, 3]) {
      const mine = scene.begun.filter(each => each.partition === partition)
      expect(mine.length).toBe(50)
      // A quarter of a hundred a second for each.
      expect(mine.at(-1)!.at).toBeLessThan(3_000)
    }
  })

  it.each([
    [{ records: 0, per: '1s' }, /stage 'take': rateLimit must be { records, per }, both above 0/],
    [{ records: 5, per: 0 }, /both above 0/],
    [{ records: 5, per: 'soon' }, /stage 'take': rateLimit.per must be milliseconds/]
  ])('%j is refused where the stage is written', (rateLimit, message) => {
    expect(() => new Scene().processing(rateLimit as never)).toThrow(message)
  })
})

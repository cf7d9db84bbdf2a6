/** A fast partition waits for a slow one, and for no more than that. */
import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { number, pipeline, processor, text, topic, type Pipeline, type RunOptions } from '../../src/index.ts'
import { World } from './world.ts'

const second = 1_000
const start = 1_700_000_000_000
const records = 600
const readings = topic('readings', { key: text, value: number, partitions: 2, eventTime: at => at })
const others = topic('others', { key: text, value: number, partitions: 2, eventTime: at => at })

interface Watched {
  readonly world: World
  /** Event time of the last record of each partition, or of each topic. */
  readonly newest: Map<string, number>
  /** Farthest that any was ahead of another, ms of event time. */
  skew: number
  /** No troubles were told. */
  readonly troubles: Set<string>
}

async function filled(
  topics: readonly (typeof readings | typeof others)[],
  partitions: readonly number[]
): Promise<World> {
  const world = new World()
  const client = await world.connect('writer')
  for (const each of topics) {
    await world.environment.run(client.admin.create(each))
    const producer = await world.environment.run(client.producer(each))
    // A record a second of event time, in each partition.
    for (let count = 0; count < records; count++)
      await world.environment.run(
        producer.sendAll(
          partitions.map(partition => ({ key: `${partition}`, partition, value: start + count * second }))
        )
      )
    await world.environment.run(producer.close())
  }
  await world.environment.run(client.close())
  return world
}

/** @param takes ms of real time for a record, by partition or topic */
function watching(
  world: World,
  takes: Readonly<Record<string, number>>,
  by: 'partition' | 'topic'
): [Watched, () => Pipeline] {
  const watched: Watched = { world, newest: new Map(), skew: 0, troubles: new Set() }
  const app = (): Pipeline =>
    pipeline('app', [
      processor({
        name: 'work',
        from: by === 'topic' ? [readings, others] : [readings],
        async process(record, { timeliness, signal }) {
          const name = String(record[by])
          watched.newest.set(name, record.eventTime)
          for (const { cause, stage } of timeliness.troubles) watched.troubles.add(`${stage} is ${cause}`)
          const times = [...watched.newest.values()]
          if (times.length === 2) watched.skew = Math.max(watched.skew, Math.max(...times) - Math.min(...times))
          await sleep(world.environment, takes[name] ?? 1, signal)
        }
      })
    ])
  return [watched, app]
}

async function run(
  [watched, app]: ReturnType<typeof watching>,
  options: RunOptions,
  workers: number,
  milliseconds: number
): Promise<Watched> {
  const { world } = watched
  const stop = new AbortController()
  const all = { handleSignals: false, signal: stop.signal, commitInterval: 50, ...options }
  const running = Array.from({ length: workers }, () => world.worker().run(app(), all))
  await world.environment.advance(milliseconds)
  stop.abort()
  await world.environment.run(Promise.all(running))
  return watched
}

describe('with partitions of which one is slow', () => {
  const slow = { 0: 10, 1: 100 }

  it('the fast one runs ahead as far as it can, unless it is told not to', async () => {
    const { skew } = await run(watching(await filled([readings], [0, 1]), slow, 'partition'), {}, 1, 30 * second)
    expect(skew).toBeGreaterThan(500 * second)
  })

  it.each([
    { workers: 1, blur: 30 * second },
    // Of other workers it knows by their reports: what it does until these come, in two seconds, is the blur.
    { workers: 2, blur: 200 * second }
  ])('the fast one waits, at $workers workers', async ({ workers, blur }) => {
    const maxSkew = 30 * second
    const options = { maxSkew, vitalsInterval: 100 }
    const watched = await run(
      watching(await filled([readings], [0, 1]), slow, 'partition'),
      options,
      workers,
      40 * second
    )
    expect(watched.skew).toBeLessThan(maxSkew + blur)
    expect(watched.newest.get('1')).toBeGreaterThan(start + 200 * second)
    expect(watched.newest.get('0')).toBeGreaterThan(watched.newest.get('1')!)
  })

  it('all of it is done in the end', async () => {
    const watched = await run(
      watching(await filled([readings], [0, 1]), slow, 'partition'),
      { maxSkew: 30 * second },
      1,
      120 * second
    )
    expect([...watched.newest.values()]).toEqual([start + 599 * second, start + 599 * second])
    expect((await watched.world.counts('work')).processed).toBe(2 * records)
  })

  it('nobody waits for one that does not get on for more than half a minute', async () => {
    const watched = await run(
      watching(await filled([readings], [0, 1]), { 1: 3_600 * second }, 'partition'),
      { maxSkew: 30 * second, drainTimeout: 1_000 },
      1,
      60 * second
    )
    expect(watched.newest.get('0')).toBe(start + 599 * second)
  })

  it('nobody waits for one that has nothing', async () => {
    const watched = await run(
      watching(await filled([readings], [0]), {}, 'partition'),
      { maxSkew: second },
      1,
      20 * second
    )
    expect(watched.newest.get('0')).toBe(start + 599 * second)
  })
})

it('of two inputs of a task the one that is ahead waits, to sixteen records; who waits is not called slow', async () => {
  const watched = await run(
    watching(await filled([readings, others], [0]), { others: 20, readings: 1 }, 'topic'),
    { maxSkew: 60 * second },
    1,
    40 * second
  )
  expect(watched.skew).toBeLessThanOrEqual(60 * second + 16 * second)
  expect([...watched.newest.values()]).toEqual([start + 599 * second, start + 599 * second])
})

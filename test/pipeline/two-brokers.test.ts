/** A stage that writes to two brokers is a producer of both: the readers of each must hear of it from the broker that they read. */
import { expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Client } from '../../src/client.ts'
import { sleep } from '../../src/core/environment.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import { connect, number, pipeline, processor, source, text, topic, type Topic } from '../../src/index.ts'
import { VitalsView, type Pipeline } from '../../src/pipeline/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import type { Vitals } from '../../src/watermark/index.ts'

const ticks = topic('ticks', { key: text, value: number, partitions: 2 })
const evens = topic('evens', { key: text, value: number, partitions: 2 })
const odds = topic('odds', { key: text, value: number, partitions: 2 })

const split = processor({
  name: 'split',
  from: ticks,
  to: [evens, odds],
  process: ({ key, value }) => ({ topic: value % 2 === 0 ? ('evens' as const) : ('odds' as const), key, value })
})

class TwoBrokers {
  readonly environment: SimulatedEnvironment = new SimulatedEnvironment({ seed: 3 })
  readonly #east = new MemoryBroker()
  readonly #west = new MemoryBroker()
  readonly #store = new MemoryStore()
  readonly #stop = new AbortController()
  readonly #runs: Promise<void>[] = []

  connect(name: string): Promise<Client> {
    return connect({
      brokers: {
        default: memory({ broker: this.#east, client: `${name} east` }),
        west: memory({ broker: this.#west, client: `${name} west` })
      },
      topics: { odds: { broker: 'west' } },
      store: this.#store,
      environment: this.environment,
      variables: {}
    })
  }

  /** Starts a pipeline at a client of its own; gives its end. */
  start(app: Pipeline): Promise<void> {
    const run = (async () => {
      const client = await this.connect(app.name)
      await client.run(app, { signal: this.#stop.signal, handleSignals: false }).finally(() => client.close())
    })()
    this.#runs.push(run.catch(() => {}))
    return run
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#runs)
  }

  async reports(broker: 'east' | 'west'): Promise<ReadonlyMap<string, Vitals>> {
    const adapter = memory({ broker: broker === 'east' ? this.#east : this.#west, client: 'observer' })
    await adapter.open(this.environment)
    const view = new VitalsView(adapter, this.environment)
    await view.open()
    await view.close()
    return new Map(view.tasks)
  }
}

/** Reads a topic in a pipeline of its own; `watermarks`: what its tasks came to believe. */
function reader(from: Topic<'evens' | 'odds', string, number>, watermarks: number[]): Pipeline {
  const look = processor({ name: 'look', from, process: () => {}, onWatermark: time => void watermarks.push(time) })
  return pipeline(`read-${from.name}`, [look])
}

it('readers at both brokers hear of its tasks, of their own topic only, and of the end', async () => {
  const world = new TwoBrokers()
  const { environment } = world
  const feed = source({
    name: 'feed',
    to: ticks,
    *run() {
      for (let value = 1; value <= 40; value++) yield { key: `k${value % 7}`, value, eventTime: value * 1_000 }
    }
  })
  const ends = Promise.all([
    world.start(pipeline('splitter', [feed, split])),
    world.start(reader(evens, [])),
    world.start(reader(odds, []))
  ])
  const ended = await environment.run(Promise.race([ends.then(() => true), sleep(environment, 60_000)]))
  await environment.run(world.stop())
  expect(ended, 'a reader waits for the end of a stage that its broker says nothing of').toBe(true)

  const east = await environment.run(world.reports('east'))
  const west = await environment.run(world.reports('west'))
  for (const task of ['splitter/split/0', 'splitter/split/1']) {
    expect([...east.get(task)!.outputs.keys()], 'topics of the east').toEqual(['evens'])
    expect([...west.get(task)!.outputs.keys()], 'topics of the west').toEqual(['odds'])
    expect([east.get(task)!.state, west.get(task)!.state]).toEqual(['closing', 'closing'])
  }
  expect(west.has('splitter/feed/main'), 'the source writes to the east alone').toBe(false)
})

it('time goes on for the readers of an output that gets no records', async () => {
  const world = new TwoBrokers()
  const { environment } = world
  const started = environment.now()
  const feed = source({
    name: 'feed',
    to: ticks,
    async *run({ signal }) {
      // Odd ones at the start only.
      for (let value = 1; !signal.aborted; value += value < 9 ? 1 : 2) {
        if (value >= 9 && value % 2 === 1) value++
        yield { key: `k${value % 7}`, value, eventTime: environment.now() }
        await sleep(environment, 100, signal).catch(() => {})
      }
    }
  })
  const [even, odd]: number[][] = [[], []]
  void world.start(pipeline('splitter', [feed, split]))
  void world.start(reader(evens, even!))
  void world.start(reader(odds, odd!))
  await environment.run(sleep(environment, 30_000))
  const now = environment.now()
  await environment.run(world.stop())
  expect(now - started).toBeGreaterThanOrEqual(30_000)
  expect(now - Math.max(...even!.filter(Number.isFinite))).toBeLessThan(5_000)
  expect(now - Math.max(...odd!.filter(Number.isFinite)), 'behind, in ms').toBeLessThan(5_000)
})

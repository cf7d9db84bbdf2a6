/** Producers without this library promise nothing: what is guessed about them is marked, at every hop below, and says so. */
import { describe, expect, it } from 'vitest'
import { memory } from '../../src/adapters/memory/index.ts'
import { noHeaders } from '../../src/core/record.ts'
import {
  json,
  number,
  pipeline,
  processor,
  text,
  topic,
  when,
  type Estimate,
  type Timeliness
} from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import type { ProducerDriver } from '../../src/spec/index.ts'
import { World } from './world.ts'

const start = 1_700_000_000_000

/** A client of the broker without this library: it knows no stamps. */
async function vendorClient({ broker, environment }: World): Promise<ProducerDriver> {
  const adapter = memory({ broker, client: 'vendor' })
  await adapter.open(environment)
  return adapter.producer()
}

const foreign = (eventTime: number, timestamp: number, partition = 0) => ({
  topic: 'readings',
  partition,
  key: Buffer.from('k'),
  value: Buffer.from(JSON.stringify(eventTime)),
  headers: noHeaders,
  stamp: undefined,
  timestamp
})

const readingsOf = (estimate?: Estimate) =>
  topic('readings', {
    key: text,
    value: json<number>(),
    eventTime: at => at,
    partitions: 1,
    lateness: 100,
    ...(estimate && { estimate })
  })

/** Runs stages as pipelines of their own, while `act` happens; then stops them. */
async function during(world: World, stages: readonly ProcessorStage[], act: (vendor: ProducerDriver) => Promise<void>) {
  const stop = new AbortController()
  const options = { handleSignals: false, signal: stop.signal }
  const runs = stages.map(stage => world.worker().run(pipeline(`${stage.name}s`, [stage]), options))
  await world.environment.advance(1_000)
  await act(await vendorClient(world))
  stop.abort()
  await world.environment.run(Promise.all(runs))
}

describe('the watermark of foreign records', () => {
  it.each<[Estimate | undefined, number]>([
    [undefined, start + 900],
    ['bounded-disorder', start + 900],
    ['monotone', start + 1_000],
    ['broker-time', start + 4_900]
  ])('is guessed as the topic says: %s', async (estimate, expected) => {
    const world = new World()
    const seen: number[] = []
    const onWatermark = (at: number): void => void seen.push(at)
    const look = processor({ name: 'look', from: readingsOf(estimate), process() {}, onWatermark })
    await during(world, [look], async vendor => {
      await vendor.send([foreign(start + 1_000, start + 5_000), foreign(start + 950, start + 4_000)])
      await world.environment.advance(40_000)
    })
    expect(seen.at(-1)).toBe(expected)
  })

  it('goes on with the clock in a silence, and takes what lies there for punctual', async () => {
    const world = new World()
    const { environment } = world
    const seen: number[] = []
    const late: boolean[] = []
    const look = processor({
      name: 'look',
      from: readingsOf('wall-clock'),
      process: record => void late.push(record.late),
      onWatermark: at => void seen.push(at)
    })
    // What came while nobody was there: an hour ago by every clock.
    const before = await vendorClient(world)
    world.broker.createTopic({ topic: 'readings', partitions: 1 })
    const then = environment.now() - 3_600_000
    for (let at = 0; at < 100; at++) await before.send([foreign(then + at, then + at)])
    await during(world, [look], async vendor => {
      await environment.advance(5_000)
      expect(late).toEqual(new Array(100).fill(false))
      expect(environment.now() - seen.at(-1)!).toBeLessThan(2_500)
      await environment.advance(20_000)
      expect(environment.now() - seen.at(-1)!).toBeLessThan(2_500)
      await vendor.send([foreign(environment.now(), environment.now())])
      await environment.advance(100)
      expect(late.at(-1)).toBe(false)
    })
  })

  it('does not follow an event from the future', async () => {
    const world = new World()
    const { environment } = world
    const late: boolean[] = []
    const look = processor({ name: 'look', from: readingsOf(), process: record => void late.push(record.late) })
    await during(world, [look], async vendor => {
      const now = environment.now()
      await vendor.send([foreign(now, now), foreign(now + 3_700_000, now), foreign(now + 50, now)])
      await environment.advance(1_000)
    })
    expect(late).toEqual([false, false, false])
  })
})

it('a guess is marked at every hop below, and nothing else is', async () => {
  const world = new World()
  const { environment } = world
  const last: Record<string, Timeliness> = {}
  const kept: string[] = []
  const first = topic('first', { key: text, value: number, partitions: 1 })
  const second = topic('second', { key: text, value: number, partitions: 1 })
  const held = topic('held', { key: text, value: number, partitions: 1 })
  for (const name of ['readings', 'first', 'second', 'held']) world.broker.createTopic({ topic: name, partitions: 1 })
  const pass = { key: 'k', value: 1 }
  const stages = [
    processor({
      name: 'import',
      from: readingsOf(),
      to: first,
      process: (_, { timeliness }) => ((last['import'] = timeliness), pass)
    }),
    processor({
      name: 'refine',
      from: first,
      to: second,
      process: (_, { timeliness }) => ((last['refine'] = timeliness), pass)
    }),
    processor({ name: 'judge', from: second, process: (_, { timeliness }) => void (last['judge'] = timeliness) }),
    processor({
      name: 'decide',
      from: second,
      guard: when({ exact: true }, { otherwise: held }),
      process: ({ key }) => void kept.push(key)
    })
  ]
  await during(world, stages, async vendor => {
    for (let tick = 0; tick < 100; tick++) {
      const now = environment.now()
      await vendor.send([foreign(now, now)])
      await environment.advance(100)
    }
    const tasks = await world.tasks()
    expect(tasks.get('imports/import/0')!.health!.heuristic).toBe(true)
    expect(tasks.get('judges/judge/0')!.health!.heuristic).toBe(true)
  })
  expect(Object.fromEntries(Object.entries(last).map(([stage, { exact }]) => [stage, exact]))).toEqual({
    import: false,
    refine: false,
    judge: false
  })
  // What was decided before the first report of a guess had come down is not many.
  expect(world.written('held')).toBeGreaterThan(kept.length)
})

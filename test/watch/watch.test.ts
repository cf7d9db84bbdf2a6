import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { connect, number, pipeline, processor, sink, source, text, topic } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { vitalsTopic } from '../../src/watermark/index.ts'
import { watch, type Snapshot } from '../../src/watch/index.ts'
import { World } from '../pipeline/world.ts'

const second = 1_000
const ticks = topic('ticks', { key: text, value: number, partitions: 2, interval: second })
const doubled = topic('doubled', { key: text, value: number, partitions: 2, interval: second })

function exchange({ environment }: World) {
  const feed = source({
    name: 'feed',
    to: ticks,
    async *run({ resume, signal }) {
      for (let tick = Number(resume ?? 0); !signal.aborted; tick++) {
        yield { key: `k${tick % 8}`, value: tick, eventTime: environment.now(), cursor: tick + 1 }
        await sleep(environment, 50, signal).catch(() => {})
      }
    }
  })
  const double = processor({
    name: 'double',
    from: ticks,
    to: doubled,
    process: ({ key, value }) => ({ key, value: value * 2 })
  })
  return pipeline('exchange', [feed, double, sink({ name: 'load', from: doubled, write: () => {} })])
}

/** Follows a world in the background; the newest snapshot is at hand. */
function follow(world: World, options: Parameters<typeof watch>[1] = {}) {
  const abort = new AbortController()
  const all: Snapshot[] = []
  const { environment } = world
  const watching = (async () => {
    const adapter = memory({ broker: world.broker, client: 'watcher' })
    for await (const snapshot of watch(adapter, { environment, signal: abort.signal, ...options })) all.push(snapshot)
  })()
  return { all, last: () => all.at(-1)!, end: () => (abort.abort(), environment.run(watching)) }
}

describe('a pipeline, watched from outside', () => {
  it('is seen stage by stage; every record is accounted for; and its death is told when nobody is left to tell', async () => {
    const world = new World({ seed: 3 })
    const worker = world.worker()
    void worker.run(exchange(world), { handleSignals: false })
    const watched = follow(world, { expect: ['exchange/feed', 'exchange/audit'] })
    await world.environment.advance(20 * second)

    const well = watched.last()
    expect(well.stages.map(({ stage, state, reads, writes }) => [stage, state, reads, writes])).toEqual([
      ['exchange/double', 'active', ['ticks'], ['doubled']],
      ['exchange/feed', 'active', [], ['ticks']],
      ['exchange/load', 'active', ['doubled'], []]
    ])
    expect(well.stages.map(({ heldBy }) => heldBy)).toEqual([undefined, undefined, undefined])
    expect(well.troubles).toEqual([])
    expect(well.alerts).toMatchObject([{ kind: 'absent', stage: 'exchange/audit' }])
    const complete = well.receipts.filter(({ state }) => state === 'complete')
    expect(complete.length).toBeGreaterThan(25)
    for (const { sent, processed, start } of complete.filter(({ start }) => start > well.at - 15 * second))
      expect([sent, processed], String(start)).toEqual([20, 20])
    expect(well.receipts.filter(({ state }) => state === 'short' || state === 'unknown')).toEqual([])

    worker.kill()
    await world.environment.advance(5 * second)
    const dead = watched.last()
    expect(dead.alerts.flatMap(alert => (alert.kind === 'silent' ? alert.stage : []))).toEqual([
      'exchange/double',
      'exchange/feed',
      'exchange/load'
    ])
    for (const { heldBy } of dead.stages) expect(heldBy).toMatchObject({ cause: 'silent' })

    // Who comes now has never heard any of them alive.
    const late = follow(world)
    await world.environment.advance(5 * second)
    expect(late.last().alerts).toHaveLength(3)
    expect(late.last().receipts.filter(({ state }) => state === 'complete').length).toBeGreaterThan(25)
    await late.end()
    await watched.end()
  })

  it('says who is slow within five seconds, and accuses nobody else', async () => {
    const world = new World({ seed: 4 })
    const [feed, double, load] = exchange(world).stages
    const stop = new AbortController()
    const run = (stage: typeof feed, name: string) =>
      world.worker().run(pipeline(name, [stage!]), { handleSignals: false, signal: stop.signal })
    let slow = false
    const slowly = processor({
      name: 'double',
      from: ticks,
      to: doubled,
      async process({ key, value }) {
        if (slow) await sleep(world.environment, 400)
        return { key, value }
      }
    })
    for (const { name } of [ticks, doubled]) world.broker.createTopic({ topic: name, partitions: 2 })
    const running = [run(feed, 'one'), run(slowly, 'two'), run(load, 'three')]
    void double
    const watched = follow(world)
    await world.environment.advance(10 * second)
    expect(watched.last().troubles).toEqual([])
    slow = true
    await world.environment.advance(5 * second)
    expect(watched.last().troubles).toMatchObject([{ stage: 'two/double', cause: 'slow' }])
    expect(watched.last().stages.find(({ stage }) => stage === 'three/load')!.heldBy).toMatchObject({ cause: 'slow' })
    slow = false
    stop.abort()
    await world.environment.run(Promise.all(running))
    await watched.end()
  })

  it('says whose outputs the broker does not take, while all report', async () => {
    const world = new World({ seed: 6 })
    const worker = world.worker()
    void worker.run(exchange(world), { handleSignals: false })
    const watched = follow(world)
    await world.environment.advance(10 * second)
    world.broker.faults.fail({ operation: 'send', topic: 'doubled', times: 1_000_000 })
    await world.environment.advance(5 * second)
    expect(watched.last().troubles).toMatchObject([{ stage: 'exchange/double', cause: 'cut-off' }])
    expect(watched.last().stages.find(({ stage }) => stage === 'exchange/load')!.heldBy).toMatchObject({
      task: expect.stringContaining('exchange/double/'),
      cause: 'cut-off'
    })
    world.broker.faults.clear()
    await world.environment.advance(10 * second)
    expect(watched.last().troubles).toEqual([])
    worker.kill()
    await watched.end()
  })

  it('is told by a broker that goes and comes back, and by what is none of ours', async () => {
    const world = new World({ seed: 5 })
    const worker = world.worker()
    void worker.run(exchange(world), { handleSignals: false })
    const watched = follow(world)
    await world.environment.advance(5 * second)
    const { timestamp: _, ...record } = {
      topic: vitalsTopic,
      partition: 0,
      key: null,
      headers: {},
      stamp: undefined,
      timestamp: 0
    }
    const adapter = memory({ broker: world.broker, client: 'vandal' })
    await adapter.open(world.environment)
    const vandal = await adapter.producer()
    const rubbish = [
      '',
      '{',
      '[]',
      'null',
      '{"v":1}',
      '{"v":1,"reports":[{}]}',
      '{"v":2,"task":"x"}',
      '"'.repeat(2_000_000)
    ]
    const reports = rubbish.map(value => ({ ...record, value: Buffer.from(value), timestamp: 0 }))
    await world.environment.run(vandal.send(reports))
    await world.environment.advance(3 * second)
    expect(watched.last()).toMatchObject({ malformed: rubbish.length, alerts: [] })

    world.broker.faults.fail({ operation: 'read-partition', client: 'watcher', times: 1_000 })
    await world.environment.advance(5 * second)
    expect(watched.last().alerts).toMatchObject([{ kind: 'unreachable', broker: 'default' }])
    await world.environment.advance(600 * second)
    world.broker.faults.clear()
    await world.environment.advance(3 * second)
    expect(watched.last().alerts).toEqual([])
    expect(watched.last().troubles).toEqual([])
    worker.kill()
    await watched.end()
  })
})

describe('watch', () => {
  it('follows several real brokers, and ends with `break`', { timeout: 20_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tidemark-watch-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const brokers = { default: `file:${directory}/left`, right: `file:${directory}/right` }
    await using client = await connect({ brokers, topics: { doubled: { broker: 'right' } }, variables: {} })
    const feed = source({
      name: 'feed',
      to: ticks,
      *run() {
        for (let tick = 0; tick < 100; tick++) yield { key: `k${tick % 8}`, value: tick, eventTime: 10_000 + tick * 20 }
      }
    })
    const double = processor({
      name: 'double',
      from: ticks,
      to: doubled,
      process: ({ key, value }) => ({ key, value })
    })
    const load = sink({ name: 'load', from: doubled, write: () => {} })
    await client.run(pipeline('doubling', [feed, double, load]), { handleSignals: false, vitalsInterval: 100 })
    for await (const { stages, receipts, alerts } of watch(brokers, { every: 50, variables: {} })) {
      if (stages.length < 3 || stages.some(({ state }) => state !== 'ended')) continue
      expect(alerts).toEqual([])
      expect(
        receipts.map(({ topic, stage, start, sent, processed, state }) => [topic, stage, start, sent, processed, state])
      ).toEqual([
        ['doubled', 'doubling/load', 10_000, 50, 50, 'complete'],
        ['doubled', 'doubling/load', 11_000, 50, 50, 'complete'],
        ['ticks', 'doubling/double', 10_000, 50, 50, 'complete'],
        ['ticks', 'doubling/double', 11_000, 50, 50, 'complete']
      ])
      break
    }
  })

  it('goes on where there is no broker at all, and says so', { timeout: 20_000 }, async () => {
    for await (const { alerts, stages } of watch('file:/dev/null/none', { variables: {} })) {
      expect(stages).toEqual([])
      expect(alerts).toMatchObject([{ kind: 'unreachable', broker: 'default' }])
      break
    }
  })

  it('refuses what cannot be', async () => {
    const broker = new MemoryBroker()
    const adapter: AnyAdapter = memory({ broker, client: 'watcher' })
    await expect(watch(adapter, { every: 0 }).next()).rejects.toMatchObject({ code: 'bad-config' })
  })
})

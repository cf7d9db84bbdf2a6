/** Health of whole pipelines on a simulated clock: red exactly while something is wrong, and by its name. */
import { afterEach, expect, it } from 'vitest'
import type { Client } from '../../src/client.ts'
import { noHeaders } from '../../src/core/record.ts'
import {
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Pipeline,
  type RunOptions,
  StreamError
} from '../../src/index.ts'
import { MemoryStore, type TaskLog, type TaskName } from '../../src/exactly-once/index.ts'
import { failure } from '../support/failure.ts'
import { World } from '../pipeline/world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 2 })
const twice = topic('twice', { key: text, value: number, partitions: 2 })

interface Running {
  readonly world: World
  readonly client: Client
  readonly ended: Promise<void>
  stop(): Promise<void>
  /** A producer that knows nothing of tidemark. */
  write(value: number, partition?: number): void
}

let current: Running | undefined
afterEach(async () => {
  await current?.stop().catch(() => {})
  if (current) await current.world.environment.run(current.client.close())
  current = undefined
})

async function start(app: Pipeline, options: RunOptions = {}, world: World = new World()): Promise<Running> {
  for (const { name } of [numbers, twice]) world.broker.createTopic({ topic: name, partitions: 2 })
  const client = await world.connect('worker')
  const abort = new AbortController()
  const ended = client.run(app, { handleSignals: false, signal: abort.signal, drainTimeout: 5_000, ...options })
  ended.catch(() => {})
  current = {
    world,
    client,
    ended,
    stop: () => {
      abort.abort()
      return world.environment.run(ended)
    },
    write(value, partition = 0) {
      const record = { headers: noHeaders, stamp: undefined, timestamp: world.environment.now() }
      world.broker.appendAll([
        { topic: 'numbers', partition, key: text.encode('a'), value: number.encode(value), ...record }
      ])
    }
  }
  await world.environment.advance(2_000)
  return current
}

const look = (process: (value: number) => unknown): Pipeline =>
  pipeline('app', [processor({ name: 'look', from: numbers, process: ({ value }) => process(value) as never })])

it('with nothing to do for hours it is alive and ready all the time', async () => {
  const { world, client } = await start(look(() => {}))
  for (let part = 0; part < 12; part++) {
    expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
    await world.environment.advance(900_000)
  }
  expect(client.health()).toMatchObject({
    live: true,
    ready: true,
    problems: [],
    runs: [{ pipeline: 'app', phase: 'running', tasks: 2 }]
  })
})

it('a handler that hangs is named, and a stop gives up on it after the deadline and names it again', async () => {
  let release = (): void => {}
  const hang = new Promise<void>(resolve => (release = resolve))
  const { world, client, write, stop } = await start(look(value => (value === 7 ? hang : undefined)))
  write(1)
  write(7)
  write(8)
  await world.environment.advance(50_000)
  expect(client.health()).toMatchObject({ live: true, ready: true })
  await world.environment.advance(20_000)
  const { live, ready, problems } = client.health()
  expect({ live, ready }).toEqual({ live: false, ready: false })
  expect(problems).toMatchObject([
    { cause: 'hung', pipeline: 'app', stage: 'look', partition: '0', topic: 'numbers', position: '1' }
  ])
  expect(problems[0]!.message).toMatch(
    /^partition 0 of stage 'look' hangs while handling a record \(numbers\/0 at 1\), for (69|70|71) s$/
  )
  const before = world.environment.monotonic()
  const error = await failure(stop)
  expect(world.environment.monotonic() - before).toBeLessThan(5_000 + 2_000)
  expect(error.code).toBe('handler')
  expect(error.message).toMatch(
    /^stopped without waiting for handlers that do not come back: partition 0 of stage 'look' has been handling a record \(numbers\/0 at 1\) for \d+ s/
  )
  release()
})

it('a batch handler that hangs is named, with the first of its records; one that is tried again is none', async () => {
  let release = (): void => {}
  const hang = new Promise<void>(resolve => (release = resolve))
  const app = pipeline('app', [
    processor({
      name: 'look',
      from: numbers,
      batch: { wait: '100ms' },
      failure: { retries: Infinity, backoff: { first: 20_000, most: 20_000 } },
      async processBatch(records) {
        if (records.some(({ value }) => value === 7)) await hang
        if (records.some(({ value }) => value === 8)) throw new Error('not now')
        return records.map(() => undefined)
      }
    })
  ])
  const { world, client, write } = await start(app)
  write(1)
  await world.environment.advance(1_000)
  write(7)
  write(2)
  await world.environment.advance(70_000)
  const { live, problems } = client.health()
  expect(live).toBe(false)
  expect(problems).toMatchObject([{ cause: 'hung', stage: 'look', partition: '0', topic: 'numbers', position: '1' }])
  expect(problems[0]!.message).toMatch(
    /^partition 0 of stage 'look' hangs while handling 2 records \(numbers\/0 at 1\)/
  )
  release()
  await world.environment.advance(200)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
  write(8)
  await world.environment.advance(300_000)
  expect(client.health().problems.map(({ cause }) => cause)).not.toContain('hung')
})

it('a handler that comes back late is fine again at once', async () => {
  let release = (): void => {}
  const hang = new Promise<void>(resolve => (release = resolve))
  const { world, client, write } = await start(look(value => (value === 7 ? hang : undefined)))
  write(7)
  await world.environment.advance(70_000)
  expect(client.health().live).toBe(false)
  release()
  await world.environment.advance(200)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('slow handlers with a long queue before them are no stall', async () => {
  const { world, client, write } = await start(
    look(() => new Promise<void>(resolve => world.environment.timer(50_000, resolve)))
  )
  for (let value = 0; value < 20; value++) write(value)
  for (let minute = 0; minute < 15; minute++) {
    await world.environment.advance(60_000)
    expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
  }
})

it('a reader that is alive and gets nothing though records are there is found', async () => {
  const { world, client, write } = await start(look(() => {}))
  write(1)
  write(1, 1)
  await world.environment.advance(1_000)
  // From now on what the reader asks for never comes, as in a client that has lost its thread.
  const held = world.broker.faults.hold({ operation: 'receive' })
  await world.environment.run(held.reached)
  await world.environment.advance(120_000)
  expect(client.health()).toMatchObject({ live: true, ready: true })
  write(2)
  await world.environment.advance(20_000)
  expect(client.health()).toMatchObject({ live: true, ready: true })
  await world.environment.advance(120_000)
  expect(client.health()).toMatchObject({ live: false, ready: false })
  expect(client.health().problems).toMatchObject([{ cause: 'stalled', stage: 'look', partition: '0' }])
  held.release()
  await world.environment.advance(2_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('what producers say is there is not believed when retention has taken it', async () => {
  const feed = source({
    name: 'feed',
    to: numbers,
    async *run() {
      for (let value = 0; value < 10; value++) yield { key: 'a', value }
      await new Promise(() => {})
    }
  })
  let seen = 0
  const app = pipeline('app', [feed, processor({ name: 'look', from: numbers, process: () => void seen++ })])
  const { world, client } = await start(pipeline('app', app.stages))
  expect(seen).toBe(10)
  const held = world.broker.faults.hold({ operation: 'receive' })
  await world.environment.run(held.reached)
  // A producer that reports and whose records are gone before they are read.
  const late = await world.environment.run(client.producer(numbers))
  const sending = late.send({ key: 'a', value: 11 })
  await world.environment.run(sending)
  await world.environment.advance(3_000)
  for (const log of world.broker.topic('numbers').partitions) log.truncate(log.end)
  held.release()
  await world.environment.advance(600_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('a broker that is away makes unready and is said, and asks for no new process', async () => {
  const { world, client, write } = await start(look(() => {}))
  write(1)
  await world.environment.advance(1_000)
  world.broker.faults.disconnect('worker')
  await world.environment.advance(5_000)
  expect(client.health()).toMatchObject({ live: true, ready: true })
  await world.environment.advance(60_000)
  const { live, ready, problems } = client.health()
  expect({ live, ready }).toEqual({ live: true, ready: false })
  expect(problems[0]).toMatchObject({ cause: 'unreachable', stage: 'look', mayRestartMend: false })
  expect(problems[0]!.message).toMatch(/cannot reach its broker or store and tries again, for (6\d) s \(connection\)$/)
  world.broker.faults.reconnect('worker')
  await world.environment.advance(10_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('a store that was away and is back: a source that has nothing more to give then is well', async () => {
  let away = false
  class Store extends MemoryStore {
    override async acquire(task: TaskName): Promise<TaskLog> {
      const lost = new StreamError('connection', 'no answer', { retryable: true })
      if (away) throw lost
      const log = await super.acquire(task)
      const append = log.append.bind(log)
      log.append = async commit => {
        const outcome = await append(commit)
        // It has taken effect, and the answer is lost.
        if (away) throw lost
        return outcome
      }
      return log
    }
  }
  const feed = source({
    name: 'feed',
    to: numbers,
    async *run({ resume, signal }) {
      if (resume === undefined) {
        away = true
        yield { key: 'a', value: 1, cursor: 1 }
      }
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
  })
  const { world, client } = await start(pipeline('app', [feed]), {}, new World({ store: new Store() }))
  await world.environment.advance(60_000)
  expect(client.health()).toMatchObject({
    live: true,
    ready: false,
    problems: [{ cause: 'unreachable', stage: 'feed' }]
  })
  away = false
  await world.environment.advance(20_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('a handler that fails at each attempt is red after a while, and green with the first that does not', async () => {
  let fails = true
  const stage = processor({
    name: 'look',
    from: numbers,
    failure: { retries: Infinity, backoff: { first: 100, most: 5_000 } },
    process: () => {
      if (fails) throw new Error('no: card 4111')
    }
  })
  const { world, client, write } = await start(pipeline('app', [stage]))
  write(1)
  await world.environment.advance(30_000)
  expect(client.health().ready).toBe(true)
  await world.environment.advance(60_000)
  const { live, ready, problems } = client.health()
  expect({ live, ready }).toEqual({ live: true, ready: false })
  expect(problems).toMatchObject([{ cause: 'failing', stage: 'look', partition: '0' }])
  expect(problems[0]!.message).not.toContain('4111')
  fails = false
  await world.environment.advance(15_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('a sink whose destination does not answer is named, and asks for no new process', async () => {
  const load = sink({ name: 'load', from: numbers, write: () => new Promise<void>(() => {}) })
  const { world, client, write, stop } = await start(pipeline('app', [load]))
  write(1)
  await world.environment.advance(70_000)
  expect(client.health()).toMatchObject({ live: true, ready: false })
  expect(client.health().problems).toMatchObject([{ cause: 'unreachable', stage: 'load', partition: '0' }])
  expect(client.health().problems[0]!.message).toContain("partition 0 of stage 'load' waits while writing, for ")
  expect((await failure(stop)).message).toContain("partition 0 of stage 'load' has been writing")
})

it('rights that are taken away and given back interrupt a run that was up, and health says so meanwhile', async () => {
  const seen: number[] = []
  const { world, client, write } = await start(look(value => void seen.push(value)))
  write(1)
  await world.environment.advance(1_000)
  const error = new StreamError('unauthorized', 'not allowed any more')
  world.broker.faults.fail({ operation: 'receive', error, times: 12 })
  await world.environment.advance(20_000)
  expect(client.health()).toMatchObject({ live: true, ready: false })
  expect(
    client
      .health()
      .problems.map(({ message }) => message)
      .join()
  ).toMatch(/pipeline 'app' is refused what it was allowed before, and begins anew, for (1\d|20) s \(unauthorized\)/)
  write(2)
  await world.environment.advance(60_000)
  expect(seen).toEqual([1, 2])
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('rights that are given back to a run that then has nothing to do: it is well all the same', async () => {
  const { world, client, write } = await start(look(() => {}))
  write(1)
  await world.environment.advance(1_000)
  const error = new StreamError('unauthorized', 'not allowed any more')
  world.broker.faults.fail({ operation: 'receive', error, times: 12 })
  await world.environment.advance(20_000)
  expect(client.health()).toMatchObject({ ready: false, problems: [{ cause: 'unreachable' }] })
  await world.environment.advance(60_000)
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
})

it('rights that were never there fail the run at once', async () => {
  const world = new World()
  world.broker.createTopic({ topic: 'numbers', partitions: 2 })
  const client = await world.connect('worker')
  const error = new StreamError('unauthorized', 'never allowed')
  world.broker.faults.fail({ operation: 'join', error, times: 5 })
  const run = client.run(
    look(() => {}),
    { handleSignals: false }
  )
  expect(await failure(() => world.environment.run(run))).toMatchObject({ code: 'unauthorized' })
  expect(client.health()).toMatchObject({ live: false, problems: [{ cause: 'failed' }] })
  await world.environment.run(client.close())
})

it('a run that has failed stays red until another one is up', async () => {
  const stage = processor({
    name: 'look',
    from: numbers,
    failure: { retries: 0, then: 'stop' },
    process: () => {
      throw new Error('no')
    }
  })
  const { world, client, write, ended } = await start(pipeline('app', [stage]))
  write(1)
  await world.environment.run(ended.catch(() => {}))
  expect(client.health()).toMatchObject({ live: false, ready: false, problems: [{ cause: 'failed', pipeline: 'app' }] })
})

it('the loop of a plain consumer that hangs is named, too', async () => {
  const { world, client, write } = await start(look(() => {}))
  write(1)
  write(2)
  const stop = new AbortController()
  let release = (): void => {}
  const hang = new Promise<void>(resolve => (release = resolve))
  const loop = (async (): Promise<void> => {
    for await (const { value } of client.consumer(numbers, { group: 'audit', signal: stop.signal }))
      if (value === 2) await hang
  })()
  await world.environment.advance(80_000)
  expect(client.health().problems).toMatchObject([
    { cause: 'hung', pipeline: 'audit', stage: 'numbers', partition: '0', position: '1' }
  ])
  release()
  await world.environment.advance(1_000)
  expect(client.health()).toMatchObject({ live: true, ready: true })
  stop.abort()
  await world.environment.run(loop)
})

/** A run whose broker or store is away while it starts: it goes on trying, says so, and ends when it is told to. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Client } from '../../src/client.ts'
import type { FaultOperation } from '../../src/adapters/memory/faults.ts'
import { number, pipeline, sink, source, StreamError, text, topic, type Pipeline } from '../../src/index.ts'
import { World } from '../pipeline/world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 2 })

interface Running {
  readonly world: World
  readonly client: Client
  readonly seen: number[]
  readonly stop: AbortController
  readonly ended: Promise<void>
}

let current: Running | undefined
afterEach(async () => {
  if (!current) return
  const { world, stop, ended, client } = current
  stop.abort()
  await world.environment.run(Promise.allSettled([ended, client.close()]))
  current = undefined
})

async function start(
  prepare: (world: World) => void,
  more: Partial<Pipeline['stages'][number]>[] = []
): Promise<Running> {
  const world = new World()
  prepare(world)
  const client = await world.connect('worker')
  const stop = new AbortController()
  const seen: number[] = []
  const feed = source({
    name: 'feed',
    to: numbers,
    async *run({ signal }) {
      for (let value = 0; value < 3; value++) yield { key: 'a', value }
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
  })
  const collect = sink({
    name: 'collect',
    from: numbers,
    write: records => void seen.push(...records.map(record => record.value))
  })
  const app = pipeline('app', [feed, collect, ...(more as [])])
  const ended = client.run(app, { handleSignals: false, signal: stop.signal, drainTimeout: 5_000 })
  ended.catch(() => {})
  current = { world, client, seen, stop, ended }
  return current
}

const away = (operation: FaultOperation) => (world: World) =>
  void world.broker.faults.fail({ operation, times: Infinity })

describe.each<FaultOperation>(['admin', 'read-partition', 'producer', 'send'])(
  'a broker that refuses %s at start',
  operation => {
    it('is tried until it is there', async () => {
      const { world, client, seen } = await start(away(operation))
      await world.environment.advance(5_000)
      expect(client.health()).toMatchObject({ live: true, ready: false, problems: [], runs: [{ phase: 'starting' }] })
      await world.environment.advance(600_000)
      const { live, ready, problems, runs } = client.health()
      expect({ live, ready, runs }).toEqual({
        live: true,
        ready: false,
        runs: [{ pipeline: 'app', phase: 'starting', tasks: 0 }]
      })
      expect(problems).toMatchObject([{ cause: 'unreachable', pipeline: 'app', error: { code: 'connection' } }])
      expect(problems[0]!.message).toMatch(
        /^pipeline 'app' cannot reach what it needs to start, and tries again, for 60\d s \(connection\)$/
      )
      world.broker.faults.clear()
      await world.environment.advance(10_000)
      expect(client.health()).toMatchObject({ ready: true, problems: [], runs: [{ phase: 'running' }] })
      expect(seen).toEqual([0, 1, 2])
    })

    it('does not hold up a stop', async () => {
      const { world, stop, ended } = await start(away(operation))
      await world.environment.advance(60_000)
      stop.abort()
      const told = world.environment.monotonic()
      await world.environment.run(ended)
      expect(world.environment.monotonic() - told).toBeLessThan(2_500)
    })
  }
)

it('a destination that a sink opens is tried until it is there, too', async () => {
  let attempts = 0
  const warehouse = sink({
    name: 'warehouse',
    from: numbers,
    write: {
      grade: 'idempotent',
      async open() {
        if (++attempts < 20) throw new StreamError('connection', 'the warehouse is away', { retryable: true })
        return { write() {}, async close() {} }
      }
    }
  })
  const { world, client, seen } = await start(() => {}, [warehouse])
  await world.environment.advance(20_000)
  expect(client.health()).toMatchObject({ live: true, ready: false, problems: [{ cause: 'unreachable' }] })
  await world.environment.advance(120_000)
  expect(attempts).toBe(20)
  expect(client.health()).toMatchObject({ ready: true, problems: [] })
  expect(seen).toEqual([0, 1, 2])
})

it.each([
  new StreamError('bad-config', 'no such table'),
  new StreamError('unauthorized', 'the password is wrong'),
  new StreamError('connection', 'the certificate is not of this host'),
  new Error('unknown')
])('what no attempt will mend ends it at once, also after some that were in vain: %o', async error => {
  let attempts = 0
  const warehouse = sink({
    name: 'warehouse',
    from: numbers,
    write: {
      grade: 'idempotent',
      async open() {
        if (++attempts < 3) throw new StreamError('connection', 'away', { retryable: true })
        throw error
      }
    }
  })
  const { world, client, ended } = await start(() => {}, [warehouse])
  await expect(world.environment.run(ended)).rejects.toBe(error)
  expect(attempts).toBe(3)
  expect(client.health()).toMatchObject({ live: false, problems: [{ cause: 'failed' }] })
})

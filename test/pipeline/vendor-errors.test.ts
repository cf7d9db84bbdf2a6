/** Adapters throw what their clients throw, and classify it: wherever it comes up, a passing one must not end the run. */
import { expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { noHeaders } from '../../src/core/record.ts'
import { StreamError } from '../../src/core/errors.ts'
import { MemoryStore, type TaskLog, type TaskName } from '../../src/exactly-once/index.ts'
import { number, pipeline, processor, text, topic } from '../../src/index.ts'
import { resolveTopic, runPipeline, runSettings } from '../../src/pipeline/index.ts'
import type { AnyAdapter, LogReader } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { ungrouped } from '../leases/ungrouped.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })

/** As a vendor's client throws it: not one of ours. */
const reset = (): Error => Object.assign(new Error('connect ECONNRESET'), { code: 'ECONNRESET' })

/** The first calls of a kind fail. */
function failing(inner: AnyAdapter, kind: 'seek' | 'open a partition', times: number): AnyAdapter {
  let left = times
  const fail = (): void => {
    if (left-- > 0) throw reset()
  }
  const classify: AnyAdapter['classify'] = error =>
    !StreamError.is(error) && (error as { code?: string }).code === 'ECONNRESET'
      ? { code: 'connection', retryable: true }
      : inner.classify(error)
  if (kind === 'open a partition')
    return {
      ...inner,
      classify,
      partitionReader: async options => {
        // The vitals are read with it, too.
        if (options.topic === 'numbers') fail()
        return inner.partitionReader!(options)
      }
    }
  return {
    ...inner,
    classify,
    logReader: async options => {
      const reader = await inner.logReader!(options)
      return {
        receive: given => reader.receive(given),
        commit: positions => reader.commit(positions),
        pause: places => reader.pause(places),
        resume: places => reader.resume(places),
        close: () => reader.close(),
        seek: async (place, at) => {
          fail()
          return reader.seek(place, at)
        }
      }
    }
  }
}

/** Runs a stage for 20 s over a topic with one record, and stops it: what it has seen. */
async function seenBy(
  environment: SimulatedEnvironment,
  broker: MemoryBroker,
  adapter: AnyAdapter,
  store: MemoryStore = new MemoryStore()
): Promise<readonly number[]> {
  await adapter.open(environment)
  broker.createTopic({ topic: 'numbers', partitions: 1 })
  const record = { headers: noHeaders, stamp: undefined, timestamp: 0 }
  broker.appendAll([{ topic: 'numbers', partition: 0, key: text.encode('a'), value: number.encode(7), ...record }])
  const seen: number[] = []
  const look = processor({ name: 'look', from: numbers, process: ({ value }) => void seen.push(value) })
  const host = {
    environment,
    registry: undefined,
    adapterOf: () => adapter,
    commitIn: 'store' as const,
    openStore: async () => store
  }
  await store.storePositions('app.look', [])
  const stop = new AbortController()
  const running = runPipeline(host, pipeline('app', [look]), runSettings({ handleSignals: false }), stop.signal)
  running.catch(() => {})
  await environment.advance(20_000)
  stop.abort()
  await environment.run(running)
  return seen
}

it.each([
  ['seek', (adapter: AnyAdapter) => failing(adapter, 'seek', 3)],
  ['open a partition', (adapter: AnyAdapter) => failing(ungrouped(adapter), 'open a partition', 3)]
] as const)('a connection that breaks when a task is to %s is tried again', async (_, broken) => {
  const environment = new SimulatedEnvironment()
  const broker = new MemoryBroker()
  const adapter = broken(memory({ broker, client: 'worker' }))
  expect(await seenBy(environment, broker, adapter)).toEqual([7])
})

it('a task that is on its way out, and waits for its seek when the connection breaks, does not end the run', async () => {
  const environment = new SimulatedEnvironment()
  const broker = new MemoryBroker()
  const inner = failing(memory({ broker, client: 'worker' }), 'seek', 0)
  const taking = Promise.withResolvers<void>()
  let readers = 0
  const adapter: AnyAdapter = {
    ...inner,
    logReader: async options => {
      const reader = await inner.logReader!(options)
      if (++readers > 1) return reader
      let calls = 0
      const receive: LogReader['receive'] = async given => {
        calls++
        if (calls === 1) return reader.receive(given)
        const partitions = [{ topic: 'numbers', partition: 0 }]
        if (calls === 2)
          return [{ kind: 'partitions-revoked', partitions, deadline: environment.monotonic() + 5_000, release() {} }]
        // The task has its state now, and asks for its place: that interrupts us.
        taking.resolve()
        await new Promise<void>(resolve => given.signal!.addEventListener('abort', () => resolve()))
        throw reset()
      }
      return Object.assign(Object.create(reader) as LogReader, { receive, close: () => reader.close() })
    }
  }
  class SlowStore extends MemoryStore {
    override async acquire(task: TaskName): Promise<TaskLog> {
      await taking.promise
      return super.acquire(task)
    }
  }
  const seen = await seenBy(environment, broker, adapter, new SlowStore())
  expect({ seen, readers }).toEqual({ seen: [7], readers: 2 })
})

it('a topic that its broker does not know for a moment, after it was made, is looked for again', async () => {
  const environment = new SimulatedEnvironment()
  const inner = memory({ broker: new MemoryBroker(), client: 'worker' })
  let described = 0
  const adapter: AnyAdapter = {
    ...inner,
    open: given => inner.open(given),
    close: () => inner.close(),
    admin: () => {
      const admin = inner.admin()
      return new Proxy(admin, {
        get(_, name) {
          if (name === 'describeTopic')
            return async (topic: string) => {
              const found = await admin.describeTopic(topic)
              return topic === 'numbers' && [2, 3].includes(++described) ? undefined : found
            }
          const member: unknown = Reflect.get(admin, name, admin)
          return typeof member === 'function' ? (member as () => unknown).bind(admin) : member
        }
      })
    }
  }
  await adapter.open(environment)
  const host = { environment, registry: undefined, adapterOf: () => adapter }
  const bound = await environment.run(resolveTopic(host, numbers))
  expect(bound.partitions).toBe(1)
  expect(described).toBeGreaterThan(3)
})

/**
 * Workers of an older and of a newer release share a store, one after the other, task by task. Fields that only one of them knows come and go; a
 * version that is not known is refused, and nothing is written over it.
 */
import { expect, it } from 'vitest'
import { MemoryStore, type ClientStore, type Commit, type TaskLog } from '../../src/exactly-once/index.ts'
import { keyed, number, pipeline, processor, source, text, topic } from '../../src/index.ts'
import { Worker } from '../../src/testing/worker.ts'
import { World } from './world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 3 })
const sums = topic('sums', { key: text, value: number, partitions: 2 })
const total = 300

const app = pipeline('app', [
  source({
    name: 'count',
    to: numbers,
    async *run({ resume, signal }) {
      for (let next = Number(resume ?? 0); next < total && !signal.aborted; next += 5) {
        yield Array.from({ length: 5 }, (_, index) => ({
          key: `k${(next + index) % 7}`,
          value: 1,
          cursor: next + index + 1
        }))
        await pause()
      }
    }
  }),
  processor({
    name: 'sum',
    from: numbers,
    to: sums,
    state: { sum: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.sum.set(state.sum.get() + value)
      return { key, value: state.sum.get() }
    }
  })
])
let pause: () => Promise<void> = async () => {}

type Json = Record<string, unknown>

/** A store as a release sees it that reads and writes heads in its own way. */
function release(store: ClientStore, change: (head: Json) => Json): ClientStore {
  const changed = (bytes: Uint8Array): Buffer =>
    Buffer.from(JSON.stringify(change(JSON.parse(Buffer.from(bytes).toString()) as Json)))
  const log = (inner: TaskLog): TaskLog => ({
    epoch: inner.epoch,
    last: inner.last && { ...inner.last, head: changed(inner.last.head) },
    state: inner.state,
    unsent: inner.unsent,
    append: (commit: Commit) => inner.append({ ...commit, head: changed(commit.head) }),
    readBack: () => inner.readBack(),
    close: () => inner.close()
  })
  return new Proxy(store, {
    get(target, name) {
      if (name === 'acquire')
        return async (...given: Parameters<ClientStore['acquire']>) => log(await target.acquire(...given))
      const member = Reflect.get(target, name, target) as unknown
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member
    }
  })
}

/** The fields of the first release, and no others. */
const firstFields = ['v', 'positions', 'trackers', 'sequences', 'watermark', 'counts', 'cursor', 'newest', 'finished']
const older = (head: Json): Json =>
  Object.fromEntries(firstFields.flatMap(name => (name in head ? [[name, head[name]]] : [])))
/** One that is still to come. */
const newer = (head: Json): Json => ({ ...head, shards: { left: 3 }, note: 'unknown here' })
const same = (head: Json): Json => head

async function lives(releases: ((head: Json) => Json)[]): Promise<World> {
  const store = new MemoryStore()
  const world = new World({ store })
  const { broker, environment } = world
  pause = () => new Promise(resolve => void environment.timer(200, resolve))
  for (const [life, change] of releases.entries()) {
    const worker = new Worker({ name: `worker-${life}`, broker, store: release(store, change), environment })
    const stop = new AbortController()
    const running = worker.run(app, { handleSignals: false, signal: stop.signal, sessionTimeout: 1_000 })
    if (life === releases.length - 1) await environment.run(running)
    else {
      await environment.advance(1_500)
      stop.abort()
      await environment.run(running)
    }
    await worker.close()
  }
  return world
}

it.each([
  ['an older release, then this one', [older, same]],
  ['this one, then an older one, and back', [same, older, same]],
  ['a newer one with fields that are not known, then this one', [newer, same]],
  ['all of them in turn', [older, same, newer, older, newer, same]]
] as const)('%s: nothing is lost, nothing twice', async (_, releases) => {
  const world = await lives([...releases])
  const found = new Map<string, unknown[]>()
  for (const { key, value } of await world.records(sums)) found.set(key, [...(found.get(key) ?? []), value])
  for (const [key, values] of found) expect(values, key).toEqual(values.map((__, index) => index + 1))
  expect([...found.values()].reduce((sum, { length }) => sum + length, 0)).toBe(total)
})

it('a version that is not known ends the run, says whose it may be, and is left as it is', async () => {
  const store = new MemoryStore()
  const world = new World({ store })
  const { broker, environment } = world
  pause = () => new Promise(resolve => void environment.timer(200, resolve))
  const stop = new AbortController()
  const future = release(store, head => ({ ...head, v: 2 }))
  // It writes version 2, and would read nothing else.
  const first = new Worker({ name: 'future', broker, store: future, environment })
  const writing = first.run(app, { handleSignals: false, signal: stop.signal })
  await environment.advance(1_500)
  stop.abort()
  await environment.run(writing)
  const task = { id: 'app/sum/0', pipeline: 'app', stage: 'sum', ordinal: 0 }
  const before = (await store.acquire(task)).last
  expect(before!.number).toBeGreaterThan(0)
  const second = new Worker({ name: 'present', broker, store, environment })
  await expect(environment.run(second.run(app, { handleSignals: false }))).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringMatching(/written by a newer release/)
  })
  expect((await store.acquire(task)).last).toEqual(before)
})

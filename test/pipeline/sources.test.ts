import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { number, pipeline, source, text, topic, type Pipeline, type SourceContext } from '../../src/index.ts'
import { World } from './world.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 2 })
const valuesOf = (records: readonly { value: unknown }[]): unknown[] => records.map(record => record.value)
const counted = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const sorted = (values: readonly unknown[]): unknown[] =>
  [...values].sort((left, right) => Number(left) - Number(right))
type Run = (context: SourceContext) => AsyncIterable<any> | Iterable<any>
const app = (run: Run, more: { splits?: () => string[]; failure?: { retries?: number } } = {}): Pipeline =>
  pipeline('sources', [source({ name: 'src', to: numbers, run, ...more })])
const entry = (value: number): { key: string; value: number; cursor: number } => ({
  key: `k${value % 3}`,
  value,
  cursor: value + 1
})

describe('a source', () => {
  it.each<[string, Run]>([
    [
      'a generator of entries',
      function* () {
        for (const value of counted(10)) yield entry(value)
      }
    ],
    [
      'an async generator of entries',
      async function* () {
        for (const value of counted(10)) yield entry(value)
      }
    ],
    [
      'a generator of arrays',
      function* () {
        yield counted(5).map(entry)
        yield []
        yield counted(10).slice(5).map(entry)
      }
    ],
    ['an array', () => counted(10).map(entry)],
    ['a readable stream', () => ReadableStream.from(counted(10).map(entry)) as unknown as AsyncIterable<unknown>]
  ])('may be %s', async (_, run) => {
    const world = new World()
    await world.run(app(run))
    expect(sorted(valuesOf(await world.records(numbers)))).toEqual(counted(10))
    expect(await world.counts('src')).toMatchObject({ emitted: 10, late: 0 })
  })

  it('goes on behind its last committed cursor, and never starts again once it has ended', async () => {
    const world = new World()
    const resumes: unknown[] = []
    const stop = new AbortController()
    const run: Run = async function* ({ resume, signal }) {
      resumes.push(resume)
      for (let value = Number(resume ?? 0); value < 10; value++) {
        yield entry(value)
        if (value === 4) {
          await sleep(world.environment, 500)
          stop.abort()
          await sleep(world.environment, 60_000, signal).catch(() => {})
        }
      }
    }
    const first = world.worker().run(app(run), { handleSignals: false, signal: stop.signal })
    await world.environment.run(first)
    expect(sorted(valuesOf(await world.records(numbers)))).toEqual(counted(5))
    await world.run(app(run))
    await world.run(app(run))
    expect(resumes).toEqual([undefined, 5])
    expect(sorted(valuesOf(await world.records(numbers)))).toEqual(counted(10))
  })

  it('that returns because it is told to stop has not ended, also when that is in the middle of a commit', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World({ seed, latency: 20 })
      const run: Run = async function* ({ resume, signal }) {
        for (let value = Number(resume ?? 0); value < 30 && !signal.aborted; value++) {
          yield entry(value)
          await sleep(world.environment, 20, signal).catch(() => {})
        }
      }
      const stop = new AbortController()
      const options = { handleSignals: false, commitInterval: 5 }
      const running = world.worker().run(app(run), { ...options, signal: stop.signal })
      while (world.written('numbers') < 5) await world.environment.advance(1)
      await world.environment.advance(seed)
      stop.abort()
      await world.environment.run(running)
      await world.run(app(run), options)
      expect(sorted(valuesOf(await world.records(numbers))), `seed ${seed}`).toEqual(counted(30))
    }
  })

  it('has splits, each with its own cursor; another worker takes them over', async () => {
    const world = new World()
    const seen = new Map<string, unknown[]>()
    const run: Run = async function* ({ resume, split }) {
      seen.set(split, [...(seen.get(split) ?? []), resume])
      const from = split === 'high' ? 100 : 0
      for (let value = Number(resume ?? 0); value < 20; value++) {
        yield { key: split, value: from + value, cursor: value + 1 }
        await sleep(world.environment, 100)
      }
    }
    const stage = app(run, { splits: () => ['low', 'high'] })
    const first = world.worker()
    void first.run(stage, { handleSignals: false, sessionTimeout: 2_000 })
    await world.environment.advance(1_000)
    first.kill()
    await world.run(stage, { sessionTimeout: 2_000 })
    expect(sorted(valuesOf(await world.records(numbers)))).toEqual([
      ...counted(20),
      ...counted(20).map(value => value + 100)
    ])
    for (const split of ['low', 'high']) {
      expect(seen.get(split)!.length, split).toBe(2)
      expect(seen.get(split)![1], split).toBeGreaterThan(3)
    }
  })

  it.each(['store', 'broker'] as const)(
    'finds the cursors of its splits when the list of splits has changed (%s)',
    async commitIn => {
      const world = new World({ commitIn })
      const resumes: string[] = []
      const stage = (splits: string[], count: number): Pipeline =>
        app(
          function* ({ resume, split }) {
            resumes.push(`${split} from ${String(resume)}`)
            for (let value = Number(resume ?? 0); value < count; value++) yield { key: split, value, cursor: value + 1 }
          },
          { splits: () => splits }
        )
      const stop = new AbortController()
      const waiting = (splits: string[]): Pipeline =>
        app(
          async function* ({ split, signal }) {
            yield { key: split, value: 0, cursor: 1 }
            await sleep(world.environment, 60_000, signal).catch(() => {})
          },
          { splits: () => splits }
        )
      const first = world.worker().run(waiting(['b', 'c']), { handleSignals: false, signal: stop.signal })
      await world.environment.advance(1_000)
      stop.abort()
      await world.environment.run(first)
      await world.run(stage(['a', 'b', 'c', 'd', 'e'], 2))
      expect(resumes.sort()).toEqual([
        'a from undefined',
        'b from 1',
        'c from 1',
        'd from undefined',
        'e from undefined'
      ])
    }
  )

  it.each<[string, (fail: () => boolean) => Run]>([
    [
      'in an async generator',
      fail =>
        async function* ({ resume }) {
          for (let value = Number(resume ?? 0); value < 10; value++) {
            if (value % 4 === 3 && fail()) throw new Error('no answer')
            yield entry(value)
          }
        }
    ],
    [
      'in a generator',
      fail =>
        function* ({ resume }) {
          for (let value = Number(resume ?? 0); value < 10; value++) {
            if (value % 4 === 3 && fail()) throw new Error('no answer')
            yield entry(value)
          }
        }
    ],
    [
      'before there is an iterator',
      fail =>
        ({ resume }) => {
          if (fail()) throw new Error('no answer')
          return counted(10)
            .slice(Number(resume ?? 0))
            .map(entry)
        }
    ],
    [
      'as a rejected next',
      fail =>
        ({ resume }) => {
          let value = Number(resume ?? 0)
          return {
            [Symbol.asyncIterator]: () => ({
              next: () =>
                value % 4 === 3 && fail()
                  ? Promise.reject(new Error('no answer'))
                  : Promise.resolve(
                      value < 10 ? { done: false, value: entry(value++) } : { done: true, value: undefined }
                    )
            })
          } as AsyncIterable<unknown>
        }
    ]
  ])('that fails %s is asked again from its cursor', async (_, make) => {
    const world = new World()
    let failures = 0
    await world.run(app(make(() => ++failures <= 2)))
    expect(sorted(valuesOf(await world.records(numbers)))).toEqual(counted(10))
    failures = -1_000_000
    const other = new World()
    const forEver = app(
      make(() => ++failures < 0),
      { failure: { retries: 2 } }
    )
    await expect(other.run(forEver)).rejects.toMatchObject({
      code: 'handler',
      message: "source 'sources/src/main' failed: no answer"
    })
  })

  it.each<[string, unknown, string]>([
    ['text', 'oops', 'a source must yield entries'],
    ['nothing', undefined, 'a source must yield entries'],
    ['a value that does not encode', { key: 'k', value: 'five' }, 'number expects a number, got string']
  ])('that yields %s stops the run, and says why', async (_, item, message) => {
    const world = new World()
    await expect(
      world.run(
        app(function* () {
          yield item
        })
      )
    ).rejects.toMatchObject({ code: 'bad-record', message: expect.stringContaining(message) })
  })

  it('that waits holds up neither its commits nor a stop; a generator that hangs is left behind', async () => {
    const world = new World()
    const stop = new AbortController()
    const running = world.worker().run(
      app(async function* () {
        yield entry(1)
        await new Promise(() => {})
      }),
      { handleSignals: false, signal: stop.signal }
    )
    await world.environment.advance(1_000)
    expect(valuesOf(await world.records(numbers))).toEqual([1])
    stop.abort()
    await world.environment.run(running)
  })

  it('is closed when it is stopped', async () => {
    const world = new World()
    const stop = new AbortController()
    let closed = false
    const run: Run = async function* ({ signal }) {
      try {
        for (let value = 0; ; value++) {
          yield entry(value)
          await sleep(world.environment, 50, signal)
        }
      } finally {
        closed = true
      }
    }
    const running = world.worker().run(app(run), { handleSignals: false, signal: stop.signal })
    await world.environment.advance(1_000)
    stop.abort()
    await world.environment.run(running)
    expect(closed).toBe(true)
    const written = valuesOf(await world.records(numbers)).length
    expect(written).toBeGreaterThan(15)
    await world.environment.advance(5_000)
    expect(valuesOf(await world.records(numbers)).length).toBe(written)
  })

  it('shares its splits between workers', async () => {
    const world = new World()
    const by = new Map<string, Set<string>>()
    const stageOf = (name: string): Pipeline =>
      app(
        async function* ({ resume, split }) {
          by.set(name, (by.get(name) ?? new Set()).add(split))
          for (let value = Number(resume ?? 0); value < 100; value++) {
            yield { key: split, value, cursor: value + 1 }
            await sleep(world.environment, 100)
          }
        },
        { splits: () => ['a', 'b', 'c', 'd'] }
      )
    await world.environment.run(
      Promise.all(['one', 'two'].map(name => world.worker().run(stageOf(name), { handleSignals: false })))
    )
    expect(by.get('one')!.size).toBeGreaterThanOrEqual(2)
    expect(by.get('two')!.size).toBeGreaterThanOrEqual(2)
    expect((await world.records(numbers)).length).toBe(400)
  })
})

/**
 * A new version takes the place of the old one: it reads all of it again without a word, and writes from where the old one stood on.
 * Counted: 0 lost, 0 doubled.
 */
import { describe, expect, it } from 'vitest'
import {
  aggregate,
  json,
  keyed,
  number,
  pipeline,
  PoisonError,
  processor,
  shadow,
  shadowTopic,
  sink,
  source,
  text,
  topic,
  tumbling,
  type Pipeline,
  type ReplayOptions
} from '../../src/index.ts'
import { dice, seeds, World } from '../pipeline/world.ts'

const words = topic('words', { key: text, value: text, partitions: 2 })
const counts = topic('counts', { key: text, value: json<Counted>(), partitions: 2 })
const begin = Date.UTC(2026, 0, 1)

interface Counted {
  readonly by: string
  readonly word: string
  readonly count: number
}

interface Version {
  readonly by: string
  /** How much a word counts. */
  readonly weight: number
  readonly concurrency?: number
  readonly fails?: (word: string) => Error | undefined
}

const counting = ({ by, weight, concurrency = 1, fails }: Version): Pipeline =>
  pipeline('counting', [
    processor({
      name: 'count',
      from: words,
      to: counts,
      concurrency,
      failure: { retries: 1_000, backoff: { first: 60_000, most: 60_000 } },
      state: { count: keyed(number, 0) },
      async process({ key, value }, { state }) {
        const count = state.count.get() + weight
        state.count.set(count)
        await Promise.resolve()
        const error = fails?.(value)
        if (error) throw error
        return { key, value: { by, word: value, count } }
      }
    })
  ])

const again = { from: 'earliest', state: 'reset', outputs: 'new' } as const satisfies ReplayOptions

class Scene {
  readonly world: World
  #written = 0

  constructor(commitIn: 'store' | 'broker' = 'store', seed = 1) {
    this.world = new World({ commitIn, seed })
  }

  /** So many more words, of five keys. @param late they are of the beginning */
  async write(count: number, late?: 'late'): Promise<string[]> {
    const client = await this.world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(counts)
    const producer = await client.producer(words)
    const values = Array.from({ length: count }, () => `${'abcde'[this.#written % 5]!}${this.#written++}`)
    await this.world.environment.run(
      producer.sendAll(
        values.map(value => ({
          key: value[0]!,
          value,
          eventTime: late ? begin : begin + 1_000 * Number(value.slice(1))
        }))
      )
    )
    await this.world.environment.run(client.close())
    return values
  }

  async work(app: Pipeline, milliseconds = 3_000): Promise<void> {
    const stop = new AbortController()
    const running = this.world.worker().run(app, { handleSignals: false, signal: stop.signal, sessionTimeout: 1_000 })
    await this.world.environment.advance(milliseconds)
    stop.abort()
    await this.world.environment.run(running)
  }

  /** Works for a while, and dies. */
  async die(app: Pipeline, milliseconds: number): Promise<void> {
    const worker = this.world.worker()
    const run = { handleSignals: false, sessionTimeout: 1_000, commitInterval: 5, commitRecords: 3 }
    void worker.run(app, run).catch(() => {})
    await this.world.environment.advance(milliseconds)
    worker.kill()
    await this.world.environment.turn()
  }

  async replay(app: Pipeline, options: ReplayOptions = again): Promise<void> {
    const client = await this.world.connect('replay')
    try {
      await this.world.environment.run(client.admin.replay(app, { sessionTimeout: 1_000, ...options }))
    } finally {
      await this.world.environment.run(client.close())
    }
  }

  async counted(): Promise<Counted[]> {
    const records = await this.world.records(counts)
    return records.map(({ value }) => value as Counted).toSorted((left, right) => numberOf(left) - numberOf(right))
  }
}

const numberOf = ({ word }: Counted): number => Number(word.slice(1))

/** What each word is to have: what is before the change by the old version, what is behind it by the new one, over all words. */
const expected = (words: readonly string[], before: number): Counted[] =>
  words.map((word, index) => {
    const nth = Math.floor(index / 5) + 1
    return index < before ? { by: 'old', word, count: nth } : { by: 'new', word, count: nth * 100 }
  })

describe.each(['store', 'broker'] as const)('with commits in the %s', commitIn => {
  it.each([1, 8])(
    'a version that was compared takes over, nothing lost and nothing doubled (concurrency %i)',
    async concurrency => {
      const scene = new Scene(commitIn)
      const [old, young] = [
        counting({ by: 'old', weight: 1, concurrency }),
        counting({ by: 'new', weight: 100, concurrency })
      ]
      const all = await scene.write(43)
      await scene.work(old)
      // Beside the old one, on topics of its own, and looked at.
      const trial = shadow(young, { suffix: 'v2' })
      await scene.replay(trial, { from: 'earliest', state: 'reset' })
      await scene.work(trial)
      const tried = await scene.world.records(shadowTopic(counts, 'v2'))
      expect(
        tried.map(({ value }) => value as Counted).toSorted((left, right) => numberOf(left) - numberOf(right))
      ).toEqual(expected(all, 0))
      // The old one has worked on meanwhile, and has not come to the end of what is there.
      all.push(...(await scene.write(20)))
      await scene.work(old)
      const before = all.length
      all.push(...(await scene.write(17)))
      await scene.replay(young)
      all.push(...(await scene.write(20)))
      await scene.work(young)
      expect(await scene.counted()).toEqual(expected(all, before))
      // The promise of the topic has not gone back.
      expect((await scene.world.records(counts)).some(({ late }) => late)).toBe(false)
      all.push(...(await scene.write(10)))
      await scene.work(young)
      expect(await scene.counted()).toEqual(expected(all, before))
    }
  )

  it('it goes on in the same run, once it is where the old one stood', async () => {
    const scene = new Scene(commitIn)
    const all = await scene.write(43)
    await scene.work(counting({ by: 'old', weight: 1 }))
    const young = counting({ by: 'new', weight: 100 })
    await scene.replay(young)
    const stop = new AbortController()
    const running = scene.world.worker().run(young, { handleSignals: false, signal: stop.signal })
    for (let turns = 0; turns < 3; turns++) {
      await scene.world.environment.advance(2_000)
      expect(await scene.counted()).toEqual(expected(all, 43))
      all.push(...(await scene.write(10)))
    }
    await scene.world.environment.advance(2_000)
    stop.abort()
    await scene.world.environment.run(running)
    expect(await scene.counted()).toEqual(expected(all, 43))
  })

  it('whoever dies while it reads again, and however often it is told', async () => {
    const scene = new Scene(commitIn)
    const [old, young] = [counting({ by: 'old', weight: 1 }), counting({ by: 'new', weight: 100 })]
    const all = await scene.write(60)
    await scene.work(old)
    const before = all.length
    await scene.replay(young)
    await scene.die(young, 40)
    all.push(...(await scene.write(15)))
    await scene.replay(young)
    await scene.replay(young)
    await scene.die(young, 40)
    await scene.work(young)
    expect(await scene.counted()).toEqual(expected(all, before))
  })
})

it.each(seeds(6))('at any moment, with any deaths (seed %i)', async seed => {
  const random = dice(seed * 13)
  const scene = new Scene(seed % 2 === 0 ? 'store' : 'broker', seed)
  const [old, young] = [
    counting({ by: 'old', weight: 1 }),
    counting({ by: 'new', weight: 100, concurrency: 1 + (seed % 3) })
  ]
  const all = await scene.write(20 + Math.floor(random() * 60))
  for (let turns = 1 + Math.floor(random() * 3); turns > 0; turns--) {
    await scene.die(old, 20 + random() * 100)
    all.push(...(await scene.write(Math.floor(random() * 20))))
  }
  await scene.world.environment.advance(2_000)
  const before = new Set((await scene.counted()).map(({ word }) => word))
  for (let turns = 1 + Math.floor(random() * 3); turns > 0; turns--) {
    await scene.replay(young)
    await scene.die(young, 20 + random() * 60)
    all.push(...(await scene.write(Math.floor(random() * 20))))
    await scene.world.environment.advance(2_000)
  }
  await scene.work(young)
  const wanted = all.map((word, index) => {
    const nth = Math.floor(index / 5) + 1
    return before.has(word) ? { by: 'old', word, count: nth } : { by: 'new', word, count: nth * 100 }
  })
  expect(await scene.counted()).toEqual(wanted)
})

it('a later replay has the last word: one that writes all writes all, one that leaves out leaves the rest as it was told', async () => {
  const scene = new Scene()
  const all = await scene.write(20)
  const young = counting({ by: 'new', weight: 100 })
  await scene.work(counting({ by: 'old', weight: 1 }))
  await scene.replay(young)
  await scene.replay(young, { skip: [{ since: begin, until: begin + 1_000 }] })
  await scene.work(young)
  expect(await scene.counted()).toEqual(expected(all, 20))
  expect(await scene.world.parked(words)).toHaveLength(1)
  await scene.replay(young)
  await scene.replay(young, { from: 'earliest', state: 'reset' })
  await scene.work(young)
  expect((await scene.counted()).filter(({ by }) => by === 'new').map(({ word }) => word)).toEqual(all)
})

describe('what the old version has not done', () => {
  it.each([1, 2])(
    'is written by the new one: records that wait for another attempt, and those behind them (told %i times)',
    async times => {
      const scene = new Scene()
      const all = await scene.write(30)
      const old = counting({
        by: 'old',
        weight: 1,
        fails: word => (word === 'b6' ? new Error('not now') : undefined)
      })
      await scene.work(old)
      const undone = all.filter((word, index) => word[0] === 'b' && index >= 6)
      expect((await scene.counted()).map(({ word }) => word)).toEqual(all.filter(word => !undone.includes(word)))
      for (let told = 0; told < times; told++) await scene.replay(counting({ by: 'new', weight: 100 }))
      await scene.work(counting({ by: 'new', weight: 100 }))
      expect(await scene.counted()).toEqual(
        all.map((word, index) => {
          const nth = Math.floor(index / 5) + 1
          return undone.includes(word) ? { by: 'new', word, count: nth * 100 } : { by: 'old', word, count: nth }
        })
      )
    }
  )

  it.each([1, 2])(
    'is not what the new one has to try again: that is done without a word, however late (told %i times)',
    async times => {
      const scene = new Scene()
      const all = await scene.write(30)
      await scene.work(counting({ by: 'old', weight: 1 }))
      let first = true
      const young = counting({
        by: 'new',
        weight: 100,
        fails(word) {
          if (word !== 'b6' || !first) return undefined
          first = false
          return new Error('not now')
        }
      })
      await scene.replay(young)
      all.push(...(await scene.write(10)))
      await scene.work(young, 10_000)
      expect((await scene.counted()).map(({ word }) => word)).toEqual(
        all.filter((word, index) => index < 30 || word[0] !== 'b')
      )
      if (times > 1) await scene.replay(young)
      await scene.work(young, 120_000)
      expect(await scene.counted()).toEqual(expected(all, 30))
    }
  )

  it('nor is a late one, which holds nothing', async () => {
    const scene = new Scene()
    const all = await scene.write(30)
    await scene.work(counting({ by: 'old', weight: 1 }))
    all.push(...(await scene.write(2, 'late')))
    await scene.work(counting({ by: 'old', weight: 1 }))
    let first = true
    const young = counting({
      by: 'new',
      weight: 100,
      fails(word) {
        if (word !== 'b31' || !first) return undefined
        first = false
        return new Error('not now')
      }
    })
    await scene.replay(young)
    await scene.work(young, 10_000)
    await scene.work(young, 120_000)
    expect(first).toBe(false)
    expect(await scene.counted()).toEqual(expected(all, 32))
  })

  it('stays parked, and a record that only the new one cannot do is parked, too', async () => {
    const scene = new Scene()
    await scene.write(10)
    const failing = (bad: string) => (word: string) => (word === bad ? new PoisonError(bad) : undefined)
    await scene.work(counting({ by: 'old', weight: 1, fails: failing('a0') }))
    const young = counting({ by: 'new', weight: 100, fails: failing('b1') })
    await scene.replay(young)
    await scene.work(young)
    expect((await scene.world.parked(words)).map(({ error }) => error).toSorted()).toEqual(['a0', 'b1'])
    expect((await scene.counted()).map(({ word }) => word)).toEqual('b1 c2 d3 e4 a5 b6 c7 d8 e9'.split(' '))
  })
})

describe('what is due in event time', () => {
  const sums = topic('counts', { key: text, value: json<readonly [string, number, number]>(), partitions: 2 })
  const summing = (by: string, weight: number): Pipeline =>
    pipeline('counting', [
      aggregate({
        name: 'count',
        from: words,
        to: sums,
        window: tumbling(10_000),
        accumulator: number,
        init: () => 0,
        add: sum => sum + weight,
        result: ({ key, value, window }) => ({ key, value: [by, (window.start - begin) / 1_000, value] })
      })
    ])

  it.each([
    ['at once', true],
    ['later', false]
  ])(
    'is written once: by the old version what was due to it, by the new one all behind it, which comes %s',
    async (_, atOnce) => {
      const scene = new Scene()
      await scene.write(43)
      await scene.work(summing('old', 1))
      const first = (await scene.world.records(sums)).length
      expect(first).toBeGreaterThan(10)
      await scene.replay(summing('new', 100))
      if (atOnce) await scene.write(57)
      await scene.work(summing('new', 100))
      // What was open is open.
      if (!atOnce) expect((await scene.world.records(sums)).length).toBe(first)
      if (!atOnce) await scene.write(57)
      await scene.work(summing('new', 100))
      const results = (await scene.world.records(sums)).map(({ key, value }) => {
        const [by, start, sum] = value as readonly [string, number, number]
        return { by, window: `${key as string} ${start}`, sum }
      })
      expect(new Set(results.map(({ window }) => window)).size).toBe(results.length)
      // Two of a key in each window, as far as time has come.
      for (const { by, sum } of results) expect(sum).toBe(by === 'old' ? 2 : 200)
      expect(results.filter(({ by }) => by === 'old').length).toBe(first)
      expect(results.length).toBeGreaterThan(first + 15)
    }
  )

  it.each(seeds(10))(
    'is written once, whoever dies when, and when time comes by a claim alone (seed %i)',
    async seed => {
      const random = dice(seed * 17)
      const scene = new Scene(seed % 2 === 0 ? 'store' : 'broker', seed)
      const { world } = scene
      await scene.write(0)
      // All windows are due at one moment, which no record tells.
      const feed = source({
        name: 'feed',
        to: words,
        async *run({ signal }) {
          for (let index = 0; index < 110; index++) {
            const word = `${'abcde'[index % 5]!}${index}`
            yield { key: word[0]!, value: word, eventTime: begin + 1_000 * index }
          }
          yield { watermark: begin + 1_000_000 }
          await new Promise(resolve => signal.addEventListener('abort', resolve))
        }
      })
      const stop = new AbortController()
      const feeding = world.worker().run(pipeline('feeding', [feed]), { handleSignals: false, signal: stop.signal })
      await world.environment.advance(3_000)
      for (let turns = 1 + Math.floor(random() * 3); turns > 0; turns--) {
        await scene.die(summing('old', 1), 5 + random() * 60)
        await world.environment.advance(2_000)
      }
      for (let turns = 1 + Math.floor(random() * 4); turns > 0; turns--) {
        await scene.replay(summing('new', 100))
        await scene.die(summing('new', 100), 5 + random() * 40)
        await world.environment.advance(2_000)
      }
      await scene.work(summing('new', 100))
      stop.abort()
      await world.environment.run(feeding)
      const results = (await world.records(sums)).map(({ key, value }) => {
        const [by, start, sum] = value as readonly [string, number, number]
        return { by, window: `${key as string} ${start}`, sum }
      })
      expect(results.map(({ window }) => window).toSorted()).toEqual(
        Array.from({ length: 5 * 11 }, (_, index) => `${'abcde'[index % 5]!} ${Math.floor(index / 5) * 10}`).toSorted()
      )
      for (const { by, sum } of results) expect(sum).toBe(by === 'old' ? 2 : 200)
    }
  )
})

describe('is refused', () => {
  it.each<[ReplayOptions, string]>([
    [{ ...again, state: 'keep' }, "`outputs: 'new'` builds the state anew"],
    [{ outputs: 'new', skip: [{ since: 0, until: 1 }] }, "`outputs: 'new'` builds the state anew"],
    [{ ...again, outputs: 'none' as never }, "outputs must be 'all' or 'new'"]
  ])('%j', async (options, message) => {
    const scene = new Scene()
    await scene.write(1)
    await expect(scene.replay(counting({ by: 'old', weight: 1 }), options)).rejects.toThrow(message)
  })

  it('of a sink, which writes what it reads', async () => {
    const scene = new Scene()
    await scene.write(1)
    const app = pipeline('loading', [sink({ name: 'load', from: words, write: () => {} })])
    await expect(scene.replay(app)).rejects.toThrow("stage 'load' is a sink")
  })
})

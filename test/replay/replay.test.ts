/** Replay on the broker in memory and a simulated clock: rewind, reset, skip, refusal, each in one commit. */
import { describe, expect, it } from 'vitest'
import {
  keyed,
  number,
  pipeline,
  processor,
  shadow,
  shadowTopic,
  text,
  topic,
  type AnyTopic,
  type CompareOptions,
  type Comparison,
  type Pipeline,
  type ReplayOptions,
  type Rewound
} from '../../src/index.ts'
import { memory } from '../../src/adapters/memory/index.ts'
import { encodeStamp } from '../../src/core/stamp.ts'
import { World } from '../pipeline/world.ts'

const words = topic('words', { key: text, value: text, partitions: 2 })
const counts = topic('counts', { key: text, value: text, partitions: 2 })
const begin = Date.UTC(2026, 0, 1)

/** Says of each word how many of its key have come, and at which watermark. */
const counting = (name = 'counting', more: object = {}, seen?: (value: string) => void): Pipeline =>
  pipeline(name, [
    processor({
      name: 'count',
      from: words,
      to: counts,
      state: { count: keyed(number, 0) },
      ...more,
      process({ key, value, late }, { state }) {
        seen?.(value)
        state.count.set(state.count.get() + 1)
        return { key, value: `${value}=${state.count.get()}${late ? ' late' : ''}` }
      }
    })
  ])

class Scene {
  readonly world: World
  #stop: (() => Promise<void>) | undefined

  constructor(commitIn: 'store' | 'broker' = 'store') {
    this.world = new World({ commitIn })
  }

  /** `a3`: third second of the run, key a. */
  async write(...values: string[]): Promise<void> {
    const client = await this.world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(counts)
    const producer = await client.producer(words)
    for (const value of values)
      await this.world.environment.run(
        producer.send({ key: value[0]!, value, eventTime: begin + 1_000 * Number(value.slice(1)) })
      )
    await this.world.environment.run(client.close())
  }

  start(app: Pipeline = counting()): void {
    const stop = new AbortController()
    const running = this.world.worker().run(app, { handleSignals: false, signal: stop.signal })
    this.#stop = async () => {
      stop.abort()
      await this.world.environment.run(running)
    }
  }

  /** Runs it until there is nothing more to do. */
  async work(app?: Pipeline): Promise<void> {
    this.start(app)
    await this.world.environment.advance(3_000)
    await this.#stop!()
  }

  async replay(options: ReplayOptions, app = counting()): Promise<readonly Rewound[]> {
    const client = await this.world.connect('replay')
    try {
      return await this.world.environment.run(client.admin.replay(app, options))
    } finally {
      await this.world.environment.run(client.close())
    }
  }

  async compare(options?: CompareOptions): Promise<Comparison> {
    const client = await this.world.connect('compare')
    try {
      return await this.world.environment.run(client.admin.compare(counts, shadowTopic(counts, 'v2'), options))
    } finally {
      await this.world.environment.run(client.close())
    }
  }

  async counted(of: AnyTopic = counts): Promise<string[]> {
    return (await this.world.records(of)).map(({ value }) => value as string).toSorted()
  }

  async position(value: string): Promise<{ topic: string; partition: number; position: string }> {
    const found = (await this.world.records(words)).find(record => record.value === value)!
    return { topic: 'words', partition: found.partition, position: found.position }
  }
}

describe.each(['store', 'broker'] as const)('with commits in the %s', commitIn => {
  it('rewinds to the beginning, with its state reset: what it writes are new records', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'a2', 'b3')
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a2=2', 'b3=1'])
    const done = await scene.replay({ from: 'earliest', state: 'reset' })
    expect(done.map(({ task, start }) => `${task} ${String(start)}`)).toEqual([
      'counting/count/0 earliest',
      'counting/count/1 earliest'
    ])
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a1=1', 'a2=2', 'a2=2', 'b3=1', 'b3=1'])
    expect(await scene.world.counts('count')).toMatchObject({ processed: 6, emitted: 6, duplicates: 0, lost: 0 })
  })

  it('keeps the state when told so: it counts once more', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'a2')
    await scene.work()
    await scene.replay({ from: 'earliest', state: 'keep' })
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a1=3', 'a2=2', 'a2=4'])
  })

  it('rewinds to a time, to a position, and to the end', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'a2', 'a3', 'a4')
    await scene.work()
    await scene.replay({ from: { time: begin + 3_000 }, state: 'reset' })
    await scene.work()
    expect((await scene.counted()).slice(-3)).toEqual(['a3=3', 'a4=2', 'a4=4'])
    await scene.replay({ from: { after: [await scene.position('a1')] }, state: 'reset' })
    await scene.work()
    expect(await scene.counted()).toEqual('a1=1 a2=1 a2=2 a3=1 a3=2 a3=3 a4=2 a4=3 a4=4'.split(' '))
    await scene.write('a5', 'a6')
    await scene.replay({ from: 'latest', state: 'keep' })
    await scene.write('a7')
    await scene.work()
    expect((await scene.counted()).slice(-2)).toEqual(['a4=4', 'a7=4'])
  })

  it('rewinds to a watermark: all from there on comes, and what is earlier is late', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'a2', 'a5', 'a3', 'a6')
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a2=2', 'a3=4 late', 'a5=3', 'a6=5'])
    await scene.replay({ from: { watermark: begin + 4_000 }, state: 'reset' })
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a2=2', 'a3=2 late', 'a3=4 late', 'a5=1', 'a5=3', 'a6=3', 'a6=5'])
    expect(await scene.world.counts('count')).toMatchObject({ processed: 8, duplicates: 0, lost: 0 })
  })

  it('leaves out a range, by position or by event time: it is parked, and can come back', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'a2', 'a3', 'a4', 'a5', 'a6')
    const [first, last] = [await scene.position('a2'), await scene.position('a3')]
    await scene.replay({
      skip: [
        { topic: 'words', partition: first.partition, first: first.position, last: last.position },
        { since: begin + 5_000, until: begin + 6_000 }
      ]
    })
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a4=2', 'a6=3'])
    const parked = await scene.world.parked(words)
    expect(parked.map(({ code, record }) => `${code} ${record!.value}`)).toEqual([
      'skipped a2',
      'skipped a3',
      'skipped a5'
    ])
    expect(await scene.world.counts('count')).toMatchObject({ processed: 3, parked: 3, lost: 0, duplicates: 0 })
    const client = await scene.world.connect('redrive')
    await scene.world.environment.run(
      client.admin.redrive(words, { filter: ({ code, eventTime }) => code === 'skipped' && eventTime < begin + 5_000 })
    )
    await scene.work()
    expect((await scene.counted()).filter(value => /a[23]/.test(value))).toEqual(['a2=4 late', 'a3=5 late'])
  })

  it('leaves out a range for handlers that run beside each other, too', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'b2', 'c3', 'd4')
    await scene.replay({ skip: [{ since: begin + 2_000, until: begin + 4_000 }] })
    const handled: string[] = []
    await scene.work(counting('counting', { concurrency: 8 }, value => handled.push(value)))
    expect(await scene.counted()).toEqual(['a1=1', 'd4=1'])
    expect(handled.toSorted()).toEqual(['a1', 'd4'])
  })

  it('says in a dry run what it would do, and does nothing', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1', 'b2')
    await scene.work()
    const would = await scene.replay({ from: 'earliest', state: 'reset', dryRun: true })
    expect(would.reduce((sum, { rows }) => sum + rows, 0)).toBe(2)
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'b2=1'])
  })

  it('is refused while the pipeline runs, which does not notice', async () => {
    const scene = new Scene(commitIn)
    await scene.write('a1')
    scene.start()
    await scene.world.environment.advance(3_000)
    await expect(scene.replay({ from: 'earliest', state: 'reset' })).rejects.toMatchObject({
      code: 'not-owner',
      message: expect.stringMatching(
        /stage 'count' of pipeline 'counting' is running \(task 'counting\/count\/\d' reports/
      )
    })
    await scene.write('a2')
    await scene.world.environment.advance(3_000)
    expect(await scene.counted()).toEqual(['a1=1', 'a2=2'])
  })
})

describe('a stage that runs without anybody hearing it', () => {
  it('is found by its group', async () => {
    const scene = new Scene()
    await scene.write('a1')
    const running = scene.world.worker().run(counting(), { handleSignals: false, vitalsInterval: 3_600_000 })
    running.catch(() => {})
    await scene.world.environment.advance(3_000)
    await expect(scene.replay({ from: 'earliest', state: 'reset' })).rejects.toMatchObject({
      code: 'not-owner',
      message: expect.stringMatching(/others hold \d of its 2 partitions/)
    })
  })
})

describe('an input that has nothing yet', () => {
  it('still begins where it was told after a restart', async () => {
    const scene = new Scene()
    const others = topic('others', { key: text, value: text, partitions: 2 })
    const app = pipeline('both', [
      processor({ name: 'copy', from: [words, others], to: counts, process: ({ key, value }) => ({ key, value }) })
    ])
    await scene.write('a5')
    const client = await scene.world.connect('writer')
    await client.admin.ensure(others)
    const producer = await client.producer(others)
    const old = { key: 'a', value: 'old', eventTime: begin }
    await scene.world.environment.run(producer.send(old))
    await scene.world.environment.run(client.close())
    await scene.replay({ from: { time: begin + 5_000 }, state: 'reset' }, app)
    // It commits what it has read of the one topic, and nothing of the other.
    await scene.work(app)
    await scene.work(app)
    expect(await scene.counted()).toEqual(['a5'])
  })
})

describe('records that wait for another attempt', () => {
  it('come once when they are read again, and stay when they are not', async () => {
    const scene = new Scene()
    await scene.write('a1', 'b2', 'a3', 'b4')
    let fails = true
    const app = pipeline('counting', [
      processor({
        name: 'count',
        from: words,
        to: counts,
        failure: { retries: Infinity, backoff: { first: 60_000, most: 60_000 } },
        process({ key, value }) {
          if (fails && (value === 'a1' || value === 'a3' || value === 'b4')) throw new Error('not now')
          return { key, value }
        }
      })
    ])
    await scene.work(app)
    expect(await scene.counted()).toEqual(['b2'])
    fails = false
    await scene.replay({ from: { time: begin + 3_000 }, state: 'keep' }, app)
    scene.start(app)
    await scene.world.environment.advance(120_000)
    expect(await scene.counted()).toEqual(['a1', 'a3', 'b2', 'b4'])
  })
})

describe('a shadow', () => {
  it('runs beside the pipeline, on topics of its own, from where it is told', async () => {
    const scene = new Scene()
    await scene.write('a1', 'b2', 'a3')
    await scene.work()
    const trial = shadow(counting(), { suffix: 'v2' })
    await scene.replay({ from: { time: begin + 2_000 }, state: 'reset' }, trial)
    await scene.work(trial)
    expect(await scene.counted(shadowTopic(counts, 'v2'))).toEqual(['a3=1', 'b2=1'])
    expect(await scene.counted()).toEqual(['a1=1', 'a3=2', 'b2=1'])
    await scene.write('a4')
    await scene.work()
    expect(await scene.counted()).toEqual(['a1=1', 'a3=2', 'a4=3', 'b2=1'])
  })

  it('has several stages and outputs, which call their topics by the names that they know', async () => {
    const scene = new Scene()
    const others = topic('others', { key: text, value: text, partitions: 2 })
    const ends = topic('ends', { key: text, value: text, partitions: 2 })
    const app = pipeline('two', [
      processor({
        name: 'part',
        from: words,
        to: [counts, others],
        process: ({ key, value, topic: name }) => [
          { topic: 'counts', key, value: `${name} ${value}` },
          { topic: 'others', key, value }
        ]
      }),
      processor({
        name: 'join',
        from: [counts, others],
        to: ends,
        process: ({ key, value, topic: name }) => ({ key, value: `${name}: ${value}` })
      })
    ])
    await scene.write('a1')
    await scene.work(shadow(app, { suffix: 'v2' }))
    expect(await scene.counted(shadowTopic(ends, 'v2'))).toEqual(['counts: words a1', 'others: a1'])
    expect([scene.world.written('counts'), scene.world.written('others'), scene.world.written('ends')]).toEqual([
      0, 0, 0
    ])
  })

  it('is compared by key: what is the same, missing, extra and different', async () => {
    const scene = new Scene()
    await scene.write('a1', 'b2', 'a3', 'c4', 'd5')
    await scene.work()
    const trial = shadow(counting(), { suffix: 'v2' })
    await scene.work(trial)
    expect(await scene.compare()).toEqual({ left: 5, right: 5, same: 5, missing: 0, extra: 0, different: 0 })

    const client = await scene.world.connect('writer')
    const { environment } = scene.world
    const left = await environment.run(client.producer(counts))
    const right = await environment.run(client.producer(shadowTopic(counts, 'v2')))
    const send = (producer: typeof left, ...values: string[]): Promise<unknown> =>
      environment.run(producer.sendAll(values.map(value => ({ key: value[0]!, value }))))
    await send(left, 'a-one', 'a-two', 'a-three', 'b-here', 'e-only')
    await send(right, 'a-one', 'a-three', 'b-there', 'f-only', 'f-again')
    const seen: string[] = []
    const onDifference: CompareOptions['onDifference'] = ({ kind, key, left, right }) =>
      void seen.push(`${kind} ${String(key)}: ${String(left?.value)} | ${String(right?.value)}`)
    expect(await scene.compare({ onDifference })).toEqual({
      left: 10,
      right: 10,
      same: 7,
      missing: 2,
      extra: 2,
      different: 1
    })
    expect(seen.toSorted()).toEqual([
      'different b: b-here | b-there',
      'extra f: undefined | f-again',
      'extra f: undefined | f-only',
      'missing a: a-two | undefined',
      'missing e: e-only | undefined'
    ])
    expect(await scene.compare({ records: 'last' })).toMatchObject({ same: 3, missing: 1, extra: 1, different: 1 })
    const isSame = (one: string, other: string): boolean => one.slice(0, 2) === other.slice(0, 2)
    expect(await scene.compare({ isSame })).toMatchObject({ different: 0 })
    await expect(scene.compare({ maxBytes: 300 })).rejects.toMatchObject({ code: 'too-large' })
  })
})

describe('a comparison', () => {
  it('counts once what a relay has sent twice', async () => {
    const scene = new Scene()
    await scene.write('a1')
    await scene.work()
    await scene.work(shadow(counting(), { suffix: 'v2' }))
    const relay = memory({ broker: scene.world.broker, client: 'relay' })
    await relay.open(scene.world.environment)
    const producer = await relay.producer()
    const stamp = encodeStamp('0123456789abcdef', 1, begin, undefined, false)
    const text = Buffer.from('x9')
    const record = { topic: 'counts', partition: 0, key: text, value: text, headers: {}, stamp, timestamp: begin }
    for (let times = 0; times < 2; times++) await scene.world.environment.run(producer.send([record]))
    await relay.close()
    expect(scene.world.written('counts')).toBe(3)
    expect(await scene.compare()).toEqual({ left: 2, right: 1, same: 1, missing: 1, extra: 0, different: 0 })
  })
})

describe('what cannot be meant', () => {
  it.each<[ReplayOptions, string]>([
    [{}, 'give `from`, `skip`, or both'],
    [{ from: 'earliest' }, 'say with `state` what becomes of keyed state and timers'],
    [{ from: 'earliest', state: 'reset', stages: ['sum'] }, "there is no stage 'sum'; known are count"],
    [{ from: { after: [{ topic: 'other', partition: 0, position: '1' }] }, state: 'keep' }, "reads topic 'other'"],
    [{ skip: [{ since: 5, until: 5 }] }, 'ends before it begins']
  ])('%j is refused', async (options, message) => {
    const scene = new Scene()
    await scene.write('a1')
    await expect(scene.replay(options)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(message)
    })
  })

  it('a stage whose positions are in its group alone', async () => {
    const scene = new Scene()
    await scene.write('a1')
    const app = pipeline('plain', [
      processor({ name: 'copy', from: words, to: counts, process: ({ key, value }) => ({ key, value }) })
    ])
    const stop = new AbortController()
    const running = scene.world
      .worker()
      .run(app, { handleSignals: false, guarantee: 'at-least-once', signal: stop.signal })
    await scene.world.environment.advance(3_000)
    stop.abort()
    await scene.world.environment.run(running)
    await expect(scene.replay({ from: 'earliest', state: 'reset' }, app)).rejects.toMatchObject({ code: 'unsupported' })
    await expect(
      scene.replay({ from: 'earliest', state: 'reset', guarantee: 'at-least-once' }, app)
    ).rejects.toMatchObject({ code: 'unsupported' })
  })
})

import { describe, expect, it } from 'vitest'
import {
  bytes,
  json,
  keyed,
  number,
  optional,
  pipeline,
  processor,
  sink,
  text,
  topic,
  type Pipeline,
  type ProcessorOptions,
  type StreamRecord
} from '../../src/index.ts'
import { crash, drive, type Driven, type DriveOptions } from '../../src/testing/index.ts'
import { World } from './world.ts'

const words = topic('words', { key: text, value: text })
const echoes = topic('echoes', { key: text, value: text })
const entries = (...values: string[]): { key: string; value: string }[] => values.map(value => ({ key: 'k', value }))
const valuesOf = (records: readonly { value: unknown }[] | undefined): unknown[] =>
  (records ?? []).map(record => record.value)
const run = (
  name: string,
  stages: Pipeline['stages'],
  inputs: DriveOptions['inputs'],
  options: DriveOptions = {}
): Promise<Driven> => drive(pipeline(name, stages), { inputs: inputs!, ...options })

describe('what a handler may return', () => {
  const kinds: [string, ProcessorOptions<typeof words, typeof echoes, {}>['process']][] = [
    ['an entry', ({ key, value }) => ({ key, value: `${value}!` })],
    ['a promise', async ({ key, value }) => ({ key, value: `${value}!` })],
    ['an array', ({ key, value }) => [{ key, value: `${value}!` }]],
    ['a promise of an array', async ({ key, value }) => [{ key, value: `${value}!` }]],
    [
      'a generator',
      function* ({ key, value }) {
        yield { key, value: `${value}!` }
      }
    ],
    [
      'an async generator',
      async function* ({ key, value }) {
        await Promise.resolve()
        yield { key, value: `${value}!` }
      }
    ],
    ['a set', ({ key, value }) => new Set([{ key, value: `${value}!` }])],
    [
      'a foreign thenable',
      ({ key, value }) =>
        ({
          then: (resolve: (entry: { key: string; value: string }) => void) => resolve({ key, value: `${value}!` })
        }) as never
    ]
  ]
  it.each(kinds)('%s', async (_, process) => {
    const { outputs } = await run('returns', [processor({ name: 'echo', from: words, to: echoes, process })], {
      words: entries('a', 'b')
    })
    expect(valuesOf(outputs['echoes'])).toEqual(['a!', 'b!'])
  })

  it.each<[string, () => any]>([
    ['nothing', () => {}],
    ['null', () => null],
    ['a promise of nothing', async () => {}],
    ['an empty array', () => []]
  ])('%s', async (_, process) => {
    const { outputs, counts } = await run('returns', [processor({ name: 'echo', from: words, to: echoes, process })], {
      words: entries('a')
    })
    expect(outputs['echoes']).toEqual([])
    expect(counts['echo']).toMatchObject({ processed: 1, emitted: 0 })
  })

  it.each<[string, unknown, string]>([
    ['text', 'oops', 'a handler must return entries'],
    [
      'an entry for a topic that is none of its own',
      { topic: 'words', key: 'k', value: 'v' },
      'topics of this stage: echoes'
    ],
    ['a value that does not encode', { key: 'k', value: 5 }, 'text expects a string, got number'],
    ['no key where there must be one', { value: 'v' }, 'declare it key: optional(text)'],
    ['a partition that is not there', { key: 'k', value: 'v', partition: 7 }, 'partitions 0 to 0, not 7'],
    ['a time that is none', { key: 'k', value: 'v', eventTime: Number.NaN }, 'event time must be milliseconds'],
    [
      'a time in microseconds',
      { key: 'k', value: 'v', eventTime: Date.now() * 1_000 },
      'event time must be milliseconds'
    ],
    ['a header of ours', { key: 'k', value: 'v', headers: { '~s': 'x' } }, 'names that start with ~ belong to tidemark']
  ])('%s parks the record at once, and says why', async (_, result, message) => {
    const bad = processor({
      name: 'bad',
      from: words,
      to: echoes,
      process: ({ key, value }): any => (value === 'bad' ? result : { key, value })
    })
    const { outputs, parked } = await run('returns', [bad], { words: entries('a', 'bad', 'b') })
    expect(valuesOf(outputs['echoes'])).toEqual(['a', 'b'])
    expect(parked).toMatchObject([{ code: 'bad-record', attempts: 1, error: expect.stringContaining(message) }])
  })

  it('takes back all of an attempt that failed half way: outputs, state, timers', async () => {
    let attempts = 0
    const half = processor({
      name: 'half',
      from: words,
      to: echoes,
      state: { count: keyed(number, 0) },
      async *process({ key, value }, { state, timers }) {
        state.count.set(state.count.get() + 1)
        timers.at(2 ** 49, `${value} ${state.count.get()}`)
        yield { key, value: `${value} ${state.count.get()}` }
        if (value === 'b' && ++attempts < 3) throw new Error('half way')
      },
      onTimer: ({ key, name }) => ({ key, value: `timer ${name}` })
    })
    const { outputs } = await run('half', [half], { words: entries('a', 'b', 'c') })
    expect(valuesOf(outputs['echoes'])).toEqual(['a 1', 'b 2', 'c 3', 'timer a 1', 'timer b 2', 'timer c 3'])
    expect(attempts).toBe(3)
  })
})

describe('a handler that fails', () => {
  const failing = (
    failure: object,
    fails: (value: string, attempt: number) => boolean
  ): [Pipeline['stages'][0], string[]] => {
    const seen: string[] = []
    const stage = processor({
      name: 'fails',
      from: words,
      to: echoes,
      failure,
      process({ key, value }, { idempotencyKey }) {
        seen.push(`${value} ${idempotencyKey}`)
        if (fails(value, seen.filter(line => line.startsWith(`${value} `)).length)) throw new Error(`cannot ${value}`)
        return { key, value }
      }
    })
    return [stage, seen]
  }

  it('is tried again, in place, with the same idempotency key', async () => {
    const [stage, seen] = failing({ retries: 3 }, (value, attempt) => value === 'b' && attempt < 3)
    const { outputs, parked } = await run('retry', [stage], { words: entries('a', 'b', 'c') })
    expect(seen).toEqual(['a words/0/0', 'b words/0/1', 'b words/0/1', 'b words/0/1', 'c words/0/2'])
    expect(valuesOf(outputs['echoes'])).toEqual(['a', 'b', 'c'])
    expect(parked).toEqual([])
  })

  it('waits between attempts as it is told, doubling', async () => {
    const [stage] = failing({ retries: 4, backoff: { first: 1_000, most: 4_000 } }, value => value === 'b')
    const { milliseconds } = await run('backoff', [stage], { words: entries('b') })
    expect(milliseconds).toBeGreaterThanOrEqual((1_000 + 2_000 + 4_000 + 4_000) / 2)
    expect(milliseconds).toBeLessThanOrEqual(1_000 + 2_000 + 4_000 + 4_000 + 1_000)
  })

  it('parks the record with its cause after the last attempt, and the partition goes on', async () => {
    const [stage] = failing({ retries: 1 }, value => value === 'b')
    const { outputs, parked, counts } = await run('parks', [stage], {
      words: [...entries('a'), { key: 'k', value: 'b', headers: { trace: '7' } }, ...entries('c')]
    })
    expect(valuesOf(outputs['echoes'])).toEqual(['a', 'c'])
    expect(parked).toMatchObject([
      {
        origin: 'words/0/1',
        by: 'parks/fails/0',
        code: 'handler',
        error: 'cannot b',
        attempts: 2,
        record: { key: 'k', value: 'b' }
      }
    ])
    expect(Buffer.from(parked[0]!.raw.headers['trace']!).toString()).toBe('7')
    expect(counts['fails']).toMatchObject({ processed: 2, parked: 1 })
  })

  it('is parked once, also when the worker dies right behind it', async () => {
    const [stage] = failing({ retries: 0 }, value => value === 'b')
    const { outputs, parked, crashes } = await run('parks', [stage], {
      words: [...entries('a', 'b'), crash(), ...entries('c'), crash()]
    })
    expect(crashes).toBe(2)
    expect(valuesOf(outputs['echoes'])).toEqual(['a', 'c'])
    expect(parked.length).toBe(1)
  })

  it('stops the run by its policy, and says where', async () => {
    const [stage] = failing({ retries: 1, then: 'stop' }, value => value === 'b')
    await expect(run('stops', [stage], { words: entries('a', 'b', 'c') })).rejects.toMatchObject({
      code: 'handler',
      message: "task 'stops/fails/0' failed 2 times on the record words/0 at 1, and its policy is to stop",
      cause: { message: 'cannot b' }
    })
  })

  it('commits what was done before it stops, and starts there again', async () => {
    const world = new World()
    const [stage] = failing({ retries: 0, then: 'stop' }, (value, attempt) => value === 'b' && attempt === 1)
    const app = pipeline('stops', [stage])
    const client = await world.connect('writer')
    await client.admin.create(words, { partitions: 1 })
    await client.admin.create(echoes, { partitions: 1 })
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('a', 'b')))
    await expect(world.run(app)).rejects.toMatchObject({ code: 'handler' })
    const stop = new AbortController()
    const running = world.worker().run(app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(1_000)
    stop.abort()
    await world.environment.run(running)
    expect(valuesOf(await world.records(echoes))).toEqual(['a', 'b'])
    await world.environment.run(client.close())
  })
})

describe('poison', () => {
  it('is parked as it came; the records around it, and their state, are as if it had not been there', async () => {
    const world = new World()
    const numbers = topic('numbers', { key: text, value: json<{ n: number }>(), partitions: 1 })
    const raw = topic('numbers', { key: optional(bytes), value: optional(bytes), partitions: 1 })
    const sums = topic('sums', { key: text, value: number, partitions: 1 })
    const sum = processor({
      name: 'sum',
      from: numbers,
      to: sums,
      state: { sum: keyed(number, 0) },
      process({ key, value }, { state }) {
        state.sum.set(state.sum.get() + value.n)
        return { key, value: state.sum.get() }
      }
    })
    const client = await world.connect('writer')
    await client.admin.create(sums)
    const producer = await client.producer(raw)
    const send = (key: string | null, value: string | null): Promise<unknown> =>
      producer.send({ key: key === null ? null : Buffer.from(key), value: value === null ? null : Buffer.from(value) })
    const sent = [
      send('k', '{"n":1}'),
      send('k', '{"n":'),
      send('k', '{"n":2}'),
      send('k', null),
      send(null, '{"n":9}'),
      send('k', '{"n":4}')
    ]
    await world.environment.run(Promise.all(sent))
    const stop = new AbortController()
    const running = world.worker().run(pipeline('poison', [sum]), { handleSignals: false, signal: stop.signal })
    await world.environment.advance(2_000)
    stop.abort()
    await world.environment.run(running)
    expect(valuesOf(await world.records(sums))).toEqual([1, 3, 7])
    const parked = await world.parked(raw)
    expect(parked.map(({ origin, code, attempts }) => [origin, code, attempts])).toEqual([
      ['numbers/0/1', 'bad-record', 1],
      ['numbers/0/3', 'bad-record', 1],
      ['numbers/0/4', 'bad-record', 1]
    ])
    expect(Buffer.from(parked[0]!.raw.value!).toString()).toBe('{"n":')
    expect(parked[1]!.raw.value).toBeNull()
    expect(parked[2]!.error).toContain('a record without a key; declare it key: optional(text)')
    expect(await world.counts('sum')).toMatchObject({ processed: 3, parked: 3, lost: 0 })
    await world.environment.run(client.close())
  })

  it('of an event time that is none is poison, too: it must not touch the watermark', async () => {
    const world = new World()
    const timed = topic('timed', {
      key: text,
      value: json<{ at: number }>(),
      eventTime: value => value.at,
      partitions: 1
    })
    const seen: [number, number][] = []
    const watch = processor({
      name: 'watch',
      from: timed,
      process: ({ eventTime }, { watermark }) => void seen.push([eventTime, watermark])
    })
    world.broker.createTopic({ topic: 'timed', partitions: 1 })
    for (const at of [10, '"soon"', 20, null])
      world.broker.appendAll([
        {
          topic: 'timed',
          partition: 0,
          key: Buffer.from('k'),
          value: Buffer.from(`{"at":${at}}`),
          headers: {},
          stamp: undefined,
          timestamp: 15
        }
      ])
    const stop = new AbortController()
    const running = world.worker().run(pipeline('timed', [watch]), { handleSignals: false, signal: stop.signal })
    await world.environment.advance(2_000)
    stop.abort()
    await world.environment.run(running)
    expect(seen.map(([at]) => at)).toEqual([10, 20, 15])
    expect(seen.every(([, watermark]) => !Number.isNaN(watermark))).toBe(true)
    expect((await world.parked(timed)).length).toBe(1)
  })
})

describe('several topics', () => {
  it('in: the handler gets a tagged record; out: each entry names its topic', async () => {
    const lefts = topic('lefts', { key: text, value: number })
    const rights = topic('rights', { key: text, value: text })
    const evens = topic('evens', { key: text, value: number })
    const rest = topic('rest', { key: text, value: text })
    const join = processor({
      name: 'join',
      from: [lefts, rights],
      to: [evens, rest],
      state: { last: keyed(number, 0) },
      process(record, { state }) {
        if (record.topic === 'lefts') {
          state.last.set(record.value)
          return record.value % 2 === 0 ? { topic: 'evens', key: record.key, value: record.value } : undefined
        }
        return { topic: 'rest', key: record.key, value: record.value.toUpperCase() }
      }
    })
    const inputs = {
      lefts: [1, 2, 3, 4].map(value => ({ key: 'k', value })),
      rights: ['a', 'b'].map(value => ({ key: 'k', value }))
    }
    const { outputs, counts } = await run('join', [join], inputs)
    expect(valuesOf(outputs['evens'])).toEqual([2, 4])
    expect(valuesOf(outputs['rest'])).toEqual(['A', 'B'])
    expect(counts['join']).toMatchObject({ processed: 6, emitted: 4 })
  })

  it('in: a backlog of one does not starve the other', async () => {
    const lefts = topic('lefts', { key: text, value: number })
    const rights = topic('rights', { key: text, value: number })
    const order: string[] = []
    const merge = processor({ name: 'merge', from: [lefts, rights], process: record => void order.push(record.topic) })
    const world = new World()
    for (const name of ['lefts', 'rights']) {
      world.broker.createTopic({ topic: name, partitions: 1 })
      for (let at = 0; at < 2_000; at++)
        world.broker.appendAll([
          {
            topic: name,
            partition: 0,
            key: Buffer.from('k'),
            value: number.encode(at),
            headers: {},
            stamp: undefined,
            timestamp: at
          }
        ])
    }
    const stop = new AbortController()
    const running = world
      .worker()
      .run(pipeline('merge', [merge]), { handleSignals: false, signal: stop.signal, commitRecords: 100 })
    await world.environment.advance(5_000)
    stop.abort()
    await world.environment.run(running)
    expect(order.length).toBe(4_000)
    expect(order.slice(0, 2_000).filter(name => name === 'rights').length).toBeGreaterThan(200)
  })
})

describe('sinks', () => {
  it('get the records of a commit, in order, as an array of their own', async () => {
    const batches: (readonly StreamRecord<'words', string, string>[])[] = []
    const keep = sink({ name: 'keep', from: words, write: records => void batches.push(records) })
    await run(
      'keep',
      [keep],
      { words: entries(...Array.from({ length: 25 }, (_, index) => `${index}`)) },
      { commitRecords: 10 }
    )
    expect(batches.flat().map(record => record.value)).toEqual(Array.from({ length: 25 }, (_, index) => `${index}`))
    expect(batches.every(batch => batch.length > 0)).toBe(true)
  })

  it('that fail get the same records again, and lose none', async () => {
    const rows: string[] = []
    let calls = 0
    const flaky = sink({
      name: 'flaky',
      from: words,
      async write(records) {
        await Promise.resolve()
        if (calls++ % 3 !== 2) throw new Error('the database is away')
        rows.push(...records.map(record => record.value))
      }
    })
    const { counts } = await run(
      'flaky',
      [flaky],
      { words: [...entries('a', 'b'), ...entries('c'), crash(), ...entries('d')] },
      { commitRecords: 1 }
    )
    expect([...new Set(rows)]).toEqual(['a', 'b', 'c', 'd'])
    expect(counts['flaky']).toMatchObject({ processed: 4, lost: 0 })
  })

  it('that fail for good stop the run when their policy says so', async () => {
    let calls = 0
    const dead = sink({
      name: 'dead',
      from: words,
      failure: { retries: 2, then: 'stop' },
      write: () => {
        calls++
        throw new Error('no such table')
      }
    })
    await expect(run('dead', [dead], { words: entries('a') })).rejects.toMatchObject({
      code: 'handler',
      message: expect.stringContaining('no such table')
    })
    expect(calls).toBe(3)
  })

  it('are opened once and closed once per run', async () => {
    const calls: string[] = []
    const writer = {
      grade: 'idempotent' as const,
      async open() {
        calls.push('open')
        return { write: () => void calls.push('write'), close: async () => void calls.push('close') }
      }
    }
    await run('opened', [sink({ name: 'opened', from: words, write: writer })], { words: entries('a', 'b') })
    expect([calls[0], calls.at(-1), calls.filter(call => call !== 'write').length]).toEqual(['open', 'close', 2])
  })
})

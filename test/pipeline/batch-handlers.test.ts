/**
 * Processors that are called with many records at once. Complaints of others that do not happen here: a bulk handler for which
 * everything is tried again, not only what failed (dapr/dapr#5501, #5923), one refusal that parks a whole batch
 * (apache/pulsar#5891), no parking in batch mode (spring-cloud-stream#2317, #2951), a commit that goes past a record of a batch
 * that is not done (redpanda-data/connect#4009).
 */
import { describe, expect, it } from 'vitest'
import {
  failed,
  FatalError,
  json,
  keyed,
  number,
  pipeline,
  PoisonError,
  processor,
  RetryableError,
  source,
  text,
  topic,
  when,
  type BatchContext,
  type BatchProcessorOptions,
  type BatchResult,
  type Pipeline,
  type StreamRecord
} from '../../src/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { crash, drive, elapse, type DriveItem } from '../../src/testing/index.ts'
import { runThroughChaos } from './chaos.ts'
import { heard } from '../support/heard.ts'
import { dice, seeds, World } from './world.ts'

const words = topic('words', { key: text, value: text, eventTime: value => Number(value.slice(1)), partitions: 1 })
const echoes = topic('echoes', { key: text, value: text, partitions: 1 })
type Word = StreamRecord<'words', string, string>
type Options = BatchProcessorOptions<typeof words, typeof echoes>
type Handler = (
  records: readonly Word[],
  context: BatchContext<Word>
) => readonly BatchResult<typeof echoes>[] | Promise<readonly BatchResult<typeof echoes>[]>

const entry = (value: string): { key: string; value: string } => ({ key: value[0]!, value })
const entries = (...values: string[]): { key: string; value: string }[] => values.map(entry)
const textsOf = (records: readonly { value: unknown }[] | undefined): unknown[] =>
  (records ?? []).map(({ value }) => value)
const echo = ({ key, value }: Word): { key: string; value: string } => ({ key, value: `${value}!` })
const failure = { retries: 2, backoff: { first: 100, most: 1_000 } }

function echoing(processBatch: Handler, options: Partial<Options> = {}): Pipeline {
  return pipeline('echoing', [processor({ name: 'echo', from: words, to: echoes, failure, ...options, processBatch })])
}

/** A world in which the words are there and a worker has begun. */
async function begun(app: Pipeline, values: readonly string[], world: World = new World()): Promise<World> {
  const client = await world.connect('writer')
  await client.admin.ensure(words)
  await client.admin.ensure(echoes)
  const producer = await client.producer(words)
  await world.environment.run(producer.sendAll(values.map(entry)))
  start(world, app)
  return world
}

function start(world: World, app: Pipeline): ReturnType<World['worker']> {
  const worker = world.worker()
  void worker.run(app, { handleSignals: false, sessionTimeout: 1_000 }).catch(() => {})
  return worker
}

describe('what a batch handler gives', () => {
  it('is what `process` gives, record by record: value, time, order and place', async () => {
    const values = Array.from({ length: 1_200 }, (_, index) => entry(`${'abc'[index % 3]!}${1_000 + index}`))
    const single = processor({ name: 'echo', from: words, to: echoes, process: echo })
    const [one, batch] = await Promise.all([
      drive(pipeline('echoing', [single]), { inputs: { words: values } }),
      drive(
        echoing(records => records.map(echo)),
        { inputs: { words: values } }
      )
    ])
    expect(batch.outputs['echoes']).toHaveLength(1_200)
    const seen = ({ outputs }: typeof one): unknown[] =>
      outputs['echoes']!.map(({ key, value, eventTime, late, position }) => [key, value, eventTime, late, position])
    expect(seen(batch)).toEqual(seen(one))
    expect(batch.counts).toEqual(one.counts)
  })

  it('may be an entry, several, none, a promise of these, or an iterable', async () => {
    const app = echoing(records =>
      records.map((record): BatchResult<typeof echoes> => {
        const kinds: Record<string, BatchResult<typeof echoes>> = {
          a1: echo(record),
          a2: [echo(record), echo(record)],
          a3: undefined,
          a4: null,
          a5: Promise.resolve(echo(record)),
          a6: Promise.resolve([]),
          a7: new Set([echo(record)]),
          a8: (async function* () {
            await Promise.resolve()
            yield echo(record)
          })()
        }
        return kinds[record.value]
      })
    )
    const { outputs, counts } = await drive(app, {
      inputs: { words: entries(...'12345678'.split('').map(n => `a${n}`)) }
    })
    expect(textsOf(outputs['echoes'])).toEqual(['a1!', 'a2!', 'a2!', 'a5!', 'a7!', 'a8!'])
    expect(counts['echo']).toMatchObject({ processed: 8, emitted: 6 })
  })

  it.each<[string, (records: readonly Word[]) => unknown]>([
    ['one less', records => records.slice(1).map(echo)],
    ['one more', records => [...records.map(echo), undefined]],
    ['no array', () => ({ key: 'a', value: 'a1' })],
    ['nothing', () => undefined]
  ])('of another length ends the run, whatever the policy: %s', async (_, wrong) => {
    const app = echoing(wrong as never)
    await expect(drive(app, { inputs: { words: entries('a1', 'b2') } })).rejects.toMatchObject({
      code: 'handler',
      message: expect.stringMatching(
        /^processor 'echoing\/echo\/0' met a fatal error handling 2 records: `processBatch` of 'echo' was called with 2 records and must return an array of as many, got/
      )
    })
  })

  it('has one key for each record, which is that of `process`, at every attempt', async () => {
    const keys: string[][] = []
    const app = echoing((records, { idempotencyKey }) => {
      keys.push(records.map(idempotencyKey))
      if (keys.length === 1) throw new Error('not now')
      return records.map(echo)
    })
    await drive(app, { inputs: { words: entries('a1', 'b2') } })
    expect(keys).toEqual([
      ['words/0/0', 'words/0/1'],
      ['words/0/0', 'words/0/1']
    ])
  })

  it('counts as expired what it says', async () => {
    const app = echoing((records, { expire }) => {
      for (const record of records) if (record.value === 'a2') expire(record)
      return records.map(() => undefined)
    })
    const { counts } = await drive(app, { inputs: { words: entries('a1', 'a2', 'a3') } })
    expect(counts['echo']).toMatchObject({ processed: 3, expired: 1 })
  })
})

describe('single records of a batch that fail', () => {
  it.each<[string, (error: Error) => BatchResult<typeof echoes>]>([
    ['`failed`', error => failed(error)],
    ['an error in their place', error => error],
    ['a promise that rejects', async error => raise(error)],
    ['a promise of an error', async error => error],
    ['an iterable that throws', error => ({ [Symbol.iterator]: () => raise(error) })]
  ])('are parked when they are poison, by %s; the others are handled once', async (_, say) => {
    const handled: string[] = []
    const app = echoing(records => {
      handled.push(...records.map(({ value }) => value))
      return records.map(record => (record.value === 'a2' ? say(new PoisonError('no such account')) : echo(record)))
    })
    const { parked, counts, outputs } = await drive(app, { inputs: { words: entries('a1', 'a2', 'a3', 'b4') } })
    expect(handled).toEqual(['a1', 'a2', 'a3', 'b4'])
    expect(textsOf(outputs['echoes'])).toEqual(['a1!', 'a3!', 'b4!'])
    expect(parked).toMatchObject([{ origin: 'words/0/1', error: 'no such account', attempts: 1, by: 'echoing/echo/0' }])
    expect(counts['echo']).toMatchObject({ processed: 3, parked: 1 })
  })

  it('are parked when their outputs cannot be written', async () => {
    const app = echoing(records =>
      records.map(record => (record.value === 'a2' ? [echo(record), { key: 'a', value: 5 as never }] : echo(record)))
    )
    const { parked, outputs } = await drive(app, { inputs: { words: entries('a1', 'a2', 'a3') } })
    expect(textsOf(outputs['echoes'])).toEqual(['a1!', 'a3!'])
    expect(parked).toMatchObject([{ origin: 'words/0/1' }])
  })

  it('are parked with whatever is told as the error', async () => {
    const app = echoing(records => records.map(() => failed('status 404')), { failure: { retries: 0 } })
    const { parked } = await drive(app, { inputs: { words: entries('a1', 'b2') } })
    expect(parked).toMatchObject([{ error: 'status 404' }, { error: 'status 404' }])
  })

  it('are tried again, and those of their key behind them, in order; the others go on', async () => {
    const batches: string[][] = []
    const app = echoing(records => {
      batches.push(records.map(({ value }) => value))
      return records.map(record =>
        batches.length < 3 && record.value === 'a1' ? failed(new Error('locked')) : echo(record)
      )
    })
    const { outputs, parked, counts } = await drive(app, { inputs: { words: entries('a1', 'b2', 'a3', 'b4', 'a5') } })
    expect(batches).toEqual([
      ['a1', 'b2', 'a3', 'b4', 'a5'],
      ['a1', 'a3', 'a5'],
      ['a1', 'a3', 'a5']
    ])
    expect(textsOf(outputs['echoes'])).toEqual(['b2!', 'b4!', 'a1!', 'a3!', 'a5!'])
    expect(parked).toEqual([])
    expect(counts['echo']).toMatchObject({ processed: 5, emitted: 5 })
  })

  it('are parked after their attempts, and those behind them go on', async () => {
    const app = echoing(records =>
      records.map(record => (record.value === 'a1' ? failed(new Error('locked')) : echo(record)))
    )
    const { outputs, parked } = await drive(app, { inputs: { words: entries('a1', 'b2', 'a3') } })
    expect(parked).toMatchObject([{ origin: 'words/0/0', attempts: 3, error: 'locked' }])
    expect(textsOf(outputs['echoes'])).toEqual(['b2!', 'a3!'])
  })

  it('hold up the whole partition when the policy says so, and what is behind them is handled again', async () => {
    const batches: string[][] = []
    const app = echoing(
      records => {
        batches.push(records.map(({ value }) => value))
        return records.map(record =>
          batches.length === 1 && record.value === 'b2' ? failed(new Error('locked')) : echo(record)
        )
      },
      { failure: { ...failure, order: 'partition' } }
    )
    const { outputs } = await drive(app, { inputs: { words: entries('a1', 'b2', 'a3') } })
    expect(batches).toEqual([
      ['a1', 'b2', 'a3'],
      ['b2', 'a3']
    ])
    expect(textsOf(outputs['echoes'])).toEqual(['a1!', 'b2!', 'a3!'])
  })

  it('are waited for as long as they ask', async () => {
    let first = true
    const app = echoing(records => {
      const again = first
      first = false
      return records.map(record => (again ? new RetryableError('slow down', { after: 30_000 }) : echo(record)))
    })
    const { outputs, milliseconds } = await drive(app, { inputs: { words: entries('a1') } })
    expect(textsOf(outputs['echoes'])).toEqual(['a1!'])
    expect(milliseconds).toBeGreaterThanOrEqual(30_000)
  })

  it('end the run when they are fatal, or when the policy is to stop; what is before them is committed', async () => {
    for (const [error, options] of [
      [new FatalError('key revoked'), {}],
      [new PoisonError('broken'), { failure: { then: 'stop' as const } }]
    ] as const) {
      const world = new World()
      const app = echoing(
        records => records.map(record => (record.value === 'b2' ? failed(error) : echo(record))),
        options
      )
      const client = await world.connect('writer')
      await client.admin.ensure(words)
      await client.admin.ensure(echoes)
      const producer = await client.producer(words)
      await world.environment.run(producer.sendAll(entries('a1', 'b2', 'a3')))
      await expect(world.run(app)).rejects.toMatchObject({ code: 'handler' })
      expect(await world.parked(words)).toEqual([])
    }
  })

  it('do not decode, and are parked in their place', async () => {
    const numbers = topic('words', { key: text, value: json<number>(), partitions: 1 })
    const stage = processor({
      name: 'echo',
      from: numbers,
      to: echoes,
      processBatch: records => records.map(({ key, value }) => ({ key, value: `${value}` }))
    })
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(topic('words', { key: text, value: text, partitions: 1 }))
    await world.environment.run(producer.sendAll([...'1x2'].map(value => ({ key: 'k', value }))))
    start(world, pipeline('echoing', [stage]))
    await world.environment.advance(2_000)
    expect(textsOf(await world.records(echoes))).toEqual(['1', '2'])
    expect(await world.parked(words)).toMatchObject([{ origin: 'words/0/1', attempts: 1 }])
  })

  it('wait over a crash, no shorter and with their attempts, and hold the watermark', async () => {
    let down = true
    const handled: string[] = []
    const app = echoing(
      records =>
        records.map(record => {
          handled.push(record.value)
          return down && record.value === 'a1002' ? failed(new Error('locked')) : echo(record)
        }),
      { failure: { retries: Infinity, backoff: { first: 2_000, most: 2_000 } } }
    )
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('b1001', 'a1002', 'b1003', 'b1004')))
    const first = start(world, app)
    await world.environment.advance(3_000)
    const held = (await world.tasks()).get('echoing/echo/0')!
    expect(held.watermark).toBeLessThanOrEqual(1001)
    expect(held.health).toMatchObject({ heldBy: { task: 'echoing/echo/0', cause: 'failing' }, pending: 1 })
    first.kill()
    await world.environment.turn()
    down = false
    start(world, app)
    await world.environment.advance(8_000)
    expect(textsOf(await world.records(echoes))).toEqual(['b1001!', 'b1003!', 'b1004!', 'a1002!'])
    expect((await world.records(echoes)).map(({ late }) => late)).toEqual([false, false, false, false])
    expect((await world.tasks()).get('echoing/echo/0')!.watermark).toBe(1004)
    expect(handled.filter(value => value !== 'a1002')).toEqual(['b1001', 'b1003', 'b1004'])
  })

  it('have the attempts over a crash that they had before it', async () => {
    let calls = 0
    const app = echoing(
      records => {
        calls++
        return records.map(() => failed(new Error('locked')))
      },
      { failure: { retries: 5, backoff: { first: 1_000, most: 1_000 } } }
    )
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    const producer = await client.producer(words)
    await world.environment.run(producer.send(entry('a1')))
    const first = start(world, app)
    while (calls < 4) await world.environment.advance(100)
    await world.environment.advance(300)
    first.kill()
    await world.environment.turn()
    start(world, app)
    await world.environment.advance(20_000)
    expect(calls).toBe(6)
    expect(await world.parked(words)).toMatchObject([{ attempts: 6 }])
  })

  it('are bounded in number: then the partition waits, and nothing is lost', async () => {
    let down = true
    let last = 0
    const values = Array.from({ length: 2_500 }, (_, index) => `a${index}`)
    const app = echoing(
      records =>
        records.map(record => {
          last = Math.max(last, Number(record.value.slice(1)))
          return down ? failed(new Error('locked')) : echo(record)
        }),
      { batch: { records: 700 }, failure: { retries: Infinity, backoff: { first: 100, most: 1_000 } } }
    )
    const world = await begun(app, values)
    await world.environment.advance(5_000)
    const { health } = (await world.tasks()).get('echoing/echo/0')!
    expect(health!.pending).toBe(2_500)
    expect(last).toBeLessThan(700)
    const client = await world.connect('look')
    expect(await world.environment.run(client.admin.pipelineBacklog(app))).toEqual(new Map([['echo', 1_500]]))
    down = false
    await world.environment.advance(20_000)
    expect(textsOf(await world.records(echoes))).toEqual(values.map(value => `${value}!`))
  })

  it('come again where a commit holds positions alone, and nothing is lost', async () => {
    let down = true
    const app = echoing(
      records => records.map(record => (down && record.value === 'a2' ? failed(new Error('locked')) : echo(record))),
      { failure: { retries: Infinity, backoff: { first: 500, most: 500 } } }
    )
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('b1', 'a2', 'b3')))
    const run = { handleSignals: false, sessionTimeout: 1_000, guarantee: 'at-least-once' as const }
    const first = world.worker()
    void first.run(app, run).catch(() => {})
    await world.environment.advance(2_000)
    first.kill()
    await world.environment.turn()
    down = false
    void world
      .worker()
      .run(app, run)
      .catch(() => {})
    await world.environment.advance(8_000)
    const written = textsOf(await world.records(echoes))
    expect(new Set(written)).toEqual(new Set(['b1!', 'a2!', 'b3!']))
    expect(written.at(-1)).toBe('b3!')
  })

  it('can be sent again once they are parked, to this stage', async () => {
    let poison = true
    const app = echoing(records =>
      records.map(record => (poison && record.value === 'a2' ? new PoisonError('no') : echo(record)))
    )
    const world = await begun(app, ['a1', 'a2', 'b3'])
    await world.environment.advance(2_000)
    expect(await world.parked(words)).toHaveLength(1)
    poison = false
    const client = await world.connect('redrive')
    await world.environment.run(client.admin.redrive(words))
    await world.environment.advance(5_000)
    expect(textsOf(await world.records(echoes))).toEqual(['a1!', 'b3!', 'a2!'])
  })
})

describe('a batch handler that throws', () => {
  it('is called with the same again after a growing wait, and nothing is half done', async () => {
    const told = heard('batch-retried')
    const calls: { at: number; values: string[] }[] = []
    const world = await begun(
      echoing((records): readonly BatchResult<typeof echoes>[] => {
        calls.push({ at: world.environment.monotonic(), values: records.map(({ value }) => value) })
        if (calls.length < 3) throw new Error('connection refused')
        return records.map(echo)
      }),
      ['a1', 'b2']
    )
    await world.environment.advance(5_000)
    expect(calls.map(({ values }) => values)).toEqual([
      ['a1', 'b2'],
      ['a1', 'b2'],
      ['a1', 'b2']
    ])
    const [first, second, third] = calls.map(({ at }) => at)
    expect(third! - second!).toBeGreaterThan((second! - first!) * 0.99)
    expect(textsOf(await world.records(echoes))).toEqual(['a1!', 'b2!'])
    expect(told).toMatchObject([
      { task: 'echoing/echo/0', records: 2, attempt: 1 },
      { task: 'echoing/echo/0', records: 2, attempt: 2 }
    ])
  })

  it('after its attempts, or at once for poison, is asked with parts: who is to blame is parked', async () => {
    for (const [error, calls] of [
      [new Error('bad request'), 3],
      [new PoisonError('bad request'), 1]
    ] as const) {
      const sizes: number[] = []
      const app = echoing(async records => {
        sizes.push(records.length)
        await Promise.resolve()
        if (records.some(({ value }) => value === 'a5')) throw error
        return records.map(echo)
      })
      const values = ['a1', 'b2', 'a3', 'b4', 'a5', 'b6', 'a7', 'b8']
      const { outputs, parked } = await drive(app, { inputs: { words: entries(...values) } })
      expect(sizes.slice(0, calls)).toEqual(Array.from({ length: calls }, () => 8))
      expect(sizes.slice(calls)).toEqual([4, 4, 2, 1, 1, 2])
      expect(textsOf(outputs['echoes'])).toEqual(values.filter(value => value !== 'a5').map(value => `${value}!`))
      expect(parked).toMatchObject([{ origin: 'words/0/4', error: 'bad request', attempts: calls + 1 }])
    }
  })

  it('parks nothing when nothing at all can be handled: what it asks is down, and the circuit spares it', async () => {
    const opened = heard('circuit-opened')
    const closed = heard('circuit-closed')
    let down = true
    let calls = 0
    const values = Array.from({ length: 40 }, (_, index) => `${'abcd'[index % 4]!}${index}`)
    const world = await begun(
      echoing(
        records => {
          calls++
          if (down) throw new Error('connection refused')
          return records.map(echo)
        },
        { failure: { retries: 1, backoff: { first: 10, most: 10 } }, circuit: { failures: 3, probe: 1_000 } }
      ),
      values
    )
    await world.environment.advance(10_000)
    const before = calls
    await world.environment.advance(10_000)
    expect(opened).toMatchObject([{ stage: 'echo' }])
    // A probe is a batch, and parts of it until eight single records have failed.
    expect((calls - before) / 10).toBeLessThan(20)
    expect((await world.tasks()).get('echoing/echo/0')!.health!.heldBy).toMatchObject({ cause: 'failing' })
    down = false
    await world.environment.advance(10_000)
    expect(closed).toHaveLength(1)
    expect((await world.tasks()).get('echoing/echo/0')!.health!.heldBy?.cause).not.toBe('failing')
    expect(textsOf(await world.records(echoes))).toEqual(values.map(value => `${value}!`))
    expect(await world.parked(words)).toEqual([])
  })

  it('ends at once when the worker is to end meanwhile, and the next one has the batch', async () => {
    let down = true
    const app = echoing(records => {
      if (down) throw new Error('connection refused')
      return records.map(echo)
    })
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('a1', 'b2')))
    const stop = new AbortController()
    const running = world.worker().run(app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(20_000)
    const before = world.environment.monotonic()
    stop.abort()
    await world.environment.run(running)
    expect(world.environment.monotonic() - before).toBeLessThan(2_000)
    down = false
    start(world, app)
    await world.environment.advance(3_000)
    expect(textsOf(await world.records(echoes))).toEqual(['a1!', 'b2!'])
  })
})

describe('how large a batch is', () => {
  const sizes = async (batch: Options['batch'], items: readonly DriveItem[]): Promise<number[]> => {
    const seen: number[] = []
    const app = echoing(records => {
      seen.push(records.length)
      return records.map(() => undefined)
    }, batch && { batch })
    await drive(app, { inputs: { words: items } })
    return seen
  }
  const many = (count: number): DriveItem[] => Array.from({ length: count }, (_, index) => entry(`a${1_000 + index}`))

  it('is 500 records, or what is said', async () => {
    expect(Math.max(...(await sizes(undefined, many(2_000))))).toBe(500)
    const seen = await sizes({ records: 7 }, many(100))
    expect(Math.max(...seen)).toBe(7)
    expect(seen.reduce((sum, size) => sum + size)).toBe(100)
  })

  it('is bounded in bytes, and a record that is larger is a batch of its own', async () => {
    const long = entry(`a1${' '.repeat(4_000)}`)
    const seen = await sizes({ bytes: 2_000, wait: '1s' }, [...many(300), long, ...many(3)])
    // A record counts as more than its key and value: headers, stamp, and what it costs to hold it.
    expect(Math.max(...seen)).toBeLessThanOrEqual(20)
    expect(Math.max(...seen)).toBeGreaterThan(5)
    expect(seen.at(-2)).toBe(1)
    expect(seen.at(-1)).toBe(3)
  })

  it('waits for more as long as it is told, and no longer', async () => {
    const trickle = [...'123456'].flatMap((digit): DriveItem[] => [entry(`a${digit}`), elapse(100)])
    expect(await sizes({ wait: 0 }, trickle)).toEqual([1, 1, 1, 1, 1, 1])
    expect(await sizes({ wait: '1m' }, trickle)).toEqual([6])
    expect(await sizes({ wait: '250ms' }, trickle)).toEqual([3, 3])
    expect(await sizes({ wait: '1m', records: 4 }, trickle)).toEqual([4, 2])
  })

  it('keeps to the rate of its stage', async () => {
    const at: number[] = []
    const world = await begun(
      echoing(
        records => {
          for (const _ of records) at.push(world.environment.monotonic())
          return records.map(() => undefined)
        },
        { rateLimit: { records: 100, per: '1s' }, batch: { wait: '200ms' } }
      ),
      Array.from({ length: 400 }, (_, index) => `a${index}`)
    )
    await world.environment.advance(10_000)
    expect(at).toHaveLength(400)
    expect(at.at(-1)! - at[0]!).toBeGreaterThan(3_000)
    expect(new Set(at).size).toBeLessThan(40)
  })
})

describe('a batch', () => {
  it('holds the watermark while it is under way, and commits nothing of it', async () => {
    let slow = true
    const app = echoing(async records => {
      if (slow && records.some(({ value }) => value === 'a1003')) await sleep(world.environment, 60_000)
      return records.map(echo)
    })
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('b1001', 'b1002')))
    start(world, app)
    await world.environment.advance(1_000)
    await world.environment.run(producer.sendAll(entries('a1003', 'b1004')))
    await world.environment.advance(10_000)
    const { watermark, counts } = (await world.tasks()).get('echoing/echo/0')!
    expect({ watermark, processed: counts.processed }).toEqual({ watermark: 1002, processed: 2 })
    slow = false
    await world.environment.advance(60_000)
    expect(textsOf(await world.records(echoes))).toEqual(['b1001!', 'b1002!', 'a1003!', 'b1004!'])
    expect((await world.records(echoes)).map(({ late }) => late)).toEqual([false, false, false, false])
    expect((await world.tasks()).get('echoing/echo/0')!.watermark).toBe(1004)
  })

  it('holds what is complete: intervals and watermarks are told behind its records, once each', async () => {
    const told: string[] = []
    const app = echoing(
      records => {
        told.push(...records.map(({ value }) => value))
        return records.map(() => undefined)
      },
      {
        batch: { records: 3, wait: '1s' },
        interval: 100,
        onComplete: ({ start: from, records, parked }) => void told.push(`${from}: ${records}+${parked}`),
        onWatermark: watermark => void (watermark === Infinity && told.push('end'))
      }
    )
    await drive(app, { inputs: { words: entries('a10', 'a20', 'a120', 'a130', 'a250') } })
    expect(told).toEqual(
      ['a10', 'a20', 'a120', 'a130', 'a250', '0: 2+0', '100: 2+0', '200: 1+0', 'end'].toSorted(order(told))
    )
    expect(told.indexOf('0: 2+0')).toBeGreaterThan(told.indexOf('a120'))
    expect(told.indexOf('100: 2+0')).toBeGreaterThan(told.indexOf('a250'))
  })

  it('is shown what its guard lets through alone', async () => {
    const withheld = topic('withheld', { key: text, value: text, partitions: 1 })
    const seen: string[] = []
    const app = echoing(
      records => {
        seen.push(...records.map(({ value }) => value))
        return records.map(echo)
      },
      { guard: when({ behind: 0 }, { otherwise: withheld }) }
    )
    const { outputs, counts } = await drive(app, { inputs: { words: entries('a1', 'a2') } })
    expect(seen).toEqual([])
    expect(textsOf(outputs['withheld'])).toEqual(['a1', 'a2'])
    expect(counts['echo']).toMatchObject({ processed: 2, emitted: 2 })
  })

  it('has no record twice', async () => {
    const seen: string[] = []
    const values = Array.from({ length: 200 }, (_, index) => `${'abcd'[index % 4]!}${index}`)
    const world = new World()
    const app = echoing(records => {
      seen.push(...records.map(({ value }) => value))
      return records.map(echo)
    })
    const client = await world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    world.broker.faults.duplicate({ times: 5 })
    const producer = await client.producer(words)
    for (let at = 0; at < 200; at += 20)
      await world.environment.run(producer.sendAll(entries(...values.slice(at, at + 20))))
    start(world, app)
    await world.environment.advance(5_000)
    expect(world.written('words')).toBeGreaterThan(200)
    expect(seen).toEqual(values)
    expect(textsOf(await world.records(echoes))).toEqual(values.map(value => `${value}!`))
  })

  it('is of all topics of its stage', async () => {
    const others = topic('others', { key: text, value: text, partitions: 1 })
    const stage = processor({
      name: 'echo',
      from: [words, others],
      to: [echoes],
      batch: { wait: '1s' },
      processBatch: records =>
        records.map(({ topic: name, key, value }) => ({ topic: 'echoes', key, value: `${name} ${value}` }))
    })
    const inputs = { words: entries('a1', 'a2'), others: entries('b1', 'b2') }
    const { outputs, counts } = await drive(pipeline('echoing', [stage]), { inputs })
    expect(textsOf(outputs['echoes']).toSorted()).toEqual(['others b1', 'others b2', 'words a1', 'words a2'])
    expect(counts['echo']).toMatchObject({ processed: 4 })
  })

  it.each(['store', 'broker'] as const)('counts once, whoever dies when (commits in the %s)', async commitIn => {
    const values = Array.from({ length: 60 }, (_, index) => entry(`${'abc'[index % 3]!}${1_000 + index}`))
    const items = values.flatMap((item, index): DriveItem[] => (index % 13 === 12 ? [item, crash()] : [item]))
    let calls = 0
    const app = echoing(records =>
      records.map(record => (++calls % 7 === 0 ? failed(new Error('not now')) : echo(record)))
    )
    const run = { failure: { retries: 50, backoff: { first: 1, most: 10 } } }
    const [stage] = app.stages
    const { outputs, counts, crashes } = await drive(
      { ...app, stages: [{ ...stage!, ...run } as never] },
      { inputs: { words: items }, commitIn }
    )
    expect(crashes).toBe(4)
    expect(counts['echo']).toMatchObject({ processed: 60, emitted: 60, lost: 0 })
    for (const key of 'abc')
      expect(textsOf(outputs['echoes']!.filter(each => each.key === key))).toEqual(
        values.filter(each => each.key === key).map(({ value }) => `${value}!`)
      )
  })
})

describe('batches through chaos', () => {
  const many = topic('words', { key: text, value: text, partitions: 3 })
  const out = topic('echoes', { key: text, value: text, partitions: 3 })

  it.each(seeds(6))('each record has one effect, in the order of its key (seed %i)', async seed => {
    const world = new World({ seed, commitIn: seed % 2 === 0 ? 'store' : 'broker' })
    const random = dice(seed * 31)
    const values = Array.from({ length: 400 }, (_, index) => `${'abcdefgh'[Math.floor(random() * 8)]!}${index}`)
    const poison = new Set(values.filter((_, index) => index % 40 === 9))
    const feed = source({
      name: 'feed',
      to: many,
      async *run({ resume = -1 }) {
        for (let index = (resume as number) + 1; index < values.length; index++) {
          await sleep(world.environment, random() * 5)
          yield { ...entry(values[index]!), cursor: index }
        }
      }
    })
    const stage = processor({
      name: 'echo',
      from: many,
      to: out,
      batch: { records: 1 + Math.floor(random() * 30), wait: Math.floor(random() * 50) },
      failure: { retries: 1_000, backoff: { first: 5, most: 100 } },
      async processBatch(records) {
        await sleep(world.environment, random() * 40)
        if (random() < 0.1) throw new Error('the whole batch')
        return records.map(({ key, value }) =>
          poison.has(value) ? new PoisonError('never') : random() < 0.05 ? failed(new Error('not now')) : { key, value }
        )
      }
    })
    await runThroughChaos(world, pipeline('echoing', [feed, stage]), {
      seed,
      faults: 12,
      workers: 2,
      run: { sessionTimeout: 1_000, commitInterval: 20 }
    })
    const records = await world.records(out)
    for (const key of 'abcdefgh')
      expect(textsOf(records.filter(each => each.key === key))).toEqual(
        values.filter(value => value[0] === key && !poison.has(value))
      )
    expect(new Set((await world.parked(many)).map(({ record }) => record!.value))).toEqual(poison)
  })
})

describe('a batch handler is refused', () => {
  const from = words
  const processBatch = (records: readonly unknown[]): undefined[] => records.map(() => undefined)
  it.each<[string, object]>([
    ['give it `process`, or `processBatch`', {}],
    ['and not both', { processBatch, process: () => {} }],
    ['`batch` and `circuit` are for `processBatch`', { process: () => {}, batch: { records: 5 } }],
    [
      '`processBatch` has no keyed state and no timers: write what it finds to a topic',
      { processBatch, state: { n: keyed(number, 0) } }
    ],
    ['`processBatch` has no keyed state and no timers', { processBatch, onTimer: () => {} }],
    ['`concurrency` is for `process`', { processBatch, concurrency: 4 }],
    ['batch.records must be a whole number above 0, got 0', { processBatch, batch: { records: 0 } }],
    ['batch.bytes must be a whole number above 0, got 0.5', { processBatch, batch: { bytes: 0.5 } }],
    ['batch.wait must be milliseconds', { processBatch, batch: { wait: 'soon' } }],
    ['batch.wait must be a time, got Infinity', { processBatch, batch: { wait: Infinity } }]
  ])('%s', (message, options) => {
    expect(() => processor({ name: 'odd', from, ...options } as never)).toThrow(`processor 'odd': `)
    expect(() => processor({ name: 'odd', from, ...options } as never)).toThrow(message)
  })
})

function raise(error: Error): never {
  throw error
}

/** As they are, for a set of which the order is looked at apart. */
function order(as: readonly string[]): (left: string, right: string) => number {
  return (left, right) => as.indexOf(left) - as.indexOf(right)
}

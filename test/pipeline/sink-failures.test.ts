/**
 * Sinks are called with batches; what becomes of single records in them. Complaints of others that do not happen here: no
 * parking in batch mode (spring-cloud-stream#2317, #2951), a bulk handler for which everything is tried again, not only what
 * failed (dapr/dapr#5501, #5923), one refusal that parks a whole batch (apache/pulsar#5891), a failed consumer that looks
 * healthy (nestjs/nest#11910).
 */
import { describe, expect, it } from 'vitest'
import {
  FatalError,
  pipeline,
  PoisonError,
  sink,
  text,
  topic,
  type Pipeline,
  type SinkOptions,
  type StreamRecord,
  type WriteOutcome
} from '../../src/index.ts'
import { crash, drive } from '../../src/testing/index.ts'
import { heard } from '../support/heard.ts'
import { World } from './world.ts'

const words = topic('words', { key: text, value: text, eventTime: value => Number(value.slice(1)), partitions: 1 })
const entry = (value: string): { key: string; value: string } => ({ key: value[0]!, value })
const entries = (...values: string[]): { key: string; value: string }[] => values.map(entry)
type Word = StreamRecord<'words', string, string>
const textsOf = (records: readonly Word[]): string[] => records.map(({ value }) => value)

function loading(
  write: (records: readonly Word[]) => WriteOutcome | Promise<WriteOutcome>,
  options: Partial<SinkOptions<typeof words>> = {}
): Pipeline {
  return pipeline('loading', [
    sink({
      name: 'load',
      from: words,
      failure: { retries: 2, backoff: { first: 100, most: 1_000 } },
      ...options,
      write
    })
  ])
}

/** A world in which the words are there and a worker has begun. */
async function begun(app: Pipeline, values: readonly string[]): Promise<World> {
  const world = new World()
  const client = await world.connect('writer')
  await client.admin.create(words)
  const producer = await client.producer(words)
  await world.environment.run(producer.sendAll(values.map(entry)))
  void world
    .worker()
    .run(app, { handleSignals: false })
    .catch(() => {})
  return world
}

describe('a batch of which single records fail', () => {
  it('parks what is poison; the others are written once', async () => {
    const written: string[] = []
    const app = loading(records => {
      written.push(...textsOf(records.filter(({ value }) => value !== 'a2')))
      const bad = records.find(({ value }) => value === 'a2')
      return bad && { failed: [{ record: bad, error: new PoisonError('no such account') }] }
    })
    const { parked, counts } = await drive(app, { inputs: { words: entries('a1', 'a2', 'b3') } })
    expect(written).toEqual(['a1', 'b3'])
    expect(parked).toMatchObject([{ origin: 'words/0/1', error: 'no such account', attempts: 1, by: 'loading/load/0' }])
    expect(counts['load']).toMatchObject({ processed: 2, parked: 1 })
  })

  it('tries what failed again, and behind it what was written of its key', async () => {
    const batches: string[][] = []
    const app = loading(records => {
      batches.push(textsOf(records))
      const bad = batches.length === 1 && records.find(({ value }) => value === 'a1')
      return bad ? { failed: [{ record: bad, error: new Error('locked') }] } : undefined
    })
    const { parked, counts } = await drive(app, { inputs: { words: entries('a1', 'b2', 'a3', 'b4') } })
    expect(batches).toEqual([
      ['a1', 'b2', 'a3', 'b4'],
      ['a1', 'a3']
    ])
    expect(parked).toEqual([])
    expect(counts['load']).toMatchObject({ processed: 4, parked: 0 })
  })

  it('parks what fails each time, after its attempts', async () => {
    const app = loading(records => ({
      failed: records.filter(({ value }) => value === 'a1').map(record => ({ record, error: new Error('locked') }))
    }))
    const { parked, counts } = await drive(app, { inputs: { words: entries('a1', 'b2', 'a3') } })
    expect(parked).toMatchObject([{ origin: 'words/0/0', attempts: 3 }])
    expect(counts['load']).toMatchObject({ processed: 2, parked: 1 })
  })

  it('holds the watermark until what failed is written, also over a crash', async () => {
    let down = true
    const written: string[] = []
    const app = loading(
      records => {
        const failed = records.filter(({ value }) => down && value === 'a1002')
        for (const record of records) if (!failed.includes(record)) written.push(record.value)
        return { failed: failed.map(record => ({ record, error: new Error('locked') })) }
      },
      { failure: { retries: Infinity, backoff: { first: 2_000, most: 2_000 } } }
    )
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(words)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('b1001', 'a1002', 'b1003', 'b1004')))
    const first = world.worker()
    void first.run(app, { handleSignals: false, sessionTimeout: 1_000 }).catch(() => {})
    await world.environment.advance(3_000)
    const held = (await world.tasks()).get('loading/load/0')!
    expect(held.watermark).toBeLessThanOrEqual(1001)
    expect(held.health).toMatchObject({ heldBy: { task: 'loading/load/0', cause: 'failing' }, pending: 1 })
    first.kill()
    await world.environment.turn()
    down = false
    void world
      .worker()
      .run(app, { handleSignals: false, sessionTimeout: 1_000 })
      .catch(() => {})
    await world.environment.advance(8_000)
    expect(written).toEqual(['b1001', 'b1003', 'b1004', 'a1002'])
    expect((await world.tasks()).get('loading/load/0')!.watermark).toBe(1004)
  })

  it('refuses a record that it did not hand over', async () => {
    const app = loading(() => ({ failed: [{ record: { value: 'a1' }, error: new Error('no') }] }), {
      failure: { retries: 0, then: 'stop' }
    })
    await expect(drive(app, { inputs: { words: entries('a1', 'b2') } })).rejects.toMatchObject({
      message: expect.stringContaining('`failed` names a record that was not in the batch')
    })
  })
})

describe('a batch that cannot be written', () => {
  it('is searched for the records that are to blame, and these are parked', async () => {
    const written = new Set<string>()
    const values = Array.from({ length: 200 }, (_, index) => `k${1000 + index}`)
    const bad = new Set(['k1000', 'k1077', 'k1078', 'k1199'])
    const app = loading(records => {
      if (records.some(({ value }) => bad.has(value))) throw new Error('constraint')
      for (const { value } of records) written.add(value)
    })
    const { parked, counts } = await drive(app, { inputs: { words: values.map(entry) } })
    expect(parked.map(({ record }) => record!.value as string).toSorted()).toEqual([...bad])
    expect([...written].toSorted()).toEqual(values.filter(value => !bad.has(value)))
    expect(parked[0]).toMatchObject({ error: 'constraint' })
    expect(counts['load']).toMatchObject({ processed: 196, parked: 4 })
  })

  it('is written again and again while the destination is down, and nothing is parked', async () => {
    let down = true
    const written: string[] = []
    const app = loading(records => {
      if (down) throw new Error('connection refused')
      written.push(...textsOf(records))
    })
    const world = await begun(app, ['a1', 'b2', 'c3'])
    await world.environment.advance(60_000)
    expect(written).toEqual([])
    const task = (await world.tasks()).get('loading/load/0')!
    expect(task.health).toMatchObject({ heldBy: { cause: 'failing' } })
    down = false
    await world.environment.advance(10_000)
    expect(written).toEqual(['a1', 'b2', 'c3'])
    expect(await world.parked(words)).toEqual([])
    expect((await world.tasks()).get('loading/load/0')!.counts).toMatchObject({ processed: 3, parked: 0 })
  })

  it('rejects the run where the policy is to stop, and where the error is fatal', async () => {
    const down = loading(() => Promise.reject(new Error('refused')), {
      failure: { retries: 1, then: 'stop', backoff: { first: 1, most: 1 } }
    })
    await expect(drive(down, { inputs: { words: entries('a1', 'a2') } })).rejects.toMatchObject({
      code: 'handler',
      message: "sink 'loading/load/0' failed 2 times writing 2 records: refused"
    })
    let calls = 0
    const revoked = loading(() => {
      calls++
      throw new FatalError('the key was revoked')
    })
    await expect(drive(revoked, { inputs: { words: entries('a1', 'a2') } })).rejects.toMatchObject({
      message: expect.stringContaining("sink 'loading/load/0' met a fatal error")
    })
    expect(calls).toBe(1)
  })

  it('does not keep a worker from ending: it is for the next one', async () => {
    let down = true
    const written: string[] = []
    const app = loading(records => {
      if (down) throw new Error('connection refused')
      written.push(...textsOf(records))
    })
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(words)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(entries('a1', 'b2')))
    const stop = new AbortController()
    const running = world.worker().run(app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(20_000)
    stop.abort()
    const before = world.environment.monotonic()
    await world.environment.run(running)
    expect(world.environment.monotonic() - before).toBeLessThan(2_000)
    down = false
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    await world.environment.advance(3_000)
    expect(written).toEqual(['a1', 'b2'])
  })

  it('has one effect on what is counted, wherever the worker dies', async () => {
    let calls = 0
    const written = new Set<string>()
    const app = loading(records => {
      if (++calls % 3 === 0) throw new Error('flaky')
      for (const { value } of records) written.add(value)
    })
    const values = Array.from({ length: 20 }, (_, index) => `${'ab'[index % 2]}${index}`)
    const { counts, parked } = await drive(app, { inputs: { words: values.flatMap(value => [entry(value), crash()]) } })
    expect([...written].toSorted()).toEqual(values.toSorted())
    expect(parked).toEqual([])
    expect(counts['load']).toMatchObject({ processed: 20, parked: 0 })
  })
})

describe('the circuit of a sink', () => {
  it('opens when the destination is down, probes it once for all tasks, and closes when it is back', async () => {
    const wide = topic('wide', { key: text, value: text, partitions: 8 })
    const opened = heard('circuit-opened')
    const closed = heard('circuit-closed')
    let down = true
    let calls = 0
    const written: string[] = []
    const app = pipeline('circuit', [
      sink({
        name: 'load',
        from: wide,
        failure: { retries: Infinity, backoff: { first: 10, most: 100 } },
        circuit: { failures: 4, probe: 3_000 },
        write(records) {
          calls++
          if (down) throw new Error('connection refused')
          written.push(...records.map(({ value }) => value))
        }
      })
    ])
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(wide)
    const producer = await client.producer(wide)
    const values = Array.from({ length: 400 }, (_, index) => ({ key: `k${index}`, value: `v${index}` }))
    await world.environment.run(producer.sendAll(values))
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    await world.environment.advance(2_000)
    expect(opened).toMatchObject([{ stage: 'load' }])
    const before = calls
    await world.environment.advance(30_000)
    expect(calls - before).toBeGreaterThanOrEqual(9)
    expect(calls - before).toBeLessThanOrEqual(11)
    down = false
    await world.environment.advance(6_000)
    expect(closed).toMatchObject([{ stage: 'load' }])
    expect(written.toSorted()).toEqual(values.map(({ value }) => value).toSorted())
  })
})

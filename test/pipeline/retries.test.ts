/**
 * What becomes of records whose handler fails. Complaints of others that do not happen here: one exception ends the
 * consumer for good (spring-cloud-stream#2482, #2646), errors that do not reach the driver, so that nothing is retried
 * (nestjs/nest#4241), a retry policy that is ignored once there is a dead-letter topic (dapr/dapr#5511).
 */
import { describe, expect, it } from 'vitest'
import {
  FatalError,
  headerText,
  keyed,
  number,
  parkedHeaders,
  pipeline,
  PoisonError,
  processor,
  RetryableError,
  text,
  topic,
  type FailurePolicy,
  type Pipeline
} from '../../src/index.ts'
import { crash, drive } from '../../src/testing/index.ts'
import { World } from './world.ts'

const words = topic('words', { key: text, value: text, eventTime: value => Number(value.slice(1)), partitions: 1 })
const echoes = topic('echoes', { key: text, value: text, partitions: 1 })
const entry = (value: string): { key: string; value: string } => ({ key: value[0]!, value })
const valuesOf = (records: readonly { value: unknown }[] | undefined): unknown[] =>
  (records ?? []).map(record => record.value)

/** Echoes words; counts the calls for each, and fails as told. */
function echo(
  failure: FailurePolicy,
  fails: (value: string, attempt: number) => unknown
): { readonly app: Pipeline; readonly calls: string[] } {
  const calls: string[] = []
  const stage = processor({
    name: 'echo',
    from: words,
    to: echoes,
    failure,
    state: { count: keyed(number, 0) },
    process({ key, value }, { state }) {
      calls.push(value)
      state.count.set(state.count.get() + 1)
      const error = fails(value, calls.filter(call => call === value).length)
      if (error) throw error
      return { key, value: `${value} ${state.count.get()}` }
    }
  })
  return { app: pipeline('retries', [stage]), calls }
}

const patient: FailurePolicy = { retries: 3, backoff: { first: 10_000, most: 10_000 } }

/** A world in which the words are there and a worker has begun. */
async function begun(app: Pipeline, values: readonly string[], options = {}): Promise<World> {
  const world = new World()
  const client = await world.connect('writer')
  await client.admin.create(words)
  await client.admin.create(echoes)
  const producer = await client.producer(words)
  await world.environment.run(producer.sendAll(values.map(entry)))
  await world.environment.run(client.close())
  void world
    .worker()
    .run(app, { handleSignals: false, ...options })
    .catch(() => {})
  return world
}

describe('a record that is tried again', () => {
  it('holds up its key, and no other', async () => {
    const { app, calls } = echo(patient, (value, attempt) => value === 'a1' && attempt < 3 && new Error('not now'))
    const world = await begun(app, ['a1', 'b2', 'a3', 'c4', 'b5'])
    await world.environment.advance(1_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['b2 1', 'c4 1', 'b5 2'])
    expect(calls).toEqual(['a1', 'b2', 'c4', 'b5'])
    await world.environment.advance(30_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['b2 1', 'c4 1', 'b5 2', 'a1 1', 'a3 2'])
  })

  it('holds up what comes to its key meanwhile, in its order', async () => {
    const { app } = echo(patient, (value, attempt) => value === 'a1' && attempt < 2 && new Error('not now'))
    const world = await begun(app, ['a1'])
    await world.environment.advance(1_000)
    const client = await world.connect('more')
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(['a2', 'b3', 'a4'].map(entry)))
    await world.environment.advance(2_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['b3 1'])
    await world.environment.advance(20_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['b3 1', 'a1 1', 'a2 2', 'a4 3'])
  })

  it('is waited for by the whole partition when the policy says so', async () => {
    const { app, calls } = echo(
      { ...patient, order: 'partition' },
      (value, attempt) => value === 'a1' && attempt < 2 && new Error('not now')
    )
    const world = await begun(app, ['a1', 'b2'])
    await world.environment.advance(4_000)
    expect(calls).toEqual(['a1'])
    await world.environment.advance(10_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['a1 1', 'b2 1'])
  })

  it('is not tried before the handler wants it', async () => {
    const { app, calls } = echo(
      { retries: 3, backoff: { first: 1, most: 1 } },
      (_, attempt) => attempt < 2 && new RetryableError('too many requests', { after: 60_000 })
    )
    const world = await begun(app, ['a1'])
    await world.environment.advance(50_000)
    expect(calls).toEqual(['a1'])
    await world.environment.advance(11_000)
    expect(calls).toEqual(['a1', 'a1'])
  })

  it('holds the watermark where it was before it, and the vitals say who and since when', async () => {
    const { app } = echo(patient, (value, attempt) => value === 'a1003' && attempt < 2 && new Error('not now'))
    const world = await begun(app, ['b1001', 'b1002', 'a1003', 'b1004', 'b1005'])
    await world.environment.advance(3_000)
    const held = (await world.tasks()).get('retries/echo/0')!
    expect(held.watermark).toBe(1002)
    expect(held.health).toMatchObject({ pending: 1, heldBy: { task: 'retries/echo/0', cause: 'failing' } })
    expect(held.counts).toMatchObject({ processed: 4, parked: 0 })
    await world.environment.advance(15_000)
    const after = (await world.tasks()).get('retries/echo/0')!
    expect(after.watermark).toBe(1004)
    expect(after.health?.heldBy).toBeUndefined()
    expect(after.counts).toMatchObject({ processed: 5 })
  })

  it('is no late record because it had to wait', async () => {
    const late: boolean[] = []
    const stage = processor({
      name: 'echo',
      from: words,
      failure: { retries: 3 },
      process(record) {
        late.push(record.late)
        if (record.key === 'a' && late.length < 8) throw new Error('not now')
      }
    })
    const { counts } = await drive(pipeline('late', [stage]), {
      inputs: { words: ['a1', 'b2', 'b3', 'b4', 'b5', 'a6'].map(entry) }
    })
    expect(late).not.toContain(true)
    expect(counts['echo']).toMatchObject({ processed: 6, late: 0 })
  })

  it('goes on waiting after a restart, no shorter, and with the attempts it had', async () => {
    const { app, calls } = echo(patient, value => value === 'a1' && new Error('never'))
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(words)
    await client.admin.create(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(['a1', 'a2', 'b3'].map(entry)))
    for (let restarts = 0; restarts < 5; restarts++) {
      const worker = world.worker()
      void worker.run(app, { handleSignals: false, sessionTimeout: 1_000 }).catch(() => {})
      await world.environment.advance(4_000)
      worker.kill()
      await world.environment.turn()
    }
    // 20 seconds of waits between 5 and 10: neither as often as it was started, nor never.
    const tried = calls.filter(call => call === 'a1').length
    expect(tried).toBeGreaterThanOrEqual(2)
    expect(tried).toBeLessThanOrEqual(4)
    void world
      .worker()
      .run(app, { handleSignals: false, sessionTimeout: 1_000 })
      .catch(() => {})
    await world.environment.advance(60_000)
    expect(calls.filter(call => call === 'a1').length).toBe(4)
    expect(valuesOf(await world.records(echoes))).toEqual(['b3 1', 'a2 1'])
    expect(await world.parked(words)).toMatchObject([{ attempts: 4, origin: 'words/0/0' }])
  })

  it.each(['store', 'broker'] as const)(
    'has one effect, wherever the worker dies (commits in the %s)',
    async commitIn => {
      const { app } = echo(
        { retries: 9, backoff: { first: 50, most: 200 } },
        (_, attempt) => attempt % 3 !== 0 && new Error('no')
      )
      const values = Array.from({ length: 12 }, (_, index) => `${'abc'[index % 3]}${index}`)
      const { outputs, parked, counts } = await drive(app, {
        commitIn,
        inputs: { words: values.flatMap(value => [entry(value), crash()]) }
      })
      const byKey = Map.groupBy(outputs['echoes']!, ({ key }) => key as string)
      for (const key of 'abc')
        expect(valuesOf(byKey.get(key))).toEqual(
          values.filter(value => value[0] === key).map((value, index) => `${value} ${index + 1}`)
        )
      expect(parked).toEqual([])
      expect(counts['echo']).toMatchObject({ processed: 12 })
    }
  )

  it('comes again where a commit holds positions alone, and nothing behind it is passed', async () => {
    const seen: string[] = []
    const stage = processor({
      name: 'echo',
      from: words,
      to: echoes,
      failure: patient,
      process({ key, value }) {
        seen.push(value)
        if (value === 'a2' && seen.length < 6) throw new Error('not now')
        return { key, value }
      }
    })
    const app = pipeline('positions', [stage])
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(words)
    await client.admin.create(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(['b1', 'a2', 'b3', 'a4'].map(entry)))
    const options = { handleSignals: false, guarantee: 'at-least-once', sessionTimeout: 1_000 } as const
    const first = world.worker()
    void first.run(app, options).catch(() => {})
    await world.environment.advance(3_000)
    first.kill()
    await world.environment.turn()
    expect(seen).toEqual(['b1', 'a2', 'b3'])
    void world
      .worker()
      .run(app, options)
      .catch(() => {})
    await world.environment.advance(30_000)
    expect(seen).toEqual(['b1', 'a2', 'b3', 'a2', 'b3', 'a2', 'a4'])
  })

  it('is bounded in number: then the partition waits, and nothing is lost', async () => {
    let down = true
    const values = Array.from({ length: 2_500 }, (_, index) => `k${index}`)
    const stage = processor({
      name: 'echo',
      from: words,
      to: echoes,
      failure: { retries: Infinity, backoff: { first: 1_000, most: 1_000 } },
      process({ key, value }) {
        if (down) throw new Error('down')
        return { key, value }
      }
    })
    const world = await begun(pipeline('bounded', [stage]), values)
    await world.environment.advance(5_000)
    const { health } = (await world.tasks()).get('bounded/echo/0')!
    expect(health!.pending).toBeGreaterThanOrEqual(1_000)
    expect(world.written('echoes')).toBe(0)
    down = false
    await world.environment.advance(10_000)
    expect(valuesOf(await world.records(echoes))).toEqual(values)
  })
})

describe('a record that is given up', () => {
  it('is parked at once when it is poison', async () => {
    const { app, calls } = echo({}, value => value === 'a1' && new PoisonError('no such account'))
    const { parked, outputs } = await drive(app, { inputs: { words: ['a1', 'a2'].map(entry) } })
    expect(calls).toEqual(['a1', 'a2'])
    expect(parked).toMatchObject([{ attempts: 1, error: 'no such account', code: 'handler' }])
    expect(valuesOf(outputs['echoes'])).toEqual(['a2 1'])
  })

  it('lets those behind it go on, in their order', async () => {
    const { app } = echo(
      { retries: 1, backoff: { first: 10, most: 10 } },
      value => (value === 'a1' || value === 'a3') && new Error('never')
    )
    const { parked, outputs } = await drive(app, { inputs: { words: ['a1', 'a2', 'a3', 'a4'].map(entry) } })
    expect(valuesOf(outputs['echoes'])).toEqual(['a2 1', 'a4 2'])
    expect(parked.map(({ origin, attempts }) => [origin, attempts])).toEqual([
      ['words/0/0', 2],
      ['words/0/2', 2]
    ])
  })

  it('tells why, with its causes and where, and no secret', async () => {
    const failing = (): Error => {
      const cause = new Error(
        'connect postgres://app:hunter2@db/orders: password="hunter2" refused, Bearer abcdefghijkl'
      )
      return new PoisonError('order 7 was not stored', { cause })
    }
    const { app } = echo({}, value => value === 'a1' && failing())
    const { parked } = await drive(app, { inputs: { words: [entry('a1')] }, now: 1_700_000_000_000 })
    const header = (name: string): string => headerText(parked[0]!.raw.headers, name)!
    expect(parked[0]!.error).toContain('order 7 was not stored; caused by: connect postgres://***@db/orders')
    expect(header(parkedHeaders.stack)).toMatch(/^at .*failing/)
    expect(header(parkedHeaders.stack).length).toBeLessThanOrEqual(1024)
    expect(Number(header(parkedHeaders.at))).toBeGreaterThanOrEqual(1_700_000_000_000)
    for (const value of Object.values(parked[0]!.raw.headers)) {
      expect(Buffer.from(value).toString()).not.toContain('hunter2')
      expect(Buffer.from(value).toString()).not.toContain('abcdefghijkl')
    }
  })

  it('has bounded headers, whatever was thrown', async () => {
    const { app } = echo({}, value => value === 'a1' && new PoisonError('ä'.repeat(100_000)))
    const { parked } = await drive(app, { inputs: { words: [entry('a1')] } })
    expect(parked.length).toBe(1)
    for (const value of Object.values(parked[0]!.raw.headers)) expect(value.byteLength).toBeLessThanOrEqual(1024)
    expect(parked[0]!.error).toMatch(/^ä+$/)
  })
})

describe('a fatal error', () => {
  it('ends the run at once, and the record counts as not processed', async () => {
    let revoked = true
    const { app, calls } = echo(
      { retries: 5 },
      value => revoked && value === 'a2' && new FatalError('the key was revoked')
    )
    const world = new World()
    const client = await world.connect('writer')
    await client.admin.create(words)
    await client.admin.create(echoes)
    const producer = await client.producer(words)
    await world.environment.run(producer.sendAll(['a1', 'a2', 'a3'].map(entry)))
    await expect(world.run(app)).rejects.toMatchObject({
      code: 'handler',
      message: expect.stringContaining("task 'retries/echo/0' met a fatal error on the record words/0 at 1"),
      cause: { message: 'the key was revoked' }
    })
    expect(calls).toEqual(['a1', 'a2'])
    revoked = false
    void world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
    await world.environment.advance(12_000)
    expect(valuesOf(await world.records(echoes))).toEqual(['a1 1', 'a2 2', 'a3 3'])
    expect(await world.parked(words)).toEqual([])
  })
})

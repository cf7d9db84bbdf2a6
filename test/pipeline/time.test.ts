import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it } from 'vitest'
import { json, keyed, number, pipeline, processor, sink, source, text, topic } from '../../src/index.ts'
import type { Codec } from '../../src/core/codec.ts'
import type { SchemaId } from '../../src/core/registry.ts'
import { avro, memoryRegistry } from '../../src/schema/index.ts'
import { crash, drive } from '../../src/testing/index.ts'
import { World } from './world.ts'

const start = Date.UTC(2026, 0, 1)
const events = topic('events', { key: text, value: json<{ at: number }>(), eventTime: event => event.at, lateness: 10 })
const lines = topic('lines', { key: text, value: text })
const at = (offset: number, key = 'k'): { key: string; value: { at: number } } => ({
  key,
  value: { at: start + offset }
})
const valuesOf = (records: readonly { value: unknown }[] | undefined): unknown[] =>
  (records ?? []).map(record => record.value)

describe('timers', () => {
  const counting = processor({
    name: 'counting',
    from: events,
    to: lines,
    state: { count: keyed(number, 0) },
    process({ eventTime }, { state, timers }) {
      const window = Math.floor((eventTime - start) / 100)
      state.count.set(state.count.get() + 1)
      timers.at(start + (window + 1) * 100, `window ${window}`)
    },
    onTimer({ key, name, time }, { state, watermark, idempotencyKey }) {
      expect(watermark).toBeGreaterThanOrEqual(time)
      expect(idempotencyKey).toContain(`/timer/${time}/`)
      return { key, value: `${name}: ${state.count.get()}` }
    }
  })
  const input = [at(5), at(20), at(90), at(130), at(210, 'other'), at(260), at(390)]

  it('fire when the watermark has reached them, earliest first, with the state of their key', async () => {
    const { outputs } = await drive(pipeline('windows', [counting]), { inputs: { events: input } })
    // A stamp carries the watermark of what came before its record: a window closes behind the next record, not before it.
    expect(valuesOf(outputs['lines'])).toEqual([
      'window 0: 4',
      'window 1: 5',
      'window 2: 6',
      'window 2: 1',
      'window 3: 6'
    ])
    expect(outputs['lines']!.map(record => record.eventTime - start)).toEqual([100, 200, 300, 300, 400])
    expect(outputs['lines']!.every(record => !record.late)).toBe(true)
  })

  it('fire once each, whatever dies when', async () => {
    const expected = valuesOf(
      (await drive(pipeline('windows', [counting]), { inputs: { events: input } })).outputs['lines']
    )
    for (let position = 0; position <= input.length; position++)
      for (const commitIn of ['store', 'broker'] as const) {
        const crashing = [...input.slice(0, position), crash(), ...input.slice(position)]
        const { outputs, crashes } = await drive(pipeline('windows', [counting]), {
          inputs: { events: crashing },
          commitIn
        })
        expect(crashes).toBe(1)
        expect(valuesOf(outputs['lines']), `crash at ${position}`).toEqual(expected)
      }
  })

  it('can be cancelled, set again, and set twice is once', async () => {
    const stage = processor({
      name: 'cancels',
      from: events,
      to: lines,
      process({ value }, { timers }) {
        if (value.at === start) {
          timers.at(start + 50, 'a')
          timers.at(start + 50, 'a')
          timers.at(start + 50, 'b')
          timers.at(start + 60.9, 'c')
        } else timers.cancel(start + 50, 'b')
      },
      onTimer: ({ key, name, time }) => ({ key, value: `${name} ${time - start}` })
    })
    const { outputs } = await drive(pipeline('cancels', [stage]), { inputs: { events: [at(0), at(10), at(100)] } })
    expect(valuesOf(outputs['lines'])).toEqual(['a 50', 'c 60'])
  })

  it('set for the past fire right behind their record, also at the end of time', async () => {
    const stage = processor({
      name: 'past',
      from: events,
      to: lines,
      process({ key, value }, { timers }) {
        timers.at(start - 1_000, `${value.at - start}`)
        return { key, value: `${value.at - start}` }
      },
      onTimer({ key, name }, { timers, watermark }) {
        if (watermark === Infinity && name !== 'again') timers.at(start - 999, 'again')
        return { key, value: `timer ${name}` }
      }
    })
    const { outputs } = await drive(pipeline('past', [stage]), { inputs: { events: [at(100), at(200)] } })
    expect(valuesOf(outputs['lines']).filter(line => line !== 'timer 100')).toEqual(['100', '200', 'timer 200'])
  })

  it('are restored with keys of an older schema, whose id nothing else has asked for', async () => {
    const registry = memoryRegistry()
    const older = avro({ type: 'record', name: 'Key', fields: [{ name: 'id', type: 'string' }] })
    const newer = avro({
      type: 'record',
      name: 'Key',
      fields: [
        { name: 'id', type: 'string' },
        { name: 'region', type: 'string', default: 'eu' }
      ]
    })
    const fetched: unknown[] = []
    const watched = {
      ...registry,
      byId: async (id: SchemaId) => {
        fetched.push(id)
        return registry.byId(id)
      }
    }
    // Others write with the older schema, all but one.
    const key: Codec<{ id: string; region: string }> = {
      ...newer,
      bind: async context => {
        const theirs = await older.bind!({ ...context, topic: 'events' })
        const ours = await newer.bind!({ ...context, topic: 'events' })
        return { ...ours, encode: value => (value.region === 'us' ? ours.encode(value) : theirs.encode(value)) }
      }
    }
    const keyedEvents = topic('events', {
      key,
      value: json<{ at: number }>(),
      eventTime: event => event.at,
      lateness: 10
    })
    const stage = processor({
      name: 'restored',
      from: keyedEvents,
      to: lines,
      process({ value }, { timers }) {
        if (value.at === start) timers.at(start + 50, 'a')
      },
      onTimer: ({ key: { id, region }, name }) => ({ key: 'k', value: `${name} ${id} ${region}` })
    })
    const entry = (offset: number, region: string): unknown => ({
      key: { id: 'x', region },
      value: { at: start + offset }
    })
    const { outputs, crashes } = await drive(pipeline('restored', [stage]), {
      inputs: { events: [entry(0, 'eu'), entry(1, 'us'), entry(2, 'us'), crash(), entry(100, 'us')] as never },
      registry: watched,
      commitRecords: 1
    })
    expect(crashes).toBe(1)
    expect(valuesOf(outputs['lines'])).toEqual(['a x eu'])
    // In the first life for the record, in the second for the timer.
    expect(fetched).toEqual([1, 1])
  })

  it('by the thousand are committed in pieces, and a crash between them loses and repeats none', async () => {
    const fired: number[] = []
    const many = processor({
      name: 'many',
      from: events,
      to: lines,
      process: (_, { timers }) => {
        for (let index = 0; index < 5_000; index++) timers.at(start + 1_000 + index, `${index}`)
      },
      onTimer: ({ key, name }) => {
        fired.push(Number(name))
        return { key, value: name }
      }
    })
    const commits: number[] = []
    const count = (commit: unknown): void => {
      const { task, outputs } = commit as { task: string; outputs: number }
      if (task.startsWith('many/')) commits.push(outputs)
    }
    subscribe('tidemark:commit', count)
    const { outputs } = await drive(pipeline('many', [many]), { inputs: { events: [at(0)] }, commitRecords: 500 })
    unsubscribe('tidemark:commit', count)
    expect(valuesOf(outputs['lines'])).toEqual(Array.from({ length: 5_000 }, (_, index) => `${index}`))
    expect(Math.max(...commits)).toBeLessThanOrEqual(600)
  })

  it('held over a commit hold the promise to those downstream', async () => {
    const late: string[] = []
    const many = processor({
      name: 'many',
      from: events,
      to: lines,
      process: (_, { timers }) => {
        for (let index = 0; index < 300; index++) timers.at(start + 1_000 + index, `${index}`)
      },
      onTimer: ({ key, name }) => ({ key, value: name })
    })
    const check = processor({
      name: 'check',
      from: lines,
      process: record => {
        if (record.late) late.push(record.value)
      }
    })
    const { counts } = await drive(pipeline('held', [many, check]), {
      inputs: { events: [at(0), at(5_000)] },
      commitRecords: 20,
      commitInterval: 5
    })
    expect(late).toEqual([])
    expect(counts['check']).toMatchObject({ processed: 300, late: 0 })
  })

  it('that fail are tried again as the policy says, without their outputs and state; then the run stops', async () => {
    let failures = 0
    const flaky = (until: number, retries: number): Parameters<typeof pipeline>[1][0] =>
      processor({
        name: 'flaky',
        from: events,
        to: lines,
        failure: { retries },
        state: { count: keyed(number, 0) },
        process: (_, { timers }) => timers.at(start + 50),
        async *onTimer({ key }, { state }) {
          state.count.set(state.count.get() + 1)
          yield { key, value: `${state.count.get()}` }
          if (++failures < until) throw new Error('not yet')
        }
      })
    const { outputs } = await drive(pipeline('flaky', [flaky(3, 5)]), { inputs: { events: [at(0)] } })
    expect(valuesOf(outputs['lines'])).toEqual(['1'])
    failures = 0
    await expect(drive(pipeline('flaky', [flaky(99, 2)]), { inputs: { events: [at(0)] } })).rejects.toMatchObject({
      code: 'handler',
      message: expect.stringContaining("task 'flaky/flaky/0' failed 3 times on the timer ''")
    })
  })

  it('are refused without a key and at times that are none', async () => {
    const unkeyed = topic('unkeyed', { value: text })
    const bad = processor({
      name: 'bad',
      from: unkeyed,
      process: ({ value }, { timers }) => timers.at(value === 'nan' ? Number.NaN : 5)
    })
    const { parked } = await drive(pipeline('bad', [bad]), {
      inputs: {
        unkeyed: [
          { key: null, value: 'x' },
          { key: Buffer.from('k'), value: 'nan' }
        ]
      }
    })
    expect(parked.map(({ error }) => error)).toEqual([
      'a timer was set for a record without a key: give the topic a key codec and send keyed records',
      'a timer must be set for a time in milliseconds, got NaN'
    ])
  })
})

describe('onWatermark', () => {
  it('is told of every rise, in order, behind the timers that are due, and of the end', async () => {
    const told: string[] = []
    const stage = processor({
      name: 'told',
      from: events,
      to: lines,
      process: (_, { timers }) => timers.at(start + 15, 't'),
      onTimer: ({ name }) => void told.push(`timer ${name}`),
      onWatermark(watermark) {
        told.push(`${watermark === Infinity ? 'end' : watermark - start}`)
        return [{ key: 'w', value: `${watermark === Infinity ? 'end' : watermark - start}` }]
      }
    })
    const { outputs } = await drive(pipeline('told', [stage]), {
      inputs: { events: [at(0), at(5), at(40), at(70)] },
      commitInterval: 1
    })
    const rises = told.filter(line => !line.startsWith('timer'))
    expect(rises.at(-1)).toBe('end')
    const times = rises.slice(0, -1).map(Number)
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b))
    const timer = told.indexOf('timer t')
    expect(told.filter(line => line.startsWith('timer')).length).toBe(1)
    expect(told.slice(0, timer).every(line => Number(line) < 15)).toBe(true)
    expect(Number(told[timer + 1]!.replace('end', 'Infinity'))).toBeGreaterThanOrEqual(15)
    expect(valuesOf(outputs['lines'])).toEqual(rises)
  })
})

describe('the watermark', () => {
  it('reaches the end through three stages, and run resolves', async () => {
    const world = new World()
    const names = ['first', 'second', 'third'] as const
    const topics = names.map(name =>
      topic(name, { key: text, value: json<{ at: number }>(), eventTime: value => value.at, partitions: 3 })
    )
    const ends: string[] = []
    const hop = (name: string, from: number, to: number): ReturnType<typeof processor> =>
      processor({
        name,
        from: topics[from]!,
        to: topics[to]!,
        process: ({ key, value, late }) => {
          expect(late).toBe(false)
          return { key, value }
        },
        onWatermark: watermark => {
          if (watermark === Infinity) ends.push(name)
        }
      })
    const app = pipeline('hops', [
      source({
        name: 'src',
        to: topics[0]!,
        *run() {
          for (let n = 0; n < 100; n++) yield { key: `k${n % 7}`, value: { at: start + n } }
        }
      }),
      hop('one', 0, 1),
      hop('two', 1, 2),
      sink({
        name: 'out',
        from: topics[2]!,
        write: records => {
          expect(records.every(record => !record.late)).toBe(true)
        }
      })
    ])
    await world.run(app)
    expect(ends.filter(name => name === 'one').length).toBe(3)
    expect(ends.filter(name => name === 'two').length).toBe(3)
    expect(await world.counts('out')).toMatchObject({ processed: 100, late: 0, lost: 0 })
    for (const [, vitals] of await world.tasks())
      if (vitals.task.startsWith('hops/')) expect(vitals.state, vitals.task).toBe('closing')
  })

  it('is not held by a partition that nobody writes to', async () => {
    const world = new World()
    const wide = topic('wide', { key: text, value: number, lateness: 0, partitions: 8 })
    let stop!: () => void
    const endless = source({
      name: 'endless',
      to: wide,
      async *run() {
        for (let n = 0; n < 50; n++) yield { key: 'the same', value: n, eventTime: start + n }
        await new Promise<void>(resolve => (stop = resolve))
      }
    })
    const watermarks = new Map<string, number>()
    const watch = processor({
      name: 'watch',
      from: wide,
      process: () => {},
      onWatermark: (watermark, { task }) => void watermarks.set(task, watermark)
    })
    const abort = new AbortController()
    const running = world
      .worker()
      .run(pipeline('idle', [endless, watch]), { handleSignals: false, signal: abort.signal })
    await world.environment.advance(5_000)
    expect(watermarks.size).toBe(8)
    for (const [task, watermark] of watermarks) expect(watermark, task).toBe(start + 49)
    abort.abort()
    stop()
    await world.environment.run(running)
  })

  it('flags what comes behind it as late, counts it, and hands it over all the same', async () => {
    const seen: [number, boolean][] = []
    const stage = processor({
      name: 'seen',
      from: events,
      process: ({ eventTime, late }) => void seen.push([eventTime - start, late])
    })
    const inputs = { events: [at(100), at(95), at(80), { watermark: start + 200 }, at(150), at(205)] }
    const { counts } = await drive(pipeline('late', [stage]), { inputs })
    expect(seen).toEqual([
      [100, false],
      [95, false],
      [80, true],
      [150, true],
      [205, false]
    ])
    expect(counts['seen']).toMatchObject({ processed: 5, late: 2 })
  })

  it('rises by claims of a source that has nothing to say', async () => {
    const seen: number[] = []
    const stage = processor({
      name: 'claims',
      from: events,
      process: () => {},
      onWatermark: watermark => void seen.push(watermark - start)
    })
    await drive(pipeline('claims', [stage]), {
      inputs: { events: [{ watermark: start + 5.7 }, at(100), { watermark: start + 95 }, { watermark: start + 7 }] },
      commitInterval: 1
    })
    expect(seen.at(-1)).toBe(Infinity)
    for (const time of seen.slice(0, -1)) expect([5, 90, 95]).toContain(time)
  })

  it('of two inputs is the lower one', async () => {
    const lefts = topic('lefts', { key: text, value: number })
    const rights = topic('rights', { key: text, value: number })
    const risen: number[] = []
    const join = processor({
      name: 'join',
      from: [lefts, rights],
      process: () => {},
      onWatermark: watermark => void risen.push(watermark - start)
    })
    await drive(pipeline('join', [join]), {
      inputs: { lefts: [{ watermark: start + 100 }], rights: [{ watermark: start + 10 }, { watermark: start + 20 }] },
      commitInterval: 1
    })
    expect(risen.filter(time => time !== Infinity).every(time => time <= 100)).toBe(true)
    expect(risen.at(-1)).toBe(Infinity)
  })
})

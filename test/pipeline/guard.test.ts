import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import {
  headerText,
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  when,
  withheldHeaders
} from '../../src/index.ts'
import type { Limits, Timeliness } from '../../src/index.ts'
import { drive } from '../../src/testing/index.ts'
import { World } from './world.ts'

const second = 1_000
const ticks = topic('ticks', { key: text, value: number, partitions: 1 })
const priced = topic('priced', { key: text, value: number, partitions: 1 })
const signals = topic('signals', { key: text, value: number, partitions: 1 })
const withheld = topic('withheld', { key: text, value: number, partitions: 1 })

const well: Timeliness = {
  watermark: 1_000,
  behind: 100,
  pendingUpstream: 3,
  failureRate: 0.001,
  lateRate: 0,
  late: 0,
  parked: 0,
  slowest: undefined,
  troubles: [],
  upstream: {},
  stale: [],
  exact: true
}

describe('what is timely', () => {
  it.each<[string, Limits, Partial<Timeliness>]>([
    ['a watermark that is behind', { behind: '5s' }, { behind: 5_001 }],
    ['a watermark that nobody knows', { behind: '1d' }, { behind: Infinity }],
    ['a stage that fails', { failureRate: 0.01 }, { failureRate: 0.02 }],
    ['a stage that is late', { lateRate: 0 }, { lateRate: 0.001 }],
    ['a backlog', { pending: 10 }, { pendingUpstream: 11 }],
    ['a silent stage', { silent: 0 }, { stale: ['a/b'] }],
    ['trouble', { troubles: ['skewed'] }, { troubles: [{ stage: 'a/b', cause: 'skewed', since: 1, hops: 1 }] }],
    ['a guess', { exact: true }, { exact: false }]
  ])('is not %s', (_, limits, change) => {
    const guard = when(limits)
    expect(guard.judge(well)).toBeUndefined()
    expect(guard.judge({ ...well, ...change })).toEqual(expect.any(String))
    expect(when({}).judge({ ...well, ...change })).toBeUndefined()
  })

  it('is said in limits that can be', () => {
    expect(() => when({ behind: 'soon' as '5s' })).toThrow("such as '5s'")
    expect(() => when({ behind: -1 })).toThrow('milliseconds')
    expect(() => when({ failureRate: 5 })).toThrow('from 0 to 1')
    expect(() => when({ pending: NaN })).toThrow('0 or more')
    expect(() => when({ troubles: ['lazy' as 'slow'] })).toThrow('troubles are')
  })
})

/** A tick every 50 ms; `price` is slow while it is told to be. The guard stands before a sink or a processor. */
async function run(kind: 'processor' | 'batches' | 'sink', forMs: number) {
  const world = new World({ seed: 11 })
  const { environment } = world
  for (const { name } of [ticks, priced, signals, withheld]) world.broker.createTopic({ topic: name, partitions: 1 })
  let slow = false
  const feed = source({
    name: 'feed',
    to: ticks,
    async *run({ resume, signal }) {
      for (let tick = Number(resume ?? 0); !signal.aborted; tick++) {
        yield { key: 'k', value: tick, eventTime: environment.now(), cursor: tick + 1 }
        await sleep(environment, 50, signal).catch(() => {})
      }
    }
  })
  const price = processor({
    name: 'price',
    from: ticks,
    to: priced,
    async process({ key, value }) {
      if (slow) await sleep(environment, 400)
      return { key, value, headers: { origin: 'feed' } }
    }
  })
  const guard = when({ behind: '2s' }, { otherwise: withheld })
  const decided: number[] = []
  const decide =
    kind === 'processor'
      ? processor({ name: 'decide', from: priced, to: signals, guard, process: ({ key, value }) => ({ key, value }) })
      : kind === 'batches'
        ? processor({
            name: 'decide',
            from: priced,
            to: signals,
            guard,
            processBatch: records => records.map(({ key, value }) => ({ key, value }))
          })
        : sink({
            name: 'decide',
            from: priced,
            guard,
            write: records => void decided.push(...records.map(r => r.value))
          })
  const stop = new AbortController()
  const running = [feed, price, decide].map(stage =>
    world.worker().run(pipeline(`only-${stage.name}`, [stage]), { handleSignals: false, signal: stop.signal })
  )
  await environment.advance(10 * second)
  slow = true
  await environment.advance(forMs)
  slow = false
  await environment.advance(60 * second)
  stop.abort()
  await environment.run(Promise.allSettled(running))
  if (kind !== 'sink') decided.push(...(await world.records(signals)).map(({ value }) => value as number))
  return { world, decided, aside: await world.records(withheld), passed: await world.records(priced) }
}

describe.each(['processor', 'batches', 'sink'] as const)('a guard before a %s', kind => {
  it('lets the stage decide on timely records only; the others go aside as they are, with the reason', async () => {
    const { decided, aside, passed } = await run(kind, 20 * second)
    const seen = [...decided, ...aside.map(({ value }) => value as number)].sort((left, right) => left - right)
    // All were stopped at once: the last ones may be on their way.
    expect(seen).toEqual(passed.slice(0, seen.length).map(({ value }) => value))
    expect(seen.length).toBeGreaterThan(passed.length - 20)
    expect(decided.length).toBeGreaterThan(150)
    expect(aside.length).toBeGreaterThan(30)
    const texts = aside.map(({ headers }) => [
      headerText(headers, withheldHeaders.reason),
      headerText(headers, withheldHeaders.culprit),
      headerText(headers, 'origin')
    ])
    expect(texts.some(([, culprit]) => culprit === 'only-price/price: slow')).toBe(true)
    for (const [reason, , origin] of texts) {
      expect(reason).toMatch(/^the watermark is (not known yet|[\d.]+ s behind)/)
      expect(origin).toBe('feed')
    }
  })
})

describe('a guard', () => {
  const never = { pending: -0, failureRate: 0, behind: 0 } satisfies Limits
  const items = [1, 2, 3].map(value => ({ key: 'k', value, eventTime: value }))

  it('counts what it withholds as expired where nobody takes it', async () => {
    const decide = processor({
      name: 'decide',
      from: priced,
      to: signals,
      guard: when(never),
      process: ({ key, value }) => ({ key, value })
    })
    const { outputs, counts } = await drive(pipeline('guarded', [decide]), { inputs: { priced: items } })
    expect(outputs['signals']).toEqual([])
    expect(counts['decide']).toMatchObject({ processed: 3, expired: 3, emitted: 0 })
  })

  it('leaves entries that name no topic to the one output of the stage', async () => {
    const decide = processor({
      name: 'decide',
      from: priced,
      to: signals,
      guard: when({}, { otherwise: withheld }),
      process: ({ key, value }) => ({ key, value })
    })
    const { outputs } = await drive(pipeline('guarded', [decide]), { inputs: { priced: items } })
    expect(outputs['signals']!.map(({ value }) => value)).toEqual([1, 2, 3])
    expect(outputs['withheld']).toEqual([])
  })

  it('has a topic of its own', () => {
    const guard = when({}, { otherwise: priced })
    expect(() => processor({ name: 'odd', from: priced, guard, process: () => undefined })).toThrow(
      'another of its topics'
    )
  })
})

/** Windows in whole pipelines: on a broker, with producers, commits, crashes. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import {
  aggregate,
  hopping,
  json,
  number,
  pipeline,
  session,
  sink,
  source,
  StreamError,
  text,
  topic,
  tumbling,
  type Pane,
  type Pipeline,
  type Window,
  type Windowing
} from '../../src/index.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { crash, drive, type DriveItem } from '../../src/testing/index.ts'
import { runThroughChaos } from '../pipeline/chaos.ts'
import { dice, seeds, World } from '../pipeline/world.ts'

const start = Date.UTC(2026, 0, 1)
interface Sum extends Window {
  readonly timing: Pane<string, number>['timing']
  readonly sum: number
}
const amounts = topic('amounts', { key: text, value: number, lateness: 20 })
const sums = topic('sums', { key: text, value: json<Sum>() })
const days = topic('days', { key: text, value: json<Sum>() })
const lates = topic('lates', { key: text, value: number })

const adding = {
  accumulator: number,
  init: () => 0,
  add: (sum: number, { value }: { value: number }) => sum + value,
  result: ({ key, value, window, timing }: Pane<string, number>) => ({ key, value: { ...window, timing, sum: value } })
}
const at = (offset: number, value = 1, key = 'k'): DriveItem => ({ key, value, eventTime: start + offset })
const shown = (records: readonly { value: Sum; late: boolean; eventTime: number }[] | undefined): unknown[] =>
  (records ?? []).map(({ value, late, eventTime }) => {
    expect([eventTime, late]).toEqual([value.end - 1, value.timing === 'late'])
    return [value.start - start, value.end - start, value.timing, value.sum]
  })

describe('windows in a pipeline', () => {
  // A record carries the watermark of those before it: behind the second at 250, all is late that is before 230.
  const input = [
    ...[at(5), at(20, 2), at(0, 4), at(90, 8), at(130, 16), at(250, 32), at(250, 512)],
    ...[at(170, 64), at(2, 128), at(390, 256)]
  ]
  const onTime = [
    [0, 100, 'on-time', 15],
    [100, 200, 'on-time', 16],
    [200, 300, 'on-time', 544],
    [300, 400, 'on-time', 256]
  ]

  it('give each result once, whatever dies when', async () => {
    const stage = aggregate({ name: 'adding', from: amounts, to: sums, window: tumbling(100), late: lates, ...adding })
    for (let position = 0; position <= input.length; position++)
      for (const commitIn of ['store', 'broker'] as const) {
        const crashing = [...input.slice(0, position), crash(), ...input.slice(position)]
        const { outputs, crashes, counts } = await drive(pipeline('adding', [stage]), {
          inputs: { amounts: crashing },
          commitIn
        })
        expect(crashes).toBe(1)
        expect(shown(outputs['sums']), `crash at ${position}`).toEqual(onTime)
        expect(outputs['lates']!.map(({ value, eventTime, late }) => [value, eventTime - start, late])).toEqual([
          [64, 170, true],
          [128, 2, true]
        ])
        expect(counts['adding']).toMatchObject({ processed: 10, late: 2, expired: 0, emitted: 6 })
      }
  })

  it('count what is too late where there is no topic for it, and say so', async () => {
    const told: unknown[] = []
    const listen = (event: unknown): void => void told.push(event)
    subscribe('tidemark:record-expired', listen)
    const stage = aggregate({
      name: 'adding',
      from: amounts,
      to: sums,
      window: tumbling(100),
      allowedLateness: 50,
      ...adding
    })
    const { outputs, counts } = await drive(pipeline('adding', [stage]), { inputs: { amounts: input } })
    unsubscribe('tidemark:record-expired', listen)
    expect(shown(outputs['sums'])).toEqual([...onTime.slice(0, 2), [100, 200, 'late', 80], ...onTime.slice(2)])
    expect(counts['adding']).toMatchObject({ processed: 10, late: 2, expired: 1 })
    expect(told).toEqual([
      { task: 'adding/adding/0', topic: 'amounts', partition: 0, position: expect.any(String), behind: 228 }
    ])
  })

  it('one behind the other: a result is in the larger window that it ends, and is not late there', async () => {
    const hours = aggregate({ name: 'hours', from: amounts, to: sums, window: tumbling(100), ...adding })
    const whole = aggregate({
      name: 'days',
      from: sums,
      to: days,
      window: tumbling(400),
      ...adding,
      add: (sum, { value }) => sum + value.sum
    })
    const { outputs, counts } = await drive(pipeline('days', [hours, whole]), {
      inputs: { amounts: Array.from({ length: 120 }, (_, index) => at(index * 10 - (index % 3) * 8)) }
    })
    expect(counts['days']).toMatchObject({ processed: 12, late: 0 })
    expect(shown(outputs['days'])).toEqual([
      [0, 400, 'on-time', 42],
      [400, 800, 'on-time', 39],
      [800, 1200, 'on-time', 39]
    ])
  })

  it('read several topics, and write several', async () => {
    const others = topic('others', { key: text, value: json<{ readonly more: number }>(), lateness: 20 })
    const stage = aggregate({
      name: 'both',
      from: [amounts, others],
      to: [sums, days],
      window: tumbling(100),
      accumulator: number,
      init: () => 0,
      add: (sum, record) => sum + (record.topic === 'amounts' ? record.value : record.value.more),
      result: ({ key, value, window, timing }) => [
        { topic: 'sums', key, value: { ...window, timing, sum: value } },
        { topic: 'days', key, value: { ...window, timing, sum: -value }, eventTime: window.end - 2 }
      ]
    })
    const { outputs } = await drive(pipeline('both', [stage]), {
      inputs: { amounts: [at(10), at(110, 2)], others: [{ key: 'k', value: { more: 10 }, eventTime: start + 50 }] }
    })
    expect(shown(outputs['sums'])).toEqual([
      [0, 100, 'on-time', 11],
      [100, 200, 'on-time', 2]
    ])
    expect(outputs['days']!.map(({ value, eventTime }) => [value.sum, eventTime - start])).toEqual([
      [-11, 98],
      [-2, 198]
    ])
  })

  it('park a record whose `add` throws, and leave it out', async () => {
    const stage = aggregate({
      name: 'picky',
      from: amounts,
      to: sums,
      window: hopping(100, { every: 50 }),
      failure: { retries: 0 },
      ...adding,
      add(sum, { value }) {
        if (value === 13) throw new Error('unlucky')
        return sum + value
      }
    })
    const { outputs, parked } = await drive(pipeline('picky', [stage]), {
      inputs: { amounts: [at(60), at(70, 13), at(80)] }
    })
    expect(shown(outputs['sums'])).toEqual([
      [0, 100, 'on-time', 2],
      [50, 150, 'on-time', 2]
    ])
    expect(parked.map(({ error }) => error)).toEqual(['unlucky'])
  })

  it.each<[string, () => unknown]>([
    ['a promise', async () => ({ key: 'k', value: {} })],
    ['text', () => 'oops'],
    ['entries that are none', () => [5]]
  ])('refuse results that are %s', async (_, result) => {
    const stage = aggregate({
      name: 'wrong',
      from: amounts,
      to: sums,
      window: tumbling(100),
      failure: { retries: 0 },
      ...adding,
      result: result as never
    })
    await expect(drive(pipeline('wrong', [stage]), { inputs: { amounts: [at(1)] } })).rejects.toThrow(
      /result of aggregate 'wrong' must return entries \(\{ key, value \}\) or nothing, at once, not/
    )
  })
})

describe('windows through chaos', () => {
  const spread = 50
  const count = 60
  const payments = topic('payments', { key: text, value: number, lateness: spread, partitions: 4 })
  const totals = topic('totals', { key: text, value: json<Sum>(), partitions: 2 })
  const kinds: Record<string, Windowing> = {
    tumbling: tumbling(100),
    hopping: hopping(100, { every: 40 }),
    session: session(35)
  }

  const script = (split: string, seed: number): { key: string; value: number; eventTime: number }[] => {
    const random = dice(seed * 31 + split.length)
    return Array.from({ length: count }, (_, index) => ({
      key: `account-${Math.floor(random() * 5)}`,
      value: 1 + Math.floor(random() * 100),
      eventTime: start + index * 20 - Math.floor(random() * spread)
    }))
  }
  const splits = ['left', 'right']

  const app = (world: World, kind: string, seed: number, seen: Set<string>): Pipeline => {
    const random = dice(seed * 13)
    const teller = source({
      name: 'teller',
      to: payments,
      splits: () => splits,
      async *run({ resume, split }) {
        for (const [index, entry] of script(split, seed).entries()) {
          if (index < Number(resume ?? 0)) continue
          yield { ...entry, cursor: index + 1 }
          if (random() < 0.3) await sleep(world.environment, random() * 400)
        }
      }
    })
    const windows = kinds[kind]!
    const options = { name: 'windows', from: payments, to: totals, failure: { retries: 30 }, ...adding } as const
    const add = (sum: number, { value }: { value: number }): number => {
      if (random() < 0.05) throw new Error('not this time')
      return sum + value
    }
    const stage: ProcessorStage =
      windows.kind === 'session'
        ? aggregate({ ...options, add, window: windows, merge: (left, right) => left + right })
        : aggregate({ ...options, add, window: windows })
    const vault = sink({
      name: 'vault',
      from: totals,
      write: records => {
        for (const { late, key } of records) {
          expect(late).toBe(false)
          seen.add(key)
        }
      }
    })
    return pipeline('windows', [teller, stage, vault])
  }

  function expected(kind: string, seed: number): string[] {
    const windows = kinds[kind]!
    const all = splits.flatMap(split => script(split, seed)).sort((left, right) => left.eventTime - right.eventTime)
    const found = new Map<string, number>()
    if (windows.kind === 'session') {
      for (const key of new Set(all.map(entry => entry.key))) {
        let open: { start: number; end: number; sum: number } | undefined
        const close = (): void => void (open && found.set(`${key} ${open.start} ${open.end}`, open.sum))
        for (const { eventTime, value } of all.filter(entry => entry.key === key)) {
          if (!open || eventTime >= open.end) {
            close()
            open = { start: eventTime, end: 0, sum: 0 }
          }
          open = { start: open.start, end: eventTime + windows.gap, sum: open.sum + value }
        }
        close()
      }
    } else
      for (const { key, value, eventTime } of all)
        for (let begin = start - 1_000 + ((1_000 - start) % windows.every); begin <= eventTime; begin += 1)
          if ((begin - windows.offset) % windows.every === 0 && eventTime < begin + windows.size) {
            const id = `${key} ${begin} ${begin + windows.size}`
            found.set(id, (found.get(id) ?? 0) + value)
          }
    return Array.from(found, ([id, sum]) => `${id}: ${sum}`).sort()
  }

  describe.each(Object.keys(kinds))('%s', kind => {
    it.each(seeds(6))('seed %i', { timeout: 60_000 }, async seed => {
      const world = new World({ seed, commitIn: seed % 2 ? 'store' : 'broker' })
      const seen = new Set<string>()
      const done = await runThroughChaos(world, app(world, kind, seed, seen), {
        seed,
        faults: 8,
        workers: 1 + (seed % 3),
        run: { commitInterval: 50, sessionTimeout: 1_000 }
      })
      const records = await world.records(totals)
      const found = records.map(({ key, value }) => `${key} ${value.start} ${value.end}: ${value.sum}`)
      expect(found.sort(), done.join(', ')).toEqual(expected(kind, seed))
      for (const { value, late, eventTime } of records)
        expect([value.timing, late, eventTime]).toEqual(['on-time', false, value.end - 1])
      expect(await world.counts('windows')).toMatchObject({
        processed: splits.length * count,
        late: 0,
        expired: 0,
        lost: 0
      })
    })
  })
})

describe('a definition', () => {
  const good = { name: 'good', from: amounts, to: sums, window: tumbling(100), ...adding }
  const unkeyed = topic('unkeyed', { value: number })
  it.each<[string, () => unknown, RegExp]>([
    ['a size of zero', () => tumbling(0), /tumbling: size must be whole milliseconds, 1 or more, got 0/],
    ['half a millisecond', () => tumbling(0.5), /tumbling: size/],
    [
      'an offset that is no number',
      () => tumbling(10, { offset: Number.NaN }),
      /tumbling: offset must be whole milliseconds, got NaN/
    ],
    [
      'gaps between windows',
      () => hopping(10, { every: 20 }),
      /hopping: every 20 ms a window of 10 ms leaves records between/
    ],
    ['a gap of zero', () => session(0), /session: gap/],
    ['negative lateness', () => aggregate({ ...good, allowedLateness: -1 }), /aggregate 'good': allowedLateness/],
    [
      'endless lateness',
      () => aggregate({ ...good, allowedLateness: Infinity }),
      /allowedLateness must be whole milliseconds/
    ],
    [
      'early after no records',
      () => aggregate({ ...good, early: { count: 0 } }),
      /early.count must be a whole number above 0, got 0/
    ],
    ['early by both', () => aggregate({ ...good, early: { count: 1, every: 1 } as never }), /not by both/],
    ['early every zero ms', () => aggregate({ ...good, early: { every: 0 } }), /early.every/],
    ['sessions without merge', () => aggregate({ ...good, window: session(5) } as never), /sessions need `merge`/],
    [
      'a topic without keys',
      () => aggregate({ ...good, from: unkeyed as never }),
      /topic 'unkeyed' may have records without one/
    ],
    ['late records into results', () => aggregate({ ...good, late: sums as never }), /'sums' is for late records/],
    ['late records into the input', () => aggregate({ ...good, late: amounts }), /'amounts' is for late records/],
    ['a name that is none', () => aggregate({ ...good, name: 'no name' }), /name 'no name'/]
  ])('refuses %s', (_, define, message) => {
    expect(define).toThrow(message)
    try {
      define()
    } catch (error) {
      expect(StreamError.is(error) && error.code).toBe('bad-config')
    }
  })
})

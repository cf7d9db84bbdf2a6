import { describe, expect, it } from 'vitest'
import { json, keyed, number, pipeline, processor, text, topic } from '../../src/index.ts'
import { crash, drive, type DriveItem, type DriveOptions } from '../../src/testing/index.ts'

const start = Date.UTC(2026, 0, 1)
const events = topic('events', { key: text, value: json<{ at: number }>(), eventTime: event => event.at, lateness: 10 })
const lines = topic('lines', { key: text, value: text })

/** Counts per key, and tells the count again a while after; what was silent for longer begins anew. */
const counting = processor({
  name: 'counting',
  from: events,
  to: lines,
  state: { count: keyed(number, 0), recent: keyed(number, 0, { ttl: 700 }) },
  process({ key, eventTime }, { state, timers }) {
    state.count.set(state.count.get() + 1)
    state.recent.set(state.recent.get() + 1)
    timers.at(eventTime + 100)
    return { key, value: `${state.count.get()} ${state.recent.get()}` }
  },
  onTimer({ key, time }, { state }) {
    return { key, value: `at ${time - start}: ${state.count.get()} ${state.recent.get()}` }
  }
})
const app = pipeline('large', [counting])

const input = (records: number, crashes: readonly number[] = []): DriveItem[] =>
  Array.from({ length: records }, (_, index) => {
    const key = `key ${(index * 37) % 97}`
    const item = { key, value: { at: start + index * 5 } }
    return crashes.includes(index) ? [item, crash()] : [item]
  }).flat()

async function run(items: DriveItem[], options: DriveOptions = {}): Promise<{ lines: string[]; crashes: number }> {
  const { outputs, crashes, parked } = await drive(app, { inputs: { events: items }, ...options })
  expect(parked).toEqual([])
  return { crashes, lines: outputs['lines']!.map(({ key, value }) => `${key}: ${value}`) }
}

describe('a state that is larger than its memory', () => {
  it('gives what it would give in memory: records, timers, lifetimes', async () => {
    const whole = await run(input(600))
    const small = await run(input(600), { maxStateBytes: 3_000, commitRecords: 20 })
    expect(small.lines).toEqual(whole.lines)
    // Keys come again after 97 records, 485 ms, and so live on; each was told twice.
    expect(whole.lines).toHaveLength(1_200)
    expect(whole.lines.at(-1)).toMatch(/at 3095: 7 7/)
  })

  it('does so after crashes: recovery reads no more than fits, and the rest when it is needed', async () => {
    const expected = (await run(input(400))).lines
    const { lines, crashes } = await run(input(400, [50, 133, 290]), { maxStateBytes: 2_000, commitRecords: 15 })
    expect(crashes).toBe(3)
    expect(lines.toSorted()).toEqual(expected.toSorted())
  })

  it('is the same where a store gives its state as a whole: there it stays in memory', async () => {
    const expected = (await run(input(200))).lines
    const { lines } = await run(input(200, [80]), { maxStateBytes: 2_000, commitRecords: 15, commitIn: 'broker' })
    expect(lines.toSorted()).toEqual(expected.toSorted())
  })
})

describe('a lifetime in a pipeline', () => {
  it('ends by event time, the same whenever a worker dies', async () => {
    const gap = (items: DriveItem[]): DriveItem[] => [
      ...items,
      { key: 'key 0', value: { at: start + 5_000 } },
      { key: 'key 1', value: { at: start + 5_000 } }
    ]
    const { lines } = await run(gap(input(10)))
    expect(lines.filter(line => line.startsWith('key 0'))).toEqual([
      'key 0: 1 1',
      // What lived until 785 is gone; the timer comes behind the record that moves the watermark past it.
      'key 0: 2 1',
      'key 0: at 100: 2 1',
      'key 0: at 5100: 2 1'
    ])
    const crashed = await run(gap(input(10, [3, 9])), { maxStateBytes: 500, commitRecords: 2 })
    expect(crashed.lines.toSorted()).toEqual(lines.toSorted())
  })
})

import { describe, expect, it } from 'vitest'
import { systemEnvironment } from '../../src/core/environment.ts'
import { MemoryRowReader, MemoryRows } from '../../src/exactly-once/stores/memory-rows.ts'
import { keyed, number, processor, text, topic } from '../../src/index.ts'
import { cutBatch, joinBatches, StateLoader } from '../../src/pipeline/state-loader.ts'
import { TaskRows, TaskState, timerSlot, type StateRow } from '../../src/state/index.ts'

const state = { total: keyed(number, 0), seen: keyed(number, 0, { ttl: 100 }) }
const stage = processor({ name: 's', from: topic('inputs', { key: text, value: text }), state, process: () => {} })
const keys = 5_000
const nameOf = (index: number): string => `key ${String(index).padStart(5, '0')}`

/** Two states of 5,000 keys, 3,000 timers behind them in the order of the slots, and a state that nobody declares any more. */
function filled(): MemoryRows {
  const before = new TaskState({ ...state, other: keyed(number, 0) })
  for (let index = 0; index < keys; index++) {
    before.begin(Buffer.from(nameOf(index)), index)
    for (const handle of Object.values(before.handles)) handle.set(index + 1)
  }
  const rows = new MemoryRows()
  rows.apply(before.changes())
  const timers = Array.from({ length: 3_000 }, (_, index): StateRow => {
    return { slot: timerSlot, key: `${index}|timer|${nameOf(index)}`, value: new Uint8Array(0) }
  })
  rows.apply(timers)
  return rows
}

async function loaded(limit: number): Promise<{ rows: TaskRows; loader: StateLoader; read: () => number }> {
  const stored = filled()
  let read = 0
  const reader = new MemoryRowReader(stored, () => true)
  const counting = {
    find: reader.find.bind(reader),
    page: async (...given: Parameters<typeof reader.page>) => {
      const page = await reader.page(...given)
      read += page.length
      return page
    }
  }
  const rows = new TaskRows(state)
  const take = (page: Iterable<StateRow>): void => rows.load(page, 0)
  const loader = new StateLoader({ stage, rows, environment: systemEnvironment, limit, take })
  await loader.restore(counting)
  return { rows, loader, read: () => read }
}

const valueOf = ({ state: all }: TaskRows, name: string, index: number, time: number): unknown => {
  all.begin(Buffer.from(nameOf(index)), time)
  return all.handles[name]!.get()
}

describe('the state of a task that takes over', () => {
  it('is read whole where it fits, and then nothing is fetched', async () => {
    const { rows, loader } = await loaded(Infinity)
    expect(loader.complete).toBe(true)
    expect(rows.timers.size).toBe(3_000)
    expect([valueOf(rows, 'total', 4_999, 0), valueOf(rows, 'seen', 4_999, 5_098)]).toEqual([5_000, 5_000])
    expect(loader.fetch([Buffer.from('nobody')])).toBeUndefined()
  })

  it('is read as far as it fits, timers to the last one, and the rest when it is asked for', async () => {
    const { rows, loader, read } = await loaded(100_000)
    expect(loader.complete).toBe(false)
    expect(rows.timers.size).toBe(3_000)
    // A page of each state, of the one that nobody declares, and all timers.
    expect(read()).toBeLessThan(15_000)
    const wanted = [4_000, 4_999, 12].map(nameOf)
    await loader.fetch([...wanted.map(name => Buffer.from(name)), Buffer.from('nobody'), null])
    expect(valueOf(rows, 'total', 4_000, 0)).toBe(4_001)
    expect(valueOf(rows, 'seen', 4_999, 5_098)).toBe(5_000)
    expect(valueOf(rows, 'seen', 4_999, 5_099)).toBe(0)
    expect(valueOf(rows, 'total', 12, 0)).toBe(13)
    rows.state.begin(Buffer.from('nobody'), 0)
    expect(rows.state.handles['total']!.get()).toBe(0)
    expect(loader.fetch(wanted.map(name => Buffer.from(name)))).toBeUndefined()
  })

  it('has what a timer needs before it fires', async () => {
    const { rows, loader } = await loaded(1)
    rows.state.evict()
    await loader.fetchDue(2_500)
    expect(rows.timers.due(2_500)).toMatchObject({ time: 0 })
    expect(valueOf(rows, 'total', 0, 0)).toBe(1)
    expect(loader.fetchDue(2_500)).toBeUndefined()
  })

  it('loses what is gone among the rows that are not in memory, too', async () => {
    const { rows, loader } = await loaded(1)
    rows.committed() // lets go of what does not fit
    let now = 0
    const environment = { ...systemEnvironment, monotonic: () => now }
    const sweeping = new StateLoader({ stage, rows, environment, limit: 1, take: () => {} })
    await sweeping.restore(new MemoryRowReader(filled(), () => true))
    const gone = new Set<string>()
    for (let look = 0; look < 8; look++) {
      now += 100
      await sweeping.sweep(3_099)
      rows.state.sweep(3_099)
      for (const { slot, key, value } of rows.state.changes()) if (value === null) gone.add(`${slot} ${key}`)
    }
    expect(gone.size).toBe(3_000)
    expect(gone).toContain(`~ttl/seen ${nameOf(2_999)}`)
    expect(loader.complete).toBe(false)
  })
})

it('a batch is cut where its keys are too many to be fetched at once, and what is left of it is put together again', () => {
  const records = Array.from({ length: 4_500 }, (_, index) => index as never)
  const batch = { records, stamps: records }
  const [first, rest] = cutBatch(batch)
  expect([first.records.length, rest!.records.length]).toEqual([2_000, 2_500])
  expect(joinBatches({ records: records.slice(1_500, 2_000), stamps: [] }, rest)!.records).toEqual(records.slice(1_500))
  expect(joinBatches(undefined, rest)).toBe(rest)
  expect(cutBatch(first)).toEqual([first, undefined])
})

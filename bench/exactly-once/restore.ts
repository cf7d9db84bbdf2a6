import { systemEnvironment } from '../../src/core/environment.ts'
import { commitToken, SqliteStore } from '../../src/exactly-once/index.ts'
import { json, keyed, pipeline, processor, text, topic } from '../../src/index.ts'
import { StateLoader } from '../../src/pipeline/state-loader.ts'
import { TaskRows } from '../../src/state/index.ts'
import { LoopDelay } from '../loop-delay.ts'
import { alone, Clock, spread, type Figure } from '../measure.ts'

const task = { id: 'p/s/0', pipeline: 'p', stage: 's', ordinal: 0 }
interface Total {
  readonly amount: number
  readonly records: number
  readonly name: string
}
const state = { total: keyed(json<Total>()) }
const value = (index: number): Total => ({ amount: index * 0.25, records: index, name: `customer ${index}` })
const keyOf = (index: number): string => `customer-${String((index * 7_919) % 10_000_019).padStart(9, '0')}`

/** A task that takes over reads its state: acquired, its rows read and decoded, all of them in memory. */
export async function restore(name: string, path: string, keys: number, runs: number): Promise<Figure> {
  await fill(path, keys)
  const stage = processor({ name: 's', from: topic('inputs', { key: text, value: text }), state, process: () => {} })
  pipeline('p', [stage])
  const delays: number[] = []
  const figure = await alone(name, runs, async () => {
    const store = await SqliteStore.open(path)
    const rows = new TaskRows(state)
    const [clock, delay] = [new Clock(), new LoopDelay()]
    clock.start()
    delay.start()
    const log = await store.acquire(task)
    const loader = new StateLoader({
      ...{ stage, rows, environment: systemEnvironment, limit: Infinity },
      take: page => rows.load(page, 0)
    })
    await loader.restore(log.state)
    clock.stop(keys)
    delay.stop()
    delays.push(delay.p99)
    assertHolds(rows, keys)
    await store.close()
    return clock.run
  })
  return { ...figure, delay: spread(delays) }
}

async function fill(path: string, keys: number): Promise<void> {
  const store = await SqliteStore.open(path)
  const log = await store.acquire(task)
  const each = 10_000
  for (let from = 0; from < keys; from += each) {
    const rows = Array.from({ length: Math.min(each, keys - from) }, (_, index) => ({
      slot: 'total',
      key: keyOf(from + index),
      value: state.total.codec.encode(value(from + index))
    }))
    const commit = { number: from / each + 1, token: commitToken(systemEnvironment), head: Buffer.from('{}') }
    const outcome = await log.append({ ...commit, state: rows, outputs: [], relayedTo: 0, positions: [] })
    if (outcome !== 'ok') throw new Error('a commit had no effect')
  }
  await store.close()
}

function assertHolds(rows: TaskRows, keys: number): void {
  for (const index of [0, keys >> 1, keys - 1]) {
    rows.state.begin(Buffer.from(keyOf(index)))
    const found = rows.state.handles['total']!.get() as Total | undefined
    if (found?.records !== index) throw new Error(`key ${keyOf(index)} was restored as ${JSON.stringify(found)}`)
  }
}

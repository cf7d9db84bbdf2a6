import { sleep } from '../../src/core/environment.ts'
import {
  connect,
  json,
  keyed,
  pipeline,
  processor,
  sink,
  text,
  topic,
  type Pipeline,
  type Topic
} from '../../src/index.ts'
import type { RunHost } from '../../src/pipeline/index.ts'
import { worldStart, type Machine } from '../core/machine.ts'
import type { Random } from '../core/random.ts'
import type { Observations } from '../shop/observations.ts'

export interface Reading {
  readonly id: string
  readonly at: number
  /** Older than the topic allows: it may be late, by right. */
  readonly tardy?: true
  /** Of an echo: it came late; and too late for its pane. */
  readonly late?: true
  readonly expired?: true
}

export interface Pane {
  readonly window: number
  readonly ids: readonly string[]
}

export interface SensorParts {
  readonly partitions: number
  /** Bound of the disorder, ms. */
  readonly lateness: number
  /** Which share of the readings is older than that. */
  readonly tardiness: number
  readonly random: Random
  readonly seen: Observations
  /** What a broker has confirmed to a sensor. */
  readonly confirmed: Set<string>
  /** The true time, ms since the start of the world. */
  time(): number
  /** The faults are over: nobody is idle any more. */
  isCalm(): boolean
}

export interface SensorTopics {
  readonly readings: Topic<'readings', string, Reading>
  readonly echoes: Topic<'echoes', string, Reading>
  readonly panes: Topic<'panes', string, Pane>
}

export const windowSize: number = 5_000
export const windowOf = (at: number): number => Math.floor(at / windowSize) * windowSize + windowSize

export function sensorTopics({ partitions, lateness }: Pick<SensorParts, 'partitions' | 'lateness'>): SensorTopics {
  return {
    readings: topic('readings', {
      key: text,
      value: json<Reading>(),
      eventTime: reading => reading.at,
      lateness,
      partitions
    }),
    echoes: topic('echoes', { key: text, value: json<Reading>(), partitions: 2 }),
    panes: topic('panes', { key: text, value: json<Pane>(), partitions })
  }
}

/** A process with a plain producer, which may come late, fall silent, and vanish. What it measures happens now. */
export async function runSensor(machine: Machine, host: RunHost, stop: AbortSignal, parts: SensorParts): Promise<void> {
  const { environment } = machine
  const { lateness, tardiness, confirmed, time, isCalm } = parts
  const dice = parts.random.fork(`sensor ${machine.name}`)
  const client = await connect({
    brokers: { default: host.adapterOf('readings') },
    store: await host.openStore(),
    environment,
    variables: {}
  })
  const producer = await client.producer(sensorTopics(parts).readings)
  const most = isCalm() ? 500 : dice.pick([300, 3_000])
  for (let number = 0; !stop.aborted; number++) {
    const idle = !isCalm() && dice.chance(0.05)
    await sleep(environment, idle ? dice.between(0, 20_000) : dice.skewed(5, most), stop).catch(() => {})
    const tardy = dice.chance(tardiness)
    const old = tardy ? lateness + 1 + dice.below(2 * windowSize) : Math.floor(dice.next() * lateness)
    const at = worldStart + Math.floor(time()) - old
    const id = `${machine.name}.${number}`
    const value: Reading = { id, at, ...(tardy && { tardy }) }
    const sent = producer.send({ key: `key-${dice.below(5)}`, value })
    void sent.then(
      () => confirmed.add(id),
      () => {} // it may be there all the same
    )
  }
  await client.close()
}

/** Collects the readings of a window per key; says what it has seen; shows the panes. */
export function gauge(machine: Machine, parts: SensorParts): Pipeline {
  const { readings, echoes, panes } = sensorTopics(parts)
  const { seen } = parts
  const collect = processor({
    name: 'gauge',
    from: readings,
    to: [echoes, panes],
    state: { open: keyed(json<Record<string, readonly string[]>>(), {}) },
    process(record, { state, timers, watermark, task, expire }) {
      const { key, value, eventTime, late } = record
      seen.record(task, record, watermark, value.tardy)
      const window = windowOf(eventTime)
      if (late) {
        // Its pane may have been shown. It is counted, whatever comes of it.
        const expired = window <= watermark
        if (expired) expire()
        return { topic: 'echoes', key, value: { ...value, late, ...(expired && { expired }) } }
      }
      const open = state.open.get()
      state.open.set({ ...open, [window]: [...(open[window] ?? []), value.id] })
      timers.at(window)
      return { topic: 'echoes', key, value }
    },
    onTimer({ key, time }, { state, watermark, task }) {
      seen.timer(task, time, watermark)
      const { [time]: ids, ...open } = state.open.get()
      state.open.set(open)
      return ids && { topic: 'panes', key, value: { window: time, ids } }
    }
  })
  const board = processor({
    name: 'board',
    from: echoes,
    process: (record, { watermark, task }) => seen.record(task, record, watermark, record.value.tardy)
  })
  const wall = sink({
    name: 'wall',
    from: panes,
    write: async () => machine.call('database', 'upsert', () => {})
  })
  return pipeline('gauge', [collect, board, wall])
}

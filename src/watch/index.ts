import { systemEnvironment, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { Variables } from '../core/options.ts'
import { Signal } from '../core/signal.ts'
import { openAdapter, type BrokerConfig } from '../open-adapter.ts'
import type { Snapshot } from './snapshot.ts'
import { readVitals } from './vitals-reader.ts'
import { WatchState } from './watch-state.ts'

export type { Alert, LifeState, Receipt, Snapshot, StageState, TaskState } from './snapshot.ts'
export type { BrokerConfig } from '../open-adapter.ts'
export type { Ailment, Cause, Counts, Holder, Trouble } from '../watermark/index.ts'

export interface WatchOptions {
  /** Ends the watch. So does `break`. */
  readonly signal?: AbortSignal
  /** Time between two snapshots, ms. Default 1,000. When somebody falls silent or gets into trouble, the next one comes at once. */
  readonly every?: number
  /** Stages that should be there, as `pipeline/stage`: they are missed also when nobody has ever heard of them. */
  readonly expect?: readonly string[]
  /** Most tasks and plain producers that are remembered. Default 10,000. */
  readonly most?: number
  /** Time and randomness; for tests. */
  readonly environment?: Environment
  /** Variables that override the brokers, as in `connect`. Default: `process.env`. */
  readonly variables?: Variables
}

/** How often it is looked whether something has happened, ms. */
const lookEvery = 250

/**
 * Follows pipelines from outside, by the vitals of their brokers: how every stage does, who holds which watermark and why, what has
 * become of the records of each span of event time, and who has fallen silent. It asks no task, so it works when all of them are dead.
 *
 * A snapshot comes each second, the newest when it is asked for; nothing queues up. It ends with its signal and goes on through
 * whatever the brokers do. Throws `bad-config`.
 *
 * @param brokers each one that carries vitals: a URL, options or an adapter that nobody else has opened; or several, by name
 * @example
 * for await (const { alerts, troubles } of watch('kafka://localhost:9092', { signal }))
 *   for (const alert of alerts) await page(alert)
 */
export async function* watch(
  brokers: BrokerConfig | Readonly<Record<string, BrokerConfig>>,
  options: WatchOptions = {}
): AsyncGenerator<Snapshot, void, undefined> {
  const {
    environment = systemEnvironment,
    variables = process.env,
    every = 1_000,
    expect = [],
    most = 10_000
  } = options
  for (const [name, value] of Object.entries({ every, most }))
    if (!(value > 0)) throw new StreamError('bad-config', `watch: option '${name}' must be above 0, got ${value}`)
  const moment = (): { now: number; monotonic: number } => ({
    now: environment.now(),
    monotonic: environment.monotonic()
  })
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const state = new WatchState({ most, expect }, moment())
  const ready = new Signal(environment)
  const named = Object.entries(byName(brokers))
  const waiting = new Set(named.map(([name]) => name))
  const readers = named.map(([broker, config]) =>
    readVitals({
      broker,
      environment,
      signal,
      state,
      async open() {
        const adapter = await openAdapter(broker, config, variables)
        await adapter.open(environment)
        return adapter
      },
      ready() {
        waiting.delete(broker)
        if (waiting.size === 0) ready.raise()
      }
    })
  )
  try {
    await ready.wait(3_000, signal).catch(() => {})
    let last = ''
    let due = environment.monotonic()
    while (!signal.aborted) {
      const snapshot = state.snapshot(moment())
      const news = newsOf(snapshot)
      if (environment.monotonic() >= due || news !== last) {
        last = news
        due = environment.monotonic() + every
        yield snapshot
      }
      const left = Math.max(0, due - environment.monotonic())
      await ready.wait(Math.min(left, lookEvery), signal).catch(() => {})
    }
  } finally {
    stop.abort()
    await Promise.all(readers)
  }
}

/** Who is in which trouble, and what is missing. */
function newsOf({ alerts, troubles }: Snapshot): string {
  return JSON.stringify([
    alerts.map(alert =>
      alert.kind === 'short'
        ? [alert.kind, alert.receipt.topic, alert.receipt.stage, alert.receipt.start]
        : [alert.kind, alert.kind === 'unreachable' ? alert.broker : alert.stage]
    ),
    troubles.map(({ stage, cause }) => [stage, cause])
  ])
}

function byName(
  brokers: BrokerConfig | Readonly<Record<string, BrokerConfig>>
): Readonly<Record<string, BrokerConfig>> {
  const one = typeof brokers === 'string' || 'adapter' in brokers || 'specification' in brokers
  return one ? { default: brokers as BrokerConfig } : (brokers as Readonly<Record<string, BrokerConfig>>)
}

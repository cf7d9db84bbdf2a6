import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Diagnostics } from '../core/diagnostics.ts'
import type { Attributes, Meter, Observable, Result } from './api.ts'

type Vitals = Diagnostics['vitals']

/** A task that has not reported for this long is not at work here any more, ms. */
const forgetAfter = 60_000

const counters = {
  processed: 'Records that the handlers have done.',
  emitted: 'Records written.',
  late: 'Records behind the watermark.',
  expired: 'Records that came too late to be of use.',
  parked: 'Records that no attempt could process.',
  duplicates: 'Repeats that were dropped.',
  lost: 'Records that were expected and never came.'
} as const

const gauges: Readonly<Record<string, { unit: string; description: string; of(vitals: Vitals, now: number): number }>> =
  {
    watermark: {
      unit: 'ms',
      description: 'Nothing earlier is still to come, ms since the epoch.',
      of: ({ watermark }) => watermark
    },
    lag: {
      unit: 'ms',
      description: 'How far the watermark is behind the clock.',
      of: ({ watermark }, now) => now - watermark
    },
    backlog: { unit: '{record}', description: 'Records that wait for the task.', of: ({ pending }) => pending },
    failure_rate: {
      unit: '1',
      description: 'Share of the attempts that failed lately.',
      of: ({ failureRate }) => failureRate
    },
    late_rate: { unit: '1', description: 'Share of the records that were late lately.', of: ({ lateRate }) => lateRate }
  }

/**
 * Every task of this process as metrics: what it tells in its vitals, and how long its commits take. They are made of what is told
 * anyway, so they cost nothing per record.
 *
 * @param now the clock, ms since the epoch
 */
export function startMetrics(meter: Meter, now: () => number): () => void {
  const tasks = new Map<string, { readonly vitals: Vitals; readonly heardAt: number }>()
  const stops: (() => void)[] = []
  const each = function* (): Generator<[Vitals, Attributes]> {
    for (const [task, { vitals, heardAt }] of tasks)
      if (now() - heardAt > forgetAfter) tasks.delete(task)
      else yield [vitals, attributesOf(task)]
  }
  const observe = (observable: Observable, look: (result: Result) => void): void => {
    observable.addCallback(look)
    stops.push(() => observable.removeCallback(look))
  }
  for (const [name, { unit, description, of }] of Object.entries(gauges))
    observe(meter.createObservableGauge(`tidemark.task.${name}`, { unit, description }), result => {
      for (const [vitals, attributes] of each()) {
        const value = of(vitals, now())
        if (Number.isFinite(value)) result.observe(value, attributes) // not known yet, or at the end
      }
    })
  for (const [name, description] of Object.entries(counters))
    observe(meter.createObservableCounter(`tidemark.records.${name}`, { unit: '{record}', description }), result => {
      for (const [{ counts }, attributes] of each()) result.observe(counts[name as keyof typeof counters], attributes)
    })
  const held = meter.createObservableGauge('tidemark.task.held_by', {
    unit: 'ms',
    description: 'For how long the watermark has been held back, and by whom. Absent while nobody does.'
  })
  observe(held, result => {
    for (const [{ heldBy }, attributes] of each())
      if (heldBy)
        result.observe(Math.max(0, now() - heldBy.since), {
          ...attributes,
          'tidemark.holder': heldBy.task,
          'tidemark.cause': heldBy.cause
        })
  })
  const commits = meter.createHistogram('tidemark.commit.duration', {
    unit: 'ms',
    description: 'Time that a commit takes.'
  })
  const channels: readonly [string, (message: unknown) => void][] = [
    [
      'tidemark:vitals',
      message => {
        const vitals = message as Vitals
        tasks.set(vitals.task, { vitals, heardAt: now() })
      }
    ],
    [
      'tidemark:commit',
      message => {
        const { task, milliseconds } = message as Diagnostics['commit']
        commits.record(milliseconds, attributesOf(task))
      }
    ],
    ['tidemark:task-released', message => void tasks.delete((message as Diagnostics['task-released']).task)]
  ]
  for (const [channel, listener] of channels) {
    subscribe(channel, listener)
    stops.push(() => unsubscribe(channel, listener))
  }
  return () => {
    for (const stop of stops) stop()
  }
}

function attributesOf(task: string): Attributes {
  const [pipeline = '', stage = '', ...partition] = task.split('/')
  return {
    'tidemark.pipeline': pipeline,
    'tidemark.stage': stage,
    'tidemark.partition': partition.join('/')
  }
}

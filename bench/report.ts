import { cpus, totalmem } from 'node:os'
import { thousands, type Figure, type Spread } from './measure.ts'

/** What each figure must reach; checked with two cores and records of 100 bytes. */
export const bars: Readonly<Record<string, { readonly rate?: number; readonly ratio?: number }>> = {
  'memory exactly-once, with state': { rate: 150_000 },
  'schema encode and decode': { ratio: 0.9 },
  'schema encode, kafkajs registry': { ratio: 1 },
  'schema decode, kafkajs registry': { ratio: 1 },
  'schema encode, confluentinc registry': { ratio: 1 },
  'schema decode, confluentinc registry': { ratio: 1 },
  'kafka produce': { ratio: 0.9 },
  'kafka consume': { ratio: 0.9 },
  'kafka exactly-once': { rate: 25_000, ratio: 0.8 },
  'pulsar produce': { ratio: 0.9 },
  'pulsar consume': { ratio: 0.9 },
  'pubsub produce': { ratio: 0.9 },
  'pubsub consume': { ratio: 0.9 },
  'eventhubs produce': { ratio: 0.9 },
  'eventhubs consume': { ratio: 0.9 },
  'kinesis produce': { ratio: 0.9 },
  'kinesis consume': { ratio: 0.9 },
  'kinesis one shard, limits kept': { rate: 20_000, ratio: 20 }
}

/** A figure that could not be taken, and why. */
export interface NotRun {
  readonly name: string
  readonly reason: string
}

export function verdict({ name, rate, ratio }: Figure): 'met' | 'missed' | 'no bar' {
  const bar = bars[name]
  if (!bar) return 'no bar'
  const met =
    (bar.rate === undefined || rate.median >= bar.rate) &&
    (bar.ratio === undefined || (ratio?.median ?? 0) >= bar.ratio)
  return met ? 'met' : 'missed'
}

export function table(figures: readonly Figure[], notRun: readonly NotRun[]): string {
  const rows = [['', 'records/s', 'raw records/s', 'ours / raw', 'bar', '', 'CPU us/record', 'raw', 'busy']]
  for (const figure of figures) {
    const { name, rate, raw, ratio, cpu, busy } = figure
    rows.push([
      name,
      ranged(rate, thousands),
      raw ? ranged(raw.rate, thousands) : '-',
      ratio ? ranged(ratio, hundredths) : '-',
      barText(name),
      verdict(figure),
      cpu.median.toFixed(1),
      raw ? raw.cpu.median.toFixed(1) : '-',
      `${Math.round(busy.median)}%`
    ])
  }
  for (const { name, reason } of notRun) rows.push([name, `not run: ${reason}`])
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.filter(row => row.length > 2).map(row => row[column]!.length), 1)
  )
  return rows
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(row.length > 2 || column === 0 ? widths[column]! : 0))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}

export function json(figures: readonly Figure[], notRun: readonly NotRun[]): string {
  const machine = { node: process.version, cores: cpus().length, processor: cpus()[0]?.model, memory: totalmem() }
  const rows = figures.map(figure => ({ ...figure, bar: bars[figure.name], verdict: verdict(figure) }))
  return `${JSON.stringify({ machine, figures: rows, notRun }, null, 2)}\n`
}

function ranged({ median, least, most }: Spread, show: (value: number) => string): string {
  return least === most ? show(median) : `${show(median)} (${show(least)} to ${show(most)})`
}

const hundredths = (value: number): string => value.toFixed(2)

function barText(name: string): string {
  const { rate, ratio } = bars[name] ?? {}
  const parts = [
    ratio === undefined ? [] : `>= ${ratio} of raw`,
    rate === undefined ? [] : `>= ${thousands(rate)}/s`
  ].flat()
  return parts.join(', ') || '-'
}

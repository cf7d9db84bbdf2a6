import { cpus, totalmem } from 'node:os'
import { thousands, type Amount, type Figure, type Spread } from './measure.ts'

interface Bar {
  readonly rate?: number
  readonly ratio?: number
  /** Most ms. */
  readonly delay?: number
  /** Of an amount: no more than this. */
  readonly most?: number
}

/** What each figure must reach; checked with two cores and records of 100 bytes. */
export const bars: Readonly<Record<string, Bar>> = {
  'memory exactly-once, with state': { rate: 300_000 },
  'exactly-once memory, against at-least-once': { ratio: 0.75 },
  'exactly-once file, against at-least-once': { ratio: 0.75 },
  'exactly-once sqlite store, memory broker': { rate: 100_000, delay: 20 },
  'exactly-once restore, sqlite store': { rate: 100_000, delay: 20 },
  'exactly-once take-over after a crash, session of 2 s': { delay: 3_000 },
  'schema encode and decode': { ratio: 0.9 },
  'schema encode, kafkajs registry': { ratio: 1 },
  'schema decode, kafkajs registry': { ratio: 1 },
  'schema encode, confluentinc registry': { ratio: 1 },
  'schema decode, confluentinc registry': { ratio: 1 },
  'kafka produce': { ratio: 0.95 },
  'kafka produce of 1 KiB': { ratio: 0.95 },
  'kafka consume': { ratio: 0.95 },
  'kafka consume of 1 KiB': { ratio: 0.95 },
  'kafka exactly-once': { rate: 90_000, ratio: 0.9 },
  'peers count, beside Kafka Streams': { ratio: 1 },
  'peers count of 100,000 keys, beside Kafka Streams': { ratio: 1 },
  'peers count of 1,000,000 keys, beside Kafka Streams': { ratio: 1 },
  'peers map, beside Quix Streams': { ratio: 2 },
  'peers count, beside Quix Streams': { ratio: 2 },
  'latency kafka sustained 23,148 records/s, p99': { most: 250 },
  'state kafka load of 1,000,000 records': { ratio: 0.667 },
  'growth memory idle partition': { most: 64 },
  'growth file idle partition': { most: 64 },
  'growth kafka idle partition': { most: 64 },
  'growth file 10,000,000 keys, most memory': { most: 512 },
  'growth kafka soak, memory used, growth': { most: 5 },
  'pulsar produce': { ratio: 0.9 },
  'pulsar consume': { ratio: 0.9 },
  'pubsub produce': { ratio: 0.9 },
  'pubsub consume': { ratio: 0.9 },
  'eventhubs produce': { ratio: 0.9 },
  'eventhubs consume': { ratio: 0.9 },
  'kinesis produce': { ratio: 0.9 },
  'kinesis consume': { ratio: 0.9 },
  'kinesis one shard, limits kept': { rate: 20_000, ratio: 20 },
  'watermark stamp, in a batch with gzip': { most: 16 },
  'watermark stamp, in a batch with zstd': { most: 16 },
  'watermark share of CPU': { most: 3 },
  'watermark memory, 1,000 producers x 64 partitions': { most: 50 },
  'watermark vitals destroyed, topic deleted': { ratio: 0.95 },
  'watermark vitals destroyed, broker killed': { ratio: 0.95 },
  'watermark vitals destroyed, flooded': { ratio: 0.95 }
}

/** A figure that could not be taken, and why. */
export interface NotRun {
  readonly name: string
  readonly reason: string
}

export type Measured = Figure | Amount

/** Says whether it is something else than a rate. */
export const isAmount = (measured: Measured): measured is Amount => 'amount' in measured

export function verdict(measured: Measured): 'met' | 'missed' | 'no bar' {
  const bar = bars[measured.name]
  if (!bar) return 'no bar'
  if (isAmount(measured)) return measured.amount.median <= (bar.most ?? Infinity) ? 'met' : 'missed'
  const { rate, ratio, delay } = measured
  const met =
    (bar.rate === undefined || rate.median >= bar.rate) &&
    (bar.ratio === undefined || (ratio?.median ?? 0) >= bar.ratio) &&
    (bar.delay === undefined || (delay?.median ?? Infinity) <= bar.delay)
  return met ? 'met' : 'missed'
}

export function table(measured: readonly Measured[], notRun: readonly NotRun[]): string {
  const amounts = measured.filter(isAmount)
  const figures = measured.filter((each): each is Figure => !isAmount(each))
  const tables: string[] = []
  if (figures.length > 0 || notRun.length > 0) tables.push(rateTable(figures, notRun))
  if (amounts.length > 0) tables.push(amountTable(amounts))
  return tables.join('\n\n')
}

function amountTable(amounts: readonly Amount[]): string {
  const rows = [['', 'amount', '', 'bar', '']]
  for (const each of amounts) {
    const { name, amount, unit } = each
    rows.push([name, ranged(amount, tenths), unit, barText(name), verdict(each)])
  }
  return aligned(rows)
}

function rateTable(figures: readonly Figure[], notRun: readonly NotRun[]): string {
  const rows = [['', 'records/s', 'raw records/s', 'ours / raw', 'ms', 'bar', '', 'CPU us/record', 'raw', 'busy']]
  for (const figure of figures) {
    const { name, rate, raw, ratio, delay, cpu, busy } = figure
    rows.push([
      name,
      ranged(rate, thousands),
      raw ? ranged(raw.rate, thousands) : '-',
      ratio ? ranged(ratio, hundredths) : '-',
      delay ? ranged(delay, tenths) : '-',
      barText(name),
      verdict(figure),
      cpu.median.toFixed(1),
      raw ? raw.cpu.median.toFixed(1) : '-',
      `${Math.round(busy.median)}%`
    ])
  }
  for (const { name, reason } of notRun) rows.push([name, `not run: ${reason}`])
  return aligned(rows)
}

/** A row of two cells is a sentence. */
function aligned(rows: readonly (readonly string[])[]): string {
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

export function json(figures: readonly Measured[], notRun: readonly NotRun[]): string {
  const machine = { node: process.version, cores: cpus().length, processor: cpus()[0]?.model, memory: totalmem() }
  const rows = figures.map(figure => ({ ...figure, bar: bars[figure.name], verdict: verdict(figure) }))
  return `${JSON.stringify({ machine, figures: rows, notRun }, null, 2)}\n`
}

function ranged({ median, least, most }: Spread, show: (value: number) => string): string {
  return least === most ? show(median) : `${show(median)} (${show(least)} to ${show(most)})`
}

const tenths = (value: number): string => value.toFixed(1)
const hundredths = (value: number): string => value.toFixed(2)

/** What the figure must reach; `-` when nothing is asked. */
export function barText(name: string): string {
  const { rate, ratio, delay, most } = bars[name] ?? {}
  const parts = [
    ratio === undefined ? [] : `>= ${ratio} of raw`,
    rate === undefined ? [] : `>= ${thousands(rate)}/s`,
    delay === undefined ? [] : `<= ${thousands(delay)} ms`,
    most === undefined ? [] : `<= ${most}`
  ].flat()
  return parts.join(', ') || '-'
}

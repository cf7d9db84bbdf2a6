import { thousands, type Amount, type Figure, type Spread } from '../measure.ts'
import { barText, isAmount, type Measured, type NotRun } from '../report.ts'

/** What `--json` has written. */
export interface Results {
  readonly machine: {
    readonly node: string
    readonly cores: number
    readonly processor?: string
    readonly memory: number
  }
  readonly figures: readonly (Measured & { readonly verdict: 'met' | 'missed' | 'no bar' })[]
  readonly notRun: readonly NotRun[]
}

/** Three figures that count. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 100) return thousands(Number(value.toPrecision(3)))
  return String(Number(value.toPrecision(3)))
}

const ranged = ({ median, least, most }: Spread): string =>
  least === most ? rounded(median) : `${rounded(median)} (${rounded(least)} to ${rounded(most)})`

/** The tables for `docs/performance.md`, one of rates and one of other amounts; what missed its bar is bold. */
export function markdown({ machine, figures, notRun }: Results): string {
  const rates = figures.filter((each): each is Figure & { verdict: 'met' | 'missed' | 'no bar' } => !isAmount(each))
  const amounts = figures.filter((each): each is Amount & { verdict: 'met' | 'missed' | 'no bar' } => isAmount(each))
  const marked = (text: string, verdict: string): string => (verdict === 'missed' ? `**${text}**` : text)
  const rateRows = rates.map(({ name, rate, raw, ratio, delay, cpu, verdict }) => [
    name,
    ranged(rate),
    raw ? rounded(raw.rate.median) : '',
    marked(ratio ? ranged(ratio) : delay ? `${ranged(delay)} ms` : '', verdict),
    barText(name),
    [cpu, raw?.cpu].flatMap(each => (each && Number.isFinite(each.median) ? [each.median.toFixed(1)] : [])).join(', ')
  ])
  const amountRows = amounts.map(({ name, amount, unit, verdict }) => [
    name,
    `${marked(ranged(amount), verdict)} ${unit}`,
    barText(name)
  ])
  const { node, cores, processor, memory } = machine
  const parts = [
    `${cores} cores${processor ? ` (${processor})` : ''}, ${Math.round(memory / 2 ** 30)} GiB, Node ${node.slice(1)}`,
    pipes(['figure', 'records/s (range)', 'beside it', 'ours / beside (range)', 'bar', 'CPU us/record'], rateRows),
    pipes(['figure', 'median (range)', 'bar'], amountRows),
    notRun.map(({ name, reason }) => `- ${name}: not run, ${reason}`).join('\n')
  ]
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

function pipes(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

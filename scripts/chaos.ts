/**
 * `npm run chaos -- --backend NAME|all [--kills N] [--store sqlite|postgres|dynamodb|broker] [--seed S] [--python] [--quiet] [--keep]`: three worker
 * processes of one pipeline on servers of their own, under SIGKILL, SIGSTOP for longer than the lease, crashes of the broker and of the store, and a
 * network that cuts, delays and holds requests; then everything is counted again. With `--rounds N [--workers N]` in place of `--kills` nothing is disturbed:
 * under a steady load every worker is restarted by SIGTERM, one after the other, N times. Exit code 1 when anything is lost, twice or torn, or a partition
 * stands still for more than two seconds of a rolling restart. See docs/testing.md.
 */
import { randomInt } from 'node:crypto'
import { chaos } from '../chaos/run.ts'
import { brokers, stores } from '../chaos/servers.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, {
  backend: { type: 'string', default: 'file' },
  kills: { type: 'string', default: '5' },
  /** In place of kills: every worker is restarted so often, one after the other. */
  rounds: { type: 'string' },
  workers: { type: 'string', default: '3' },
  store: { type: 'string' },
  seed: { type: 'string', default: String(randomInt(1_000_000)) },
  quiet: { type: 'boolean', default: false },
  /** On Kafka, topics are counted by Confluent's client for Python, with read_committed. */
  python: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false }
})

function known(what: string, name: string, of: object): string {
  if (Object.hasOwn(of, name)) return name
  console.error(`no ${what} '${name}'; known are ${Object.keys(of).join(', ')}`)
  process.exit(2)
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  console.error(`--${name} must be a whole number, not '${text}'`)
  process.exit(2)
}

const backends =
  values.backend === 'all'
    ? Object.keys(brokers)
    : values.backend.split(',').map(name => known('backend', name, brokers))
const store = values.store === undefined ? undefined : known('store', values.store, stores)
const kills = whole('kills', values.kills)
const rounds = values.rounds === undefined ? undefined : whole('rounds', values.rounds)
const workers = whole('workers', values.workers)
const seed = whole('seed', values.seed)
const lines: string[] = []
let failed = false
/** Most that a partition may stand still in a rolling restart, ms. */
const longestPause = 2_000

for (const backend of backends) {
  const tell = values.quiet ? undefined : (line: string): void => console.log(`  ${line}`)
  const report = await chaos({
    backend,
    store,
    kills,
    rounds,
    workers,
    seed,
    keep: values.keep,
    python: values.python,
    ...(tell && { tell })
  })
  for (const { anomaly, what } of report.found.slice(0, 50)) console.log(`${anomaly}: ${what}`)
  failed ||= report.found.length > 0
  for (const { task, milliseconds } of report.rolled?.pauses ?? []) {
    if (milliseconds <= longestPause) break
    console.log(`pause: ${task} stood still for ${milliseconds} ms`)
    failed = true
  }
  lines.push(report.line)
  console.log(report.line)
}
if (backends.length > 1) for (const line of lines) console.log(line)
process.exit(failed ? 1 : 0)

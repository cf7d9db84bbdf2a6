/**
 * `npm run bench [-- NAME ...] [--json FILE] [--quick]`: how fast the pipeline is on its own (memory), on the embedded log
 * (file) and on a real Kafka beside the raw kafkajs loop in the same run. Names choose figures by their beginning:
 * `memory`, `kafka`, `"kafka produce"`. A default run takes about three minutes; `--quick` is for seeing that it works,
 * its figures mean little.
 *
 * What is timed, and how, is in `docs/performance.md`. Exit code 1 when a bar is missed (never with `--quick`).
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { kafkaAvailable, startKafka } from '../testcontainers/kafka.ts'
import { benchFile, benchMemory } from './embedded.ts'
import { benchKafka } from './kafka/index.ts'
import { progress, type Figure } from './measure.ts'
import { json, table, verdict, type NotRun } from './report.ts'

const names = [
  'memory exactly-once, with state',
  'file produce',
  'file consume',
  'file exactly-once',
  'kafka produce',
  'kafka consume',
  'kafka exactly-once'
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } }
})
for (const given of positionals) {
  if (names.some(name => name.startsWith(given))) continue
  console.error(`no figure's name begins with '${given}'; they are: ${names.join('; ')}`)
  process.exit(2)
}
const wanted = (name: string): boolean => positionals.length === 0 || positionals.some(given => name.startsWith(given))
const some = (backend: string): boolean => names.some(name => name.startsWith(backend) && wanted(name))
const { quick } = values
// kafkajs 2.2.4 sets a negative timer on this Node, harmlessly; the warning would stand between the lines of progress.
process.removeAllListeners('warning')

const figures: Figure[] = []
const notRun: NotRun[] = []
if (some('memory')) figures.push(...(await benchMemory(quick ? 100_000 : 500_000, quick ? 1 : 5)))
if (some('file')) figures.push(...(await benchFile(quick ? 50_000 : 300_000, quick ? 1 : 5, wanted)))
if (some('kafka')) {
  const reason = await kafkaAvailable()
  if (reason) notRun.push({ name: 'kafka', reason })
  else {
    progress('kafka: starting a server')
    await using server = await startKafka()
    const sizes = quick
      ? { produce: 50_000, consume: 100_000, exactlyOnce: 50_000, pairs: 1 }
      : { produce: 400_000, consume: 1_000_000, exactlyOnce: 200_000, pairs: 5 }
    figures.push(...(await benchKafka(server, sizes, wanted)))
  }
}

console.log(table(figures, notRun))
if (values.json !== undefined) await writeFile(values.json, json(figures, notRun))
process.exit(!quick && figures.some(figure => verdict(figure) === 'missed') ? 1 : 0)

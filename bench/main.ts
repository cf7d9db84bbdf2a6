/**
 * `npm run bench [-- NAME ...] [--json FILE] [--quick]`: how fast the pipeline is on its own (memory), on the embedded log
 * (file), on a real Kafka beside the raw kafkajs loop in the same run, and on a real Pulsar beside a raw WebSocket. Names
 * choose figures by their beginning: `memory`, `kafka`, `"kafka produce"`. A default run takes about three minutes; `--quick` is for seeing that it works,
 * its figures mean little.
 *
 * What is timed, and how, is in `docs/performance.md`. Exit code 1 when a bar is missed (never with `--quick`).
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startEventhubs } from '../testcontainers/eventhubs.ts'
import { kafkaAvailable, startKafka } from '../testcontainers/kafka.ts'
import { startKinesis } from '../testcontainers/kinesis.ts'
import { pulsarAvailable, startPulsar } from '../testcontainers/pulsar.ts'
import { benchFile, benchMemory } from './embedded.ts'
import { benchEventhubs } from './eventhubs/index.ts'
import { benchKafka } from './kafka/index.ts'
import { benchKinesis } from './kinesis/index.ts'
import { benchPulsar } from './pulsar/index.ts'
import { progress, type Figure } from './measure.ts'
import { json, table, verdict, type NotRun } from './report.ts'

const names = [
  'memory exactly-once, with state',
  'file produce',
  'file consume',
  'file exactly-once',
  'kafka produce',
  'kafka consume',
  'kafka exactly-once',
  'pulsar produce',
  'pulsar consume',
  'eventhubs produce',
  'eventhubs consume',
  'eventhubs exactly-once',
  'kinesis produce',
  'kinesis consume',
  'kinesis one shard, limits kept'
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

if (some('eventhubs')) {
  progress('eventhubs: starting a double')
  await using server = await startEventhubs()
  const sizes = quick
    ? { produce: 20_000, consume: 20_000, exactlyOnce: 20_000, pairs: 1 }
    : { produce: 100_000, consume: 150_000, exactlyOnce: 100_000, pairs: 5 }
  figures.push(...(await benchEventhubs(server, sizes, wanted)))
}
if (some('kinesis')) {
  progress('kinesis: starting a local server')
  await using server = await startKinesis()
  const sizes = quick
    ? { produce: 2_000, consume: 2_000, perShard: { raw: 1_000, ours: 10_000 }, pairs: 1 }
    : { produce: 6_000, consume: 20_000, perShard: { raw: 3_000, ours: 60_000 }, pairs: 3 }
  figures.push(...(await benchKinesis(server, sizes, wanted)))
}
if (some('pulsar')) {
  const reason = await pulsarAvailable()
  if (reason) notRun.push({ name: 'pulsar', reason })
  else {
    progress('pulsar: starting a server')
    await using server = await startPulsar({ optimised: true, heap: '768m' })
    const sizes = quick
      ? { produce: 20_000, consume: 20_000, pairs: 1 }
      : { produce: 150_000, consume: 150_000, pairs: 5 }
    figures.push(...(await benchPulsar(server, sizes, wanted)))
  }
}

console.log(table(figures, notRun))
if (values.json !== undefined) await writeFile(values.json, json(figures, notRun))
process.exit(!quick && figures.some(figure => verdict(figure) === 'missed') ? 1 : 0)

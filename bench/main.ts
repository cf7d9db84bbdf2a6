/**
 * `npm run bench [-- NAME ...] [--json FILE] [--quick]`: how fast the pipeline is on its own (memory), on the embedded log
 * (file), and on each server beside the raw client in the same run. Names choose figures by their beginning: `memory`,
 * `kafka`, `"kafka produce"`. A default run takes about two hours; `--quick` is for seeing that it works, its figures
 * mean little.
 *
 * What is timed, and how, is in `docs/performance.md`.
 * Exit code 1 when a bar is missed (never with `--quick`), and when a part has failed.
 */
import { writeFile } from 'node:fs/promises'
import { commandLine } from '../scripts/options.ts'
import { startEventhubs } from '../testcontainers/eventhubs.ts'
import { kafkaAvailable, startKafka } from '../testcontainers/kafka.ts'
import { startKinesis } from '../testcontainers/kinesis.ts'
import { postgresAvailable, startPostgres } from '../testcontainers/postgres.ts'
import { pubsubAvailable, startPubsub } from '../testcontainers/pubsub.ts'
import { pulsarAvailable, startPulsar } from '../testcontainers/pulsar.ts'
import type { Bench } from './bench.ts'
import { benchFile, benchMemory } from './embedded.ts'
import { benchEventhubs } from './eventhubs/index.ts'
import { benchExactlyOnce } from './exactly-once/index.ts'
import { drivers } from './drivers/index.ts'
import { growth } from './growth/index.ts'
import { benchKafka } from './kafka/index.ts'
import { peers } from './kafka/peers.ts'
import { benchKinesis } from './kinesis/index.ts'
import { latency } from './latency/index.ts'
import { benchPostgres } from './postgres.ts'
import { benchPubsub } from './pubsub/index.ts'
import { benchPulsar } from './pulsar/index.ts'
import { benchSchema } from './schema/index.ts'
import { progress } from './measure.ts'
import { json, table, verdict, type Measured, type NotRun } from './report.ts'
import { state } from './state/index.ts'
import { benchWatermark } from './watermark/index.ts'

const benches: Readonly<Record<string, Bench>> = {
  memory: {
    figures: ['exactly-once, with state', 'allocation per record, with state'],
    run: (wanted, quick) => benchMemory(quick ? 100_000 : 500_000, quick ? 1 : 5, wanted)
  },
  file: {
    figures: ['produce', 'consume', 'exactly-once'],
    run: (wanted, quick) => benchFile(quick ? 50_000 : 300_000, quick ? 1 : 5, wanted)
  },
  'exactly-once': {
    figures: [
      'memory, against at-least-once',
      'file, against at-least-once',
      'sqlite store, memory broker',
      'restore, sqlite store',
      'take-over after a crash, session of 2 s'
    ],
    run: (wanted, quick) =>
      benchExactlyOnce(
        quick ? { records: 100_000, keys: 200_000, runs: 1 } : { records: 400_000, keys: 1_000_000, runs: 5 },
        wanted
      )
  },
  schema: {
    figures: [
      'encode and decode',
      'encode',
      'decode',
      'encode, kafkajs registry',
      'decode, kafkajs registry',
      'encode, confluentinc registry',
      'decode, confluentinc registry'
    ],
    run: (wanted, quick) => benchSchema(quick ? { records: 20_000, pairs: 1 } : { records: 400_000, pairs: 5 }, wanted)
  },
  watermark: {
    figures: [
      'memory, 1,000 producers x 64 partitions',
      'stamp, in a batch',
      'stamp, in a batch with gzip',
      'stamp, in a batch with zstd',
      'share of CPU',
      'share of CPU, stamps',
      'vitals destroyed, topic deleted',
      'vitals destroyed, broker killed',
      'vitals destroyed, flooded'
    ],
    run: (wanted, quick) =>
      benchWatermark(
        quick
          ? { stamped: 20_000, profiled: 100_000, destroyed: 50_000, runs: 1 }
          : { stamped: 100_000, profiled: 600_000, destroyed: 400_000, runs: 5 },
        wanted
      )
  },
  kafka: {
    figures: ['produce', 'produce of 1 KiB', 'consume', 'consume of 1 KiB', 'exactly-once'],
    reason: kafkaAvailable,
    async run(wanted, quick) {
      await using server = await startKafka()
      const sizes = quick
        ? { produce: 50_000, consume: 100_000, exactlyOnce: 50_000, pairs: 1 }
        : { produce: 400_000, consume: 1_000_000, exactlyOnce: 200_000, pairs: 5 }
      return await benchKafka(server, sizes, wanted)
    }
  },
  drivers,
  peers,
  latency,
  state,
  growth,
  pulsar: {
    figures: ['produce', 'consume'],
    reason: pulsarAvailable,
    async run(wanted, quick) {
      await using server = await startPulsar({ optimised: true, heap: '768m' })
      const sizes = quick
        ? { produce: 20_000, consume: 20_000, pairs: 1 }
        : { produce: 150_000, consume: 150_000, pairs: 5 }
      return await benchPulsar(server, sizes, wanted)
    }
  },
  pubsub: {
    figures: ['produce', 'consume'],
    reason: pubsubAvailable,
    async run(wanted, quick) {
      await using server = await startPubsub()
      const sizes = quick
        ? { produce: 20_000, consume: 5_000, pairs: 1 }
        : { produce: 150_000, consume: 20_000, pairs: 5 }
      return await benchPubsub(server, sizes, wanted)
    }
  },
  kinesis: {
    figures: ['produce', 'consume', 'one shard, limits kept'],
    async run(wanted, quick) {
      await using server = await startKinesis()
      const sizes = quick
        ? { produce: 2_000, consume: 2_000, perShard: { raw: 1_000, ours: 10_000 }, pairs: 1 }
        : { produce: 6_000, consume: 20_000, perShard: { raw: 3_000, ours: 60_000 }, pairs: 3 }
      return await benchKinesis(server, sizes, wanted)
    }
  },
  eventhubs: {
    figures: ['produce', 'consume', 'exactly-once'],
    async run(wanted, quick) {
      await using server = await startEventhubs()
      const sizes = quick
        ? { produce: 20_000, consume: 20_000, exactlyOnce: 20_000, pairs: 1 }
        : { produce: 100_000, consume: 150_000, exactlyOnce: 100_000, pairs: 9 }
      return await benchEventhubs(server, sizes, wanted)
    }
  },
  postgres: {
    figures: ['commits of 1 record', 'commits of 1,000 records'],
    reason: postgresAvailable,
    async run(wanted, quick) {
      await using server = await startPostgres()
      const sizes = quick ? { small: 200, large: 10, pairs: 1 } : { small: 1_500, large: 60, pairs: 5 }
      return await benchPostgres(server, sizes, wanted)
    }
  }
}

const options = { json: { type: 'string' }, quick: { type: 'boolean', default: false } } as const
const { values, positionals } = commandLine(import.meta.url, options, true)
const names = Object.entries(benches).flatMap(([backend, { figures }]) => figures.map(figure => `${backend} ${figure}`))
for (const given of positionals) {
  if (names.some(name => name.startsWith(given))) continue
  console.error(`no figure's name begins with '${given}'; they are: ${names.join('; ')}`)
  process.exit(2)
}
const wanted = (name: string): boolean => positionals.length === 0 || positionals.some(given => name.startsWith(given))
// kafkajs 2.2.4 sets a negative timer on this Node, harmlessly; the warning would stand between the lines of progress.
process.removeAllListeners('warning')

const figures: Measured[] = []
const notRun: NotRun[] = []
let failed = false
for (const [backend, bench] of Object.entries(benches)) {
  if (!bench.figures.some(figure => wanted(`${backend} ${figure}`))) continue
  const reason = await bench.reason?.()
  if (reason) {
    notRun.push({ name: backend, reason })
    continue
  }
  progress(`${backend}: getting ready`)
  try {
    figures.push(...(await bench.run(wanted, values.quick, (name, why) => notRun.push({ name, reason: why }))))
  } catch (error) {
    // Hours of other figures must not be lost with it.
    console.error(error)
    failed = true
    notRun.push({ name: backend, reason: `failed: ${String(error).split('\n')[0]}` })
  }
  if (values.json !== undefined) await writeFile(values.json, json(figures, notRun))
}

console.log(table(figures, notRun))
const missed = !values.quick && figures.some(figure => verdict(figure) === 'missed')
process.exit(failed || missed ? 1 : 0)

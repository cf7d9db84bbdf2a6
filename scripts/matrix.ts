/**
 * `npm run matrix [-- --backends memory,file,kafka] [--json FILE] [--only TEXT]`: every conformance case on every
 * backend, on servers of its own. Prints backend x case: pass, fail, not applicable (with the reason), not run (with the
 * reason). Exit code 1 when a case failed and, in CI, when one was not run.
 */
import { writeFile } from 'node:fs/promises'
import {
  type CaseResult,
  conformanceCases,
  type Harness,
  runConformance,
  titleOf
} from '../src/testing/conformance/index.ts'
import {
  eventhubsHarness,
  fileHarness,
  kafkaHarness,
  kinesisHarness,
  memoryHarness,
  pubsubHarness,
  pulsarHarness
} from '../test/testing/harnesses.ts'
import { printMatrix } from './matrix/print.ts'
import { optionsOf } from './options.ts'

/** A harness, or the sentence that says why there is none. */
type Start = () => Promise<Harness | string>

const backends: Readonly<Record<string, { readonly start: Start; readonly concurrency: number }>> = {
  memory: { start: async () => memoryHarness(), concurrency: 4 },
  file: { start: fileHarness, concurrency: 2 },
  kafka: { start: startKafka, concurrency: 4 },
  pulsar: { start: startPulsar, concurrency: 4 },
  pubsub: { start: startPubsub, concurrency: 4 },
  eventhubs: { start: startEventhubs, concurrency: 4 },
  kinesis: { start: startKinesis, concurrency: 4 }
}

async function startKafka(): Promise<Harness | string> {
  const { kafkaAvailable, startKafka: start } = await import('../testcontainers/kafka.ts')
  const reason = await kafkaAvailable()
  return reason ?? kafkaHarness(await start())
}

async function startPulsar(): Promise<Harness | string> {
  const { pulsarAvailable, startPulsar: start } = await import('../testcontainers/pulsar.ts')
  const reason = await pulsarAvailable()
  return reason ?? pulsarHarness(await start())
}

async function startPubsub(): Promise<Harness | string> {
  const { pubsubAvailable, startPubsub: start } = await import('../testcontainers/pubsub.ts')
  const reason = await pubsubAvailable()
  return reason ?? pubsubHarness(await start())
}

async function startEventhubs(): Promise<Harness | string> {
  const { startEventhubs: start } = await import('../testcontainers/eventhubs.ts')
  return eventhubsHarness(await start())
}

async function startKinesis(): Promise<Harness | string> {
  const { kinesisAvailable, startKinesis: start } = await import('../testcontainers/kinesis.ts')
  const reason = await kinesisAvailable()
  return reason ?? kinesisHarness(await start({ persist: true }))
}

const values = optionsOf(import.meta.url, {
  backends: { type: 'string', default: Object.keys(backends).join(',') },
  json: { type: 'string' },
  /** Only cases whose title holds this text. */
  only: { type: 'string', default: '' }
})
const chosen = values.backends.split(',').map(name => name.trim())
for (const name of chosen) {
  if (Object.hasOwn(backends, name)) continue
  console.error(`unknown backend '${name}'; known are ${Object.keys(backends).join(', ')}`)
  process.exit(2)
}
const cases = conformanceCases.filter(each => titleOf(each).includes(values.only))

// A promise that nobody waits for is a bug of whoever made it: it fails the run, but does not end it.
let strays = 0
process.on('unhandledRejection', error => {
  strays++
  console.error('unhandled rejection:', error)
})

const results: CaseResult[] = []
for (const name of chosen) results.push(...(await runBackend(name)))

printMatrix(results)
if (values.json !== undefined) {
  // Times are left out: the file is compared, and a run should not change it.
  const rows = results.map(({ backend, case: title, status, reason }) => ({ backend, case: title, status, reason }))
  await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`)
}
if (strays > 0) console.log(`${strays} unhandled rejections: see above`)
const bad = strays > 0 || results.some(({ status }) => status === 'fail' || (status === 'not run' && process.env['CI']))
// Drivers may hold sockets for a moment; everything is closed, so there is nothing to wait for.
process.exit(bad ? 1 : 0)

async function runBackend(name: string): Promise<CaseResult[]> {
  const { start, concurrency } = backends[name]!
  const harness = await start().catch((error: unknown) => String(error))
  if (typeof harness === 'string') {
    const reason = harness
    return cases.map(each => ({ backend: name, case: titleOf(each), status: 'not run', reason, milliseconds: 0 }))
  }
  let done = 0
  const onResult = ({ case: title, status, milliseconds }: CaseResult): void => {
    done++
    if (status !== 'not applicable')
      console.error(`${name} ${done}/${cases.length} ${status} ${title} (${milliseconds} ms)`)
  }
  try {
    return await runConformance(harness, { cases, concurrency, onResult })
  } finally {
    await harness.stop()
  }
}

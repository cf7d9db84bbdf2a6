/**
 * `node scripts/guarantees.ts [--check] [--matrix docs/matrix.json] [--out docs/guarantees.md]`: writes the page about what
 * each backend guarantees, from the capabilities that the adapters declare and the results of `npm run matrix -- --json
 * docs/matrix.json`. With `--check` it writes nothing and exits with 1 when the page is stale.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { eventhubsCapabilities } from '../src/adapters/eventhubs/index.ts'
import { fileCapabilities } from '../src/adapters/file/index.ts'
import { kafkaCapabilities } from '../src/adapters/kafka/index.ts'
import { kinesisCapabilities } from '../src/adapters/kinesis/index.ts'
import { memoryCapabilities } from '../src/adapters/memory/index.ts'
import { pubsubCapabilities } from '../src/adapters/pubsub/index.ts'
import { pulsarCapabilities } from '../src/adapters/pulsar/index.ts'
import { conformanceCases, titleOf } from '../src/testing/conformance/index.ts'
import { type Backend, type MatrixRow, renderGuarantees } from './guarantees/render.ts'
import { optionsOf } from './options.ts'

const backends: readonly Backend[] = [
  { name: 'memory', capabilities: memoryCapabilities },
  { name: 'file', capabilities: fileCapabilities },
  { name: 'kafka', capabilities: kafkaCapabilities },
  { name: 'pulsar', capabilities: pulsarCapabilities },
  { name: 'pubsub', capabilities: pubsubCapabilities },
  { name: 'kinesis', capabilities: kinesisCapabilities },
  { name: 'eventhubs', capabilities: eventhubsCapabilities }
]

const values = optionsOf(import.meta.url, {
  check: { type: 'boolean', default: false },
  matrix: { type: 'string', default: 'docs/matrix.json' },
  out: { type: 'string', default: 'docs/guarantees.md' }
})
const matrix = JSON.parse(await readFile(values.matrix, 'utf8')) as MatrixRow[]
const page = renderGuarantees(backends, matrix, conformanceCases.map(titleOf))

if (values.check) {
  const present = await readFile(values.out, 'utf8').catch(() => '')
  if (present !== page) {
    console.error(
      `${values.out} is stale: run 'npm run matrix -- --json ${values.matrix}' and then scripts/guarantees.ts`
    )
    process.exitCode = 1
  }
} else {
  await writeFile(values.out, page)
  console.log(`${values.out}: ${conformanceCases.length} cases, ${backends.length} backends`)
}

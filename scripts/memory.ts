/**
 * `npm run memory -- [--backend file,kafka,...] [--minutes N] [--limit MIB]`: a process that is held to 256 MiB, whose source yields at full speed in
 * bursts and whose sink takes a tenth of that. Exit code 1 when it is over the limit, grows, or anything is lost or twice. Linux. See docs/testing.md.
 */
import { brokers } from '../chaos/servers.ts'
import { held } from '../faults/memory.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, {
  backend: { type: 'string', default: 'file' },
  minutes: { type: 'string', default: '10' },
  limit: { type: 'string', default: '256' }
})
const backends = values.backend.split(',')
const unknown = backends.find(backend => !Object.hasOwn(brokers, backend))
const [minutes, limit] = [Number(values.minutes), Number(values.limit)]
if (unknown !== undefined || !(minutes > 0) || !(limit > 0)) {
  console.error(`--backend is of ${Object.keys(brokers).join(', ')}; --minutes and --limit are numbers above 0`)
  process.exit(2)
}
for (const backend of backends) {
  const tell = (line: string): void => console.log(`  ${line}`)
  const { line, problems } = await held({ backend, duration: minutes * 60_000, limit: limit * 1024 * 1024, tell })
  for (const problem of problems) console.log(`problem: ${problem}`)
  console.log(line)
  if (problems.length > 0) process.exitCode = 1
}

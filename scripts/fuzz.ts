/**
 * `npm run fuzz -- [--runs N] [--seed S]`: feeds the codecs of `tidemark/schema` with spoiled payloads. Exit code 1 when one
 * of them crashes, takes longer than 50 ms, or leaves memory behind.
 */
import { fuzz } from './fuzz/run.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, { runs: { type: 'string', default: '100000' }, seed: { type: 'string' } })
const runs = Number(values.runs)
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)
if (!(Number.isInteger(runs) && runs > 0 && Number.isInteger(seed))) {
  console.error('usage: npm run fuzz -- [--runs N] [--seed S]')
  process.exit(2)
}
const started = performance.now()
const report = await fuzz(runs, seed, done => {
  if (done > 0 && done % 100_000 === 0) console.error(`${done} payloads`)
})
const { decoded, parked, slowest, slowestPayload, growth, crashes } = report
const seconds = (performance.now() - started) / 1e3
console.log(
  `${runs} payloads in ${seconds.toFixed(1)} s, seed ${seed}: ${decoded} decoded, ${Object.entries(parked)
    .map(([code, count]) => `${count} ${code}`)
    .join(', ')}, ${crashes.length} crashes`
)
console.log(`slowest ${slowest.toFixed(1)} ms (${slowestPayload.slice(0, 120)})`)
console.log(`memory after 10% of the runs to the end: ${growth > 0 ? '+' : ''}${(growth / 2 ** 20).toFixed(2)} MiB`)
for (const crash of crashes) console.log(`\n${crash}`)
const failed = crashes.length > 0 || slowest > 50 || growth > 8 * 2 ** 20
console.log(failed ? 'failed' : 'ok')
process.exit(failed ? 1 : 0)

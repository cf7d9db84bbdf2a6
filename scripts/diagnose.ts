/**
 * `npm run diagnose -- --faults 50`: does everybody name the right culprit? Random faults, one at a time, in a chain of a source and
 * five hops over three brokers, in virtual time: slow, failing, stopped, cut off, late, a clock that is wrong. A watcher from outside
 * and the last hop must name stage and cause within five seconds, and accuse no healthy stage.
 *
 * `--seed N` starts elsewhere: with `--faults 1` it runs that fault alone.
 */
import { describeFault } from '../simulation/diagnosis/fault.ts'
import { runTrial, type Named, type Trial } from '../simulation/diagnosis/trial.ts'
import { optionsOf } from './options.ts'

/** Share of the faults that must be named right. */
const bar = 0.96

const values = optionsOf(import.meta.url, {
  faults: { type: 'string', default: '50' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean' }
})
const [faults, first] = [Number(values.faults), Number(values.seed)]
if (!(Number.isSafeInteger(faults) && faults > 0 && Number.isSafeInteger(first) && first >= 0)) {
  console.error('npm run diagnose [-- --faults N] [--seed N] [--json]')
  process.exit(2)
}

const told = ({ last, isRight, after, accused }: Named): string =>
  (after === undefined ? 'NOT named' : `${(after / 1_000).toFixed(2)} s`) +
  (isRight ? '' : `, at last ${last}`) +
  (accused.length > 0 ? `, ACCUSED ${accused.join(', ')}` : '')

const trials: Trial[] = []
const started = performance.now()
for (let seed = first; seed < first + faults; seed++) {
  const trial = await runTrial(seed)
  trials.push(trial)
  const { fault, stage, outside, inside, ok } = trial
  const last = inside ? told(inside) : 'gone'
  console.log(
    `${ok ? 'ok  ' : 'FAIL'} seed ${String(seed).padEnd(4)} ${stage.padEnd(24)} ${describeFault(fault).padEnd(28)} watcher: ${told(outside)}; last hop: ${last}`
  )
}
const right = trials.filter(({ ok }) => ok).length
const accused = trials.filter(
  ({ outside, inside }) => outside.accused.length + (inside?.accused.length ?? 0) > 0
).length
const times = trials.flatMap(({ outside, inside }) => [outside.after, inside?.after]).filter(each => each !== undefined)
const slowest = (Math.max(0, ...times) / 1_000).toFixed(2)
if (values.json) console.log(JSON.stringify({ faults, first, right, accused, slowest: Number(slowest), trials }))
console.log(
  `${right} of ${faults} faults named right by watcher and last hop (slowest ${slowest} s), healthy stages accused in ${accused}, ` +
    `seeds ${first} to ${first + faults - 1}, ${((performance.now() - started) / 1_000).toFixed(1)} s`
)
if (right < Math.ceil(faults * bar) || accused > 0) process.exitCode = 1

/**
 * `npm run models [-- --deep] [--only TEXT] [--trace]`: goes through every interleaving of the bounded models in `models/`, on
 * the reducers that production runs. A model must hold; a mutant must break. Exit code 1 when one does otherwise: a mutant that
 * passes means that its model is too weak. `--deep` takes the large ones too. See docs/testing.md.
 */
import { check, models } from '../models/index.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, {
  deep: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  trace: { type: 'boolean', default: false }
})

const chosen = models.filter(
  ({ name, what, deep }) => (values.deep || !deep) && `${name} ${what}`.includes(values.only)
)
if (chosen.length === 0)
  throw new Error(`no model is called '${values.only}'; known are ${models.map(model => model.name).join(', ')}`)

let states = 0
let failed = 0
for (const model of chosen) {
  const started = performance.now()
  const { passed, verdict, trace, states: own } = check(model)
  states += own
  failed += passed ? 0 : 1
  const took = ((performance.now() - started) / 1_000).toFixed(1)
  console.log(
    `${passed ? 'ok  ' : 'FAIL'} ${model.name.padEnd(5)} ${model.what.padEnd(72)} ${verdict} (${own.toLocaleString('en')} states, ${took} s)`
  )
  if (!passed || values.trace) console.log(trace.map(step => `       ${step}`).join('\n'))
}
console.log(`${chosen.length - failed} passed, ${failed} failed, ${states.toLocaleString('en')} states`)
process.exitCode = failed > 0 ? 1 : 0

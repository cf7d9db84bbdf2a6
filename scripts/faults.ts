/**
 * `npm run faults -- [--backend NAME,...|all] [--fault NAME] [--guarantee exactly-once|at-least-once] [--size small|full] [--json FILE]`: one worker
 * process per cell, a fault, and the question whether the answer is right, whether it came back by itself and how fast, and
 * whether its health was red exactly while it should have been. Exit code 1 when a cell fails. See docs/testing.md.
 */
import { writeFile } from 'node:fs/promises'
import { brokers } from '../chaos/servers.ts'
import { onStage, runCell, sizes, type Cell } from '../faults/cell.ts'
import { faults } from '../faults/faults.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, {
  backend: { type: 'string', default: 'memory,file,kafka' },
  fault: { type: 'string' },
  guarantee: { type: 'string' },
  size: { type: 'string', default: 'full' },
  json: { type: 'string' }
})

function known<Name extends string>(what: string, name: string, names: readonly Name[]): Name {
  const found = names.find(each => each === name)
  if (found !== undefined) return found
  console.error(`no ${what} '${name}'; known are ${names.join(', ')}`)
  process.exit(2)
}

const all = ['memory', ...Object.keys(brokers)]
const backends = values.backend === 'all' ? all : values.backend.split(',').map(name => known('backend', name, all))
const size = sizes[known('size', values.size, ['small', 'full'])]
const guarantees = values.guarantee
  ? [known('guarantee', values.guarantee, ['exactly-once', 'at-least-once'])]
  : (['at-least-once', 'exactly-once'] as const)
const names = faults.map(({ name }) => name)
const chosen = values.fault ? values.fault.split(',').map(name => known('fault', name, names)) : names

const cells: Cell[] = []
for (const backend of backends)
  await onStage(backend, async stage => {
    for (const fault of faults.filter(({ name }) => chosen.includes(name)))
      for (const guarantee of guarantees) {
        const cell = await runCell(stage, backend, fault, guarantee, size)
        cells.push(cell)
        const { result, why, values: count, recovery, redAfter } = cell
        const facts =
          count === undefined ? '' : ` ${count} values, back after ${recovery} ms, red after ${redAfter ?? '-'} ms`
        console.log(
          `${result.padEnd(14)} ${backend.padEnd(10)} ${guarantee.padEnd(14)} ${fault.name}${facts && `:${facts}`}${why ? ` | ${why}` : ''}`
        )
      }
  })
if (values.json) await writeFile(values.json, `${JSON.stringify({ size: values.size, cells }, undefined, 2)}\n`)
const count = (result: Cell['result']): number => cells.filter(cell => cell.result === result).length
console.log(`${count('pass')} pass, ${count('fail')} fail, ${count('not applicable')} not applicable`)
process.exit(count('fail') > 0 ? 1 : 0)

/** Lives of a client, many of them: what is left open, and what grows. `npm run cycles -- --count 1000`. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Growth } from '../test/lifecycle/cycles.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, { count: { type: 'string', default: '1000' } })
const script = fileURLToPath(new URL('../test/lifecycle/cycles.ts', import.meta.url))

for (const backend of ['memory', 'file']) {
  const words = ['--expose-gc', '--disable-warning=ExperimentalWarning', script, backend, values.count]
  const { stdout } = await promisify(execFile)(process.execPath, words)
  const { cycles, leaked, alive, listeners, before, after } = JSON.parse(stdout) as Growth
  const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
  console.log(
    `${backend}: ${cycles} cycles, left open: ${leaked.join(', ') || 'nothing'}, heap ${megabytes(before)} -> ${megabytes(after)}`
  )
  const left = Object.entries(alive).map(([name, count]) => `${count} ${name}`)
  if (left.length > 0) console.log(`${backend}: still alive: ${left.join(', ')}`)
  if (leaked.length + left.length > 0 || listeners > 0 || after > before + 8 * 1024 * 1024) process.exitCode = 1
}

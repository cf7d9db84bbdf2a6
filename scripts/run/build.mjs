/** Compiles `src/` to `dist/`. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { finished, path, startTool } from './process.mjs'

const cache = path('node_modules/.cache/tidemark')
/** Says from which sources the build in `dist/` was made. Not in `dist/`, which is published. */
const stamp = join(cache, 'build.json')

/** Does nothing when `dist/` is of the present sources. A failed build leaves the last good one as it is. */
export async function build({ always = false } = {}) {
  const sources = JSON.stringify([
    ...sourcesOf('src'),
    ...['package.json', 'tsconfig.json', 'tsconfig.build.json'].map(state)
  ])
  if (!always && sources === read(stamp) && read(path('dist/index.js')) !== undefined) return
  const started = Date.now()
  mkdirSync(cache, { recursive: true })
  // Beside it first: a program that runs from `dist/` must not meet half of it.
  const next = join(cache, `dist.${process.pid}`)
  try {
    const args = ['-p', path('tsconfig.build.json'), '--outDir', next, '--noEmitOnError']
    await finished(startTool('typescript', 'tsc', args, { stdio: 'inherit' }))
    swap(next, path('dist'))
  } finally {
    rmSync(next, { recursive: true, force: true })
  }
  writeFileSync(stamp, sources)
  console.error(`built dist/ in ${((Date.now() - started) / 1000).toFixed(1)} s`)
}

function swap(next, target) {
  const old = `${next}.old`
  for (let attempt = 1; ; attempt++) {
    rename(target, old)
    try {
      renameSync(next, target)
      break
    } catch (error) {
      // Another build came between the two.
      if (attempt === 10) throw error
    } finally {
      rmSync(old, { recursive: true, force: true })
    }
  }
}

function rename(from, to) {
  try {
    renameSync(from, to)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

function* sourcesOf(directory) {
  const entries = readdirSync(path(directory), { withFileTypes: true })
  for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    const file = join(directory, entry.name)
    if (entry.isDirectory()) yield* sourcesOf(file)
    else yield state(file)
  }
}

function state(file) {
  const { size, mtimeMs } = statSync(path(file))
  return `${file} ${size} ${mtimeMs}`
}

function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return undefined
  }
}

import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { runExample, textOf } from './run-example.ts'

interface Example {
  readonly args?: readonly string[]
  readonly brokers: readonly ('memory' | 'file' | 'kafka')[]
  /** Lines of several partitions come in any order. */
  readonly sorted?: boolean
}

const examples: Readonly<Record<string, Example>> = {
  'quick-start': { brokers: ['memory', 'file'], sorted: true },
  'produce-and-consume': { brokers: ['memory', 'file'] },
  'swap-the-backend': { brokers: ['memory', 'file', 'kafka'] },
  'test-without-a-broker': { brokers: ['memory'] },
  replay: { brokers: ['memory', 'file'] },
  windows: { brokers: ['memory', 'file'], sorted: true },
  // Six processes and four faults in real time; `BROKERS` names its brokers, and it brings its own.
  'stock-signal': { args: ['--summary'], brokers: ['file'] },
  flights: { args: ['--limit', '2000', '--rate', '500', '--seed', '7'], brokers: ['file', 'kafka'] }
}

const root = fileURLToPath(new URL('../..', import.meta.url))

test('every example is run here, and the package is built', async () => {
  const entries = await readdir(join(root, 'examples'), { withFileTypes: true })
  const present = entries.filter(entry => entry.isDirectory()).map(({ name }) => name)
  expect(present.sort()).toEqual(Object.keys(examples).sort())
  expect(existsSync(join(root, 'dist/index.js')), "dist/ is missing: 'npm run build' first, or 'npm test'").toBe(true)
})

describe.for(Object.entries(examples))('%s', ([name, { args = [], brokers, sorted }]) => {
  test.for(brokers)('prints what it should on %s', { timeout: 110_000 }, async (backend, context) => {
    const directory = await mkdtemp(join(tmpdir(), 'tidemark-example-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const kafka = inject('kafka')
    if (backend === 'kafka' && kafka.state !== 'running') return context.skip(`not run: ${kafka.reason}`)
    if (!inject('backends').includes(backend)) return context.skip(`not run: BACKENDS leaves out ${backend}`)
    const url = { memory: 'memory:', file: `file:${directory}/log`, kafka: kafka.state === 'running' ? kafka.url : '' }[
      backend
    ]
    // These bring their own folders.
    const own = ['flights', 'stock-signal'].includes(name) && backend === 'file'
    const ended = await runExample(name, args, own ? undefined : url, directory)
    expect(ended, ended.errors).toMatchObject({ code: 0 })
    const lines = (text: string): string[] => (sorted ? text.split('\n').sort() : text.split('\n'))
    expect(lines(ended.output)).toEqual(lines(await textOf(`examples/${name}/expected.txt`)))
    if (name === 'flights') expect(ended.errors).toMatch(/killed worker \d+ after \d+ flights/)
  })
})

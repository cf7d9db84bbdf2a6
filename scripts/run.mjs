#!/usr/bin/env node
/**
 * `npm start`, `npm test` and the other commands: see `commands` below. It needs Node 20 and npm, nothing else: it installs
 * what is missing, then runs the command with the Node that the repository brings as a dependency. Plain JavaScript,
 * because it runs before anything is installed.
 */
import { existsSync } from 'node:fs'
import { build } from './run/build.mjs'
import { install } from './run/install.mjs'
import { node, path, root, run, tool } from './run/process.mjs'

const optional = async (file, ...args) => existsSync(path(file)) && node(file, ...args)

const typesAndLint = async () => {
  await tool('typescript', 'tsc', '-p', root)
  await tool('oxlint', 'oxlint')
}

/** Name -> what it does. Arguments are those after `--`. */
const commands = {
  async start(args) {
    await build()
    await node('examples/flights/main.ts', ...args)
  },
  async test(args) {
    await typesAndLint()
    await build()
    await tool('vitest', 'vitest', 'run', ...args)
  },
  build: () => build({ always: true }),
  async check() {
    await typesAndLint()
    await tool('oxfmt', 'oxfmt', '--check')
    await optional('scripts/guarantees.ts', '--check')
  },
  format: args => tool('oxfmt', 'oxfmt', ...args),
  matrix: args => node('scripts/matrix.ts', ...args),
  guarantees: args => node('scripts/guarantees.ts', ...args),
  bench: args => node('bench/main.ts', ...args),
  charts: args => node('bench/charts/main.ts', ...args),
  up: args => node('scripts/up.ts', ...args),
  models: args => node('scripts/models.ts', ...args),
  diagnose: args => node('scripts/diagnose.ts', ...args),
  async example([name, ...args]) {
    if (!name || !existsSync(path(`examples/${name}/main.ts`))) {
      console.error('npm run example NAME: a folder of examples/')
      process.exit(2)
    }
    await build()
    await node(`examples/${name}/main.ts`, ...args)
  },
  simulate: args => node('scripts/simulate.ts', ...args),
  fuzz: args => node('scripts/fuzz.ts', ...args),
  chaos: args => node('scripts/chaos.ts', ...args),
  faults: args => node('scripts/faults.ts', ...args),
  memory: args => node('scripts/memory.ts', ...args),
  cycles: args => node('scripts/cycles.ts', ...args)
}

const [name = '', ...args] = process.argv.slice(2)
if (!Object.hasOwn(commands, name)) {
  console.error(`unknown command '${name}'; known are ${Object.keys(commands).join(', ')}`)
  process.exit(2)
}
await run(async () => {
  await install()
  await commands[name](args)
})

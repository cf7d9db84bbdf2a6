import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import type { ViteUserConfig } from 'vitest/config'

// The tests use what Node 22 cannot parse, such as `await using`; the workers run on the Node that runs this file.
const [major = 0] = process.versions.node.split('.').map(Number)
if (major < 24) {
  throw new Error(`the tests need Node 24, this is ${process.version}: use \`npm test\`, which brings its own`)
}

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^tidemark$/, replacement: source('index.ts') },
      { find: /^tidemark\/testing$/, replacement: source('testing/index.ts') },
      { find: /^tidemark\/schema$/, replacement: source('schema/index.ts') }
    ]
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    pool: 'forks',
    // Most of a test's time is waiting for a server.
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 30_000,
    hookTimeout: 120_000
  }
})

export default config

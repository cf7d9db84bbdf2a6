import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { Growth } from './cycles.ts'

const script = fileURLToPath(new URL('cycles.ts', import.meta.url))

// In a process of its own: what the tests around hold open is not counted. `npm run cycles -- --count 1000` does more of them.
it.each(['memory', 'file'])(
  'fifty lives of a client on %s leave nothing open and nothing behind',
  { timeout: 120_000 },
  async backend => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      '--disable-warning=ExperimentalWarning',
      script,
      backend,
      '50'
    ])
    const growth = JSON.parse(stdout) as Growth
    expect(growth).toMatchObject({ cycles: 50, leaked: [], alive: {}, listeners: 0 })
    // What was written is deleted before the heap is looked at. 8 kB a cycle are left, and up to 30 on a busy machine, of what the engine keeps
    // for itself; a client that stayed alive would be 400.
    expect((growth.after - growth.before) / growth.cycles).toBeLessThan(40_000)
  }
)

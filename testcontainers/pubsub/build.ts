import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cached, isCached } from '../support/cache.ts'
import { run } from '../support/run.ts'

const SOURCE = fileURLToPath(new URL('./fake', import.meta.url))
const NAME = process.platform === 'win32' ? 'pubsub-fake.exe' : 'pubsub-fake'
const TIMEOUT = 15 * 60_000

/** Says whether the fake of this source is built already. */
export async function isBuilt(): Promise<boolean> {
  return isCached(await cacheName())
}

/**
 * Gives the path of the fake, building it once per version of its source.
 * @throws Error with the end of the compiler's output when that fails
 */
export async function buildFake(): Promise<string> {
  const directory = await cached(await cacheName(), async fresh => {
    const title = "Google's Pub/Sub fake (about 60 MB of Go modules)"
    const started = performance.now()
    console.error(`testcontainers: building ${title}, once`)
    // In a copy: the compiler may want to write beside the source.
    const work = await mkdtemp(join(tmpdir(), 'tidemark-pubsub-fake-'))
    try {
      await cp(SOURCE, work, { recursive: true })
      const flags = ['-mod=readonly', '-trimpath', '-ldflags=-s -w', '-buildvcs=false']
      await run('go', ['build', ...flags, '-o', join(fresh, NAME), '.'], { directory: work, timeout: TIMEOUT })
      console.error(`testcontainers: built it in ${Math.round((performance.now() - started) / 1_000)} s`)
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error)
      throw new Error(`could not build ${title}: ${cause}`, { cause: error })
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
  return join(directory, NAME)
}

async function cacheName(): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(SOURCE)).sort()) hash.update(name).update(await readFile(join(SOURCE, name)))
  return `pubsub-fake-${hash.digest('hex').slice(0, 16)}`
}

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { withLock } from './lock.ts'

const MANIFEST = 'manifest.json'

/** A file as it was downloaded: size in bytes, SHA-256 in hexadecimal. */
interface ManifestEntry {
  readonly name: string
  readonly size: number
  readonly sha256: string
}

/**
 * Where downloads are kept: `$TIDEMARK_CACHE`, else `$XDG_CACHE_HOME/tidemark`, else `~/.cache/tidemark`.
 * All checkouts and runs of one user share it.
 */
export function cacheDirectory(): string {
  const { TIDEMARK_CACHE, XDG_CACHE_HOME } = process.env
  return TIDEMARK_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'tidemark')
}

/** Says whether an intact download of that name is there. */
export function isCached(name: string): Promise<boolean> {
  return isIntact(join(cacheDirectory(), name))
}

/**
 * Gives the folder of a download, fetching it when it is missing or damaged. Several processes may call it at once:
 * one of them fetches, the others wait.
 * @param name folder name with the version in it
 * @param fetch fills the empty folder that it is given; files only, no folders
 */
export async function cached(name: string, fetch: (directory: string) => Promise<void>): Promise<string> {
  const root = cacheDirectory()
  const directory = join(root, name)
  if (await isIntact(directory)) return directory
  await mkdir(root, { recursive: true })
  return withLock(join(root, `${name}.lock`), async () => {
    if (await isIntact(directory)) return directory
    const fresh = await mkdtemp(join(root, `.${name}-`))
    try {
      await fetch(fresh)
      await writeFile(join(fresh, MANIFEST), JSON.stringify(await describe(fresh), undefined, 2))
      await rm(directory, { recursive: true, force: true })
      await rename(fresh, directory)
    } catch (error) {
      await rm(fresh, { recursive: true, force: true })
      throw error
    }
    return directory
  })
}

async function isIntact(directory: string): Promise<boolean> {
  try {
    const expected = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8')) as ManifestEntry[]
    const found = await describe(directory)
    return expected.length > 0 && JSON.stringify(expected) === JSON.stringify(found)
  } catch {
    return false
  }
}

async function describe(directory: string): Promise<ManifestEntry[]> {
  const names = (await readdir(directory)).filter(name => name !== MANIFEST).sort()
  return Promise.all(
    names.map(async name => {
      const path = join(directory, name)
      const hash = createHash('sha256')
      await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
      return { name, size: (await stat(path)).size, sha256: hash.digest('hex') }
    })
  )
}

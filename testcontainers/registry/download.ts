import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from '../support/cache.ts'
import { run } from '../support/run.ts'

/**
 * An old version of the plug-in, on purpose: newer ones want the descriptor of the parent project, which is not published
 * everywhere.
 */
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:2.8:get'
const TIMEOUT = 15 * 60_000

/**
 * Gives a folder with the jars of the server, fetching them once. All of them lie side by side: the names differ.
 * @throws Error with the end of the output when the download or the unpacking fails
 */
export function fetchRegistry(name: string, version: string): Promise<string> {
  return cached(name, async directory => {
    const title = `Apicurio Registry ${version} (about 110 MB)`
    const started = performance.now()
    console.error(`testcontainers: fetching ${title} with Maven, once`)
    try {
      const work = join(directory, 'work')
      await mkdir(work)
      const artifact = `-Dartifact=io.apicurio:apicurio-registry-app:${version}:tar.gz:all`
      // A local repository of its own says where the archive lies, and goes away with the archive.
      const local = `-Dmaven.repo.local=${join(work, 'repository')}`
      await run('mvn', ['-B', '-q', '-Dstyle.color=never', local, PLUGIN, artifact, '-Dtransitive=false'], {
        directory: work,
        timeout: TIMEOUT
      })
      const path = ['repository', 'io', 'apicurio', 'apicurio-registry-app', version]
      const archive = join(work, ...path, `apicurio-registry-app-${version}-all.tar.gz`)
      await run('tar', ['-xzf', archive], { directory: work, timeout: TIMEOUT })
      for (const folder of [work, join(work, 'lib')])
        for (const file of await readdir(folder))
          if (file.endsWith('.jar')) await rename(join(folder, file), join(directory, file))
      await rm(work, { recursive: true })
      console.error(`testcontainers: fetched ${title} in ${Math.round((performance.now() - started) / 1_000)} s`)
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error)
      throw new Error(`could not fetch ${title}: ${cause}`, { cause: error })
    }
  })
}

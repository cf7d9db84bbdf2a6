import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from '../support/cache.ts'
import { run } from '../support/run.ts'

const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'
const TIMEOUT = 15 * 60_000

/**
 * Gives a folder with the jars and the settings of the server, fetching them once. All of them lie side by side: the
 * names differ.
 * @throws Error with the end of the output when the download or the unpacking fails
 */
export function fetchPulsar(name: string, version: string): Promise<string> {
  return cached(name, async directory => {
    const title = `Apache Pulsar ${version} (about 240 MB)`
    const started = performance.now()
    console.error(`testcontainers: fetching ${title} with Maven, once`)
    try {
      const artifact = `-Dartifact=org.apache.pulsar:pulsar-server-distribution:${version}:tar.gz:bin`
      const work = join(directory, 'work')
      await mkdir(work)
      await run('mvn', ['-B', '-q', '-Dstyle.color=never', PLUGIN, artifact, `-DoutputDirectory=${work}`], {
        directory: work,
        timeout: TIMEOUT
      })
      const folder = `apache-pulsar-${version}`
      const wanted = [`${folder}/lib`, `${folder}/conf/standalone.conf`]
      await run('tar', ['-xzf', `pulsar-server-distribution-${version}-bin.tar.gz`, ...wanted], {
        directory: work,
        timeout: TIMEOUT
      })
      for (const part of ['lib', 'conf'])
        for (const file of await readdir(join(work, folder, part)))
          await rename(join(work, folder, part, file), join(directory, file))
      await rm(work, { recursive: true })
      console.error(`testcontainers: fetched ${title} in ${Math.round((performance.now() - started) / 1_000)} s`)
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error)
      throw new Error(`could not fetch ${title}: ${cause}`, { cause: error })
    }
  })
}

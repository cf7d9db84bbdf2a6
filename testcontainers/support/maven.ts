import { rename, rm, readdir, writeFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { run } from './run.ts'

/** What to fetch from Maven, with everything it needs at run time. */
export interface MavenDownload {
  /** Name of the folder in the cache, with the version in it. */
  readonly name: string
  /** What the progress line on stderr calls it, with its rough size. */
  readonly title: string
  /** `group:artifact:version` each. */
  readonly artifacts: readonly string[]
}

const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
const TIMEOUT = 15 * 60_000
const PROGRESS = 10_000

/**
 * Gives a folder with the jars, fetching them once. Says so on stderr, because it takes a while.
 * @throws Error with the end of Maven's output when the download fails
 */
export function mavenJars(download: MavenDownload): Promise<string> {
  return cached(download.name, async directory => {
    const started = performance.now()
    const seconds = (): number => Math.round((performance.now() - started) / 1_000)
    console.error(`testcontainers: fetching ${download.title} with Maven, once`)
    const progress = setInterval(
      () => console.error(`testcontainers: still fetching ${download.title}, ${seconds()} s`),
      PROGRESS
    )
    try {
      const project = join(directory, 'project')
      await mkdir(project)
      await writeFile(join(project, 'pom.xml'), pom(download.artifacts))
      const output = ['-DoutputDirectory=jars', '-DincludeScope=runtime']
      await run('mvn', ['-B', '-q', '-Dstyle.color=never', PLUGIN, ...output], { directory: project, timeout: TIMEOUT })
      const jars = await readdir(join(project, 'jars'))
      await Promise.all(jars.map(jar => rename(join(project, 'jars', jar), join(directory, jar))))
      await rm(project, { recursive: true })
      console.error(`testcontainers: fetched ${download.title} in ${seconds()} s`)
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error)
      throw new Error(`could not fetch ${download.title}: ${cause}`, { cause: error })
    } finally {
      clearInterval(progress)
    }
  })
}

function pom(artifacts: readonly string[]): string {
  const dependencies = artifacts.map(artifact => {
    const [group, name, version] = artifact.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemark</groupId><artifactId>testcontainers</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    ${dependencies.join('\n    ')}
  </dependencies>
</project>
`
}

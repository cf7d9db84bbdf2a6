import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cached } from '../../testcontainers/support/cache.ts'
import { run } from '../../testcontainers/support/run.ts'
import { javaCommand, missingJava, missingMaven } from '../../testcontainers/support/tools.ts'
import { missingPython, pythonWith } from '../../test/support/python.ts'
import { progress } from '../measure.ts'
import { PeerProcess } from './peer-process.ts'

/** A framework that is measured beside ours. */
export interface Peer {
  readonly title: string
  readonly version: string
  /** Why it cannot run here. */
  missing(): Promise<string | undefined>
  /** @param folder for its state */
  start(servers: string, folder: string): Promise<PeerProcess>
}

const sources = fileURLToPath(new URL('./streams', import.meta.url))
const script = fileURLToPath(new URL('./quix/peer.py', import.meta.url))
const buildTimeout = 15 * 60_000

export const kafkaStreams: Peer = {
  title: 'Kafka Streams',
  version: '4.3.1',
  missing: async () => (await missingJava(17)) ?? (await missingMaven()),
  async start(servers, folder) {
    const jars = await streamsJars()
    return new PeerProcess(javaCommand(), ['-Xmx1g', '-cp', join(jars, '*'), 'Peer', servers, folder])
  }
}

export const quixStreams: Peer = {
  title: 'Quix Streams',
  version: '3.28.1',
  missing: missingPython,
  async start(servers, folder) {
    return new PeerProcess(await pythonWith([`quixstreams==${this.version}`]), [script, servers, folder])
  }
}

/** The program and all that it needs, built by Maven once for each state of its sources. */
async function streamsJars(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of ['pom.xml', 'src/main/java/Peer.java']) hash.update(await readFile(join(sources, file)))
  return cached(`bench-streams-${hash.digest('hex').slice(0, 16)}`, async directory => {
    progress('building the program for Kafka Streams with Maven, once (about 100 MB)')
    const project = await mkdtemp(join(tmpdir(), 'tidemark-streams-'))
    try {
      await cp(sources, project, { recursive: true })
      const options = { directory: project, timeout: buildTimeout }
      await run('mvn', ['-B', '-q', '-Dstyle.color=never', 'package'], options)
      const built = join(project, 'target')
      const jars = await readdir(join(built, 'jars'))
      await cp(join(built, 'bench-streams-1.jar'), join(directory, 'bench-streams-1.jar'))
      for (const jar of jars) await cp(join(built, 'jars', jar), join(directory, jar))
    } finally {
      await rm(project, { recursive: true, force: true })
    }
  })
}

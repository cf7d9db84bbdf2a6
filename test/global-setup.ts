/**
 * Starts the servers that a whole test run shares, once, before the first test file. A test file reads what is there:
 *
 * ```ts
 * import { inject } from 'vitest'
 *
 * const kafka = inject('kafka')
 * if (kafka.state === 'running') connect(kafka.url)      // kafka.tls: the SASL_SSL listener, or undefined
 * else reportNotRun(kafka.reason)
 * ```
 *
 * A server is started when a test file of the run speaks of it. `BACKENDS=memory,file` leaves the others out.
 * `TIDEMARK_KAFKA_URL`, `TIDEMARK_PULSAR_URL`, `TIDEMARK_PUBSUB_URL`, `TIDEMARK_EVENTHUBS_URL`, `TIDEMARK_POSTGRES_URL`, `TIDEMARK_DYNAMODB_URL` and `TIDEMARK_REGISTRY_URL`
 * name servers that are up already. In CI a chosen server that cannot be started fails the run.
 */
import { readFile } from 'node:fs/promises'
import type { TestProject } from 'vitest/node'
import type { SecureListener } from '../testcontainers/server.ts'
import {
  sharedDynamodb,
  sharedEventhubs,
  sharedKafka,
  sharedKinesis,
  sharedPostgres,
  sharedPubsub,
  sharedPulsar,
  sharedRegistry,
  type SharedServer
} from '../testcontainers/shared.ts'

/** A server of the run, or the sentence that says why there is none. */
export type ProvidedServer =
  | {
      readonly state: 'running'
      readonly url: string
      readonly tls: SecureListener | undefined
      /** Of Pulsar: its binary protocol. */
      readonly serviceUrl?: string | undefined
    }
  | { readonly state: 'not run'; readonly reason: string }

declare module 'vitest' {
  interface ProvidedContext {
    /** The backends that this run was asked for, from the environment variable `BACKENDS`. */
    backends: readonly string[]
    kafka: ProvidedServer
    pulsar: ProvidedServer
    pubsub: ProvidedServer
    eventhubs: ProvidedServer
    kinesis: ProvidedServer
    postgres: ProvidedServer
    dynamodb: ProvidedServer
    /** A schema registry: the tests that want one speak of `apicurio`. */
    apicurio: ProvidedServer
  }
}

const STARTERS: Readonly<
  Record<
    'kafka' | 'pulsar' | 'pubsub' | 'eventhubs' | 'kinesis' | 'postgres' | 'dynamodb' | 'apicurio',
    () => Promise<SharedServer>
  >
> = {
  kafka: sharedKafka,
  pulsar: sharedPulsar,
  pubsub: sharedPubsub,
  eventhubs: sharedEventhubs,
  kinesis: sharedKinesis,
  postgres: sharedPostgres,
  dynamodb: sharedDynamodb,
  apicurio: sharedRegistry
}
const WITHOUT_SERVER = ['memory', 'file']

/** Called by vitest. The function that it returns stops what was started. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const known = [...WITHOUT_SERVER, ...Object.keys(STARTERS)]
  const backends = process.env.BACKENDS?.split(',').map(name => name.trim()) ?? known
  const unknown = backends.find(name => !known.includes(name))
  if (unknown !== undefined) throw new Error(`BACKENDS names "${unknown}", known are ${known.join(', ')}`)
  project.provide('backends', backends)

  const texts = await chosenTests(project)
  const started: SharedServer[] = []
  const failures: unknown[] = []
  const start = async (name: keyof typeof STARTERS): Promise<void> => {
    if (!backends.includes(name)) {
      return project.provide(name, { state: 'not run', reason: `BACKENDS leaves out ${name}` })
    }
    if (!texts.some(text => text.includes(name))) {
      return project.provide(name, { state: 'not run', reason: `no test file of this run speaks of ${name}` })
    }
    try {
      const server = await STARTERS[name]()
      started.push(server)
      const { url, tls, serviceUrl } = server
      project.provide(name, { state: 'running', url, tls, serviceUrl })
    } catch (error) {
      failures.push(error)
      project.provide(name, { state: 'not run', reason: error instanceof Error ? error.message : String(error) })
    }
  }
  await Promise.all(Object.keys(STARTERS).map(name => start(name as keyof typeof STARTERS)))
  if (process.env.CI && failures.length > 0) {
    await stopAll(started)
    throw failures[0]
  }
  return () => stopAll(started)
}

/** Paths and texts of the test files that the command line picks, so that `vitest run test/core` starts no server. */
async function chosenTests(project: TestProject): Promise<string[]> {
  const filters = process.argv.slice(2).filter(word => !word.startsWith('-') && !['run', 'watch', 'dev'].includes(word))
  const { testFiles } = await project.globTestFiles(filters)
  // What was taken for a path may be the value of an option: then all files count.
  const paths = testFiles.length > 0 ? testFiles : (await project.globTestFiles()).testFiles
  return Promise.all(paths.map(async path => `${path}\n${await readFile(path, 'utf8')}`))
}

async function stopAll(servers: readonly SharedServer[]): Promise<void> {
  await Promise.all(servers.map(server => server.stop()))
}

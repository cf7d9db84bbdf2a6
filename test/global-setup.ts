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
 * `BACKENDS=memory,file` leaves the others out. `TIDEMARK_KAFKA_URL` names a server that is up already. In CI a chosen
 * server that cannot be started fails the run.
 */
import type { TestProject } from 'vitest/node'
import type { SecureListener } from '../testcontainers/server.ts'
import { sharedKafka, type SharedServer } from '../testcontainers/shared.ts'

/** A server of the run, or the sentence that says why there is none. */
export type ProvidedServer =
  | { readonly state: 'running'; readonly url: string; readonly tls: SecureListener | undefined }
  | { readonly state: 'not run'; readonly reason: string }

declare module 'vitest' {
  interface ProvidedContext {
    /** The backends that this run was asked for, from the environment variable `BACKENDS`. */
    backends: readonly string[]
    kafka: ProvidedServer
  }
}

const STARTERS: Readonly<Record<'kafka', () => Promise<SharedServer>>> = { kafka: sharedKafka }
const WITHOUT_SERVER = ['memory', 'file']

/** Called by vitest. The function that it returns stops what was started. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const known = [...WITHOUT_SERVER, ...Object.keys(STARTERS)]
  const backends = (process.env.BACKENDS || known.join(',')).split(',').map(name => name.trim())
  const unknown = backends.find(name => !known.includes(name))
  if (unknown !== undefined) throw new Error(`BACKENDS names "${unknown}", known are ${known.join(', ')}`)
  project.provide('backends', backends)

  const started: SharedServer[] = []
  for (const name of Object.keys(STARTERS) as (keyof typeof STARTERS)[]) {
    if (!backends.includes(name)) {
      project.provide(name, { state: 'not run', reason: `BACKENDS leaves out ${name}` })
      continue
    }
    try {
      const server = await STARTERS[name]()
      started.push(server)
      project.provide(name, { state: 'running', url: server.url, tls: server.tls })
    } catch (error) {
      if (process.env.CI) {
        await stopAll(started)
        throw error
      }
      project.provide(name, { state: 'not run', reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return () => stopAll(started)
}

async function stopAll(servers: readonly SharedServer[]): Promise<void> {
  await Promise.all(servers.map(server => server.stop()))
}

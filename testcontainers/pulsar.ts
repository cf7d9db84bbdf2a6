/**
 * Apache Pulsar for tests and experiments: one broker with its own storage ("standalone"), on the loopback address, gone
 * with its data when the process that started it ends.
 *
 * ```ts
 * import { pulsarAvailable, startPulsar } from '../testcontainers/pulsar.ts'
 *
 * const reason = await pulsarAvailable()       // undefined, or the sentence that says what is missing
 * await using pulsar = await startPulsar()     // stops and removes it at the end of the block; or call stop()
 * pulsar.url                                   // pulsar://127.0.0.1:20123: web port, namespace public/default
 * pulsar.serviceUrl                            // pulsar://127.0.0.1:20124: binary protocol, for native clients
 * pulsar.tls                                   // { host, port, address, ca, caPath, users }: the web port with TLS
 * await pulsar.restart()                       // gracefully, same data, same ports
 * await pulsar.kill()                          // like a crash; it stays down until restart()
 * ```
 *
 * `startPulsar({ authentication: true })` lets in nobody without a token; `tls.users` holds tokens as passwords. In a test
 * file prefer the server that the whole run shares: `inject('pulsar')`. From a shell: `npm run up -- pulsar`.
 *
 * With a Docker daemon at hand it is a container (`pulsar/container.ts`; that path follows the documentation of the
 * image and has not been run yet). Otherwise it is a local process: Java 17 or later, openssl, and for the first start
 * Maven and tar, which bring 240 MB into the cache (`support/cache.ts`).
 */
import { rm } from 'node:fs/promises'
import { fetchPulsar } from './pulsar/download.ts'
import { makePlan, type PulsarOptions } from './pulsar/plan.ts'
import { type PulsarServer, startPulsarProcess } from './pulsar/process.ts'
import { isCached } from './support/cache.ts'
import { hasDocker } from './support/docker.ts'
import { onFreePorts } from './support/local-server.ts'
import { missingJava, missingMaven, missingOpenssl } from './support/tools.ts'

export type { PulsarOptions } from './pulsar/plan.ts'
export type { PulsarServer } from './pulsar/process.ts'
export type { SecureListener, Server, ServerUser } from './server.ts'

/** The version of the server: of the few that are published whole, the newest of the long-term line 4.0. */
export const PULSAR_VERSION = '4.0.8'

const CACHE_NAME = `pulsar-${PULSAR_VERSION}`
const JAVA_VERSION = 17

/** Says in one sentence why no Pulsar can be started on this machine; undefined when one can. */
export async function pulsarAvailable(): Promise<string | undefined> {
  if (await hasDocker()) return missingOpenssl()
  const reason = await missingForProcess()
  return reason && `Pulsar ${PULSAR_VERSION} cannot be started: no Docker daemon answers, and ${reason}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up
 */
export async function startPulsar(options: PulsarOptions = {}): Promise<PulsarServer> {
  const docker = options.runtime ? options.runtime === 'docker' : await hasDocker()
  const reason = docker ? await missingOpenssl() : await missingForProcess()
  if (reason) throw new Error(`Pulsar ${PULSAR_VERSION} cannot be started: ${reason}`)
  const files = docker ? '' : await fetchPulsar(CACHE_NAME, PULSAR_VERSION)
  return onFreePorts(options.port !== undefined, async () => {
    const plan = await makePlan(options)
    try {
      if (!docker) return await startPulsarProcess(plan, files)
      // Loaded late: it brings the Docker client.
      const { startPulsarContainer } = await import('./pulsar/container.ts')
      return await startPulsarContainer(plan, PULSAR_VERSION)
    } catch (error) {
      await rm(plan.directory, { recursive: true, force: true })
      throw error
    }
  })
}

async function missingForProcess(): Promise<string | undefined> {
  const reason = (await missingOpenssl()) ?? (await missingJava(JAVA_VERSION))
  return reason ?? ((await isCached(CACHE_NAME)) ? undefined : missingMaven())
}

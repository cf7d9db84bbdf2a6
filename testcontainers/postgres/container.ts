import { rm } from 'node:fs/promises'
import { getContainerRuntimeClient, Wait } from 'testcontainers'
import { LoopbackContainer } from '../kafka/container.ts'
import type { LocalServer } from '../support/local-server.ts'
import { POSTGRES_VERSION } from './download.ts'
import { type PostgresPlan, READY, settingArguments } from './plan.ts'

const STOP_TIMEOUT = 20_000

/**
 * Starts PostgreSQL as a container, with the settings of the local process. The data lives in a volume of the container's
 * own. This path follows the documentation of the `postgres` image and of `testcontainers`; it has not been run yet.
 */
export async function startPostgresContainer(plan: PostgresPlan): Promise<LocalServer> {
  const { url, directory, port, user, password, settings, timeout } = plan
  const started = await new LoopbackContainer(`postgres:${POSTGRES_VERSION}`)
    .withLoopbackPorts(port)
    .withEnvironment({
      POSTGRES_USER: user,
      POSTGRES_PASSWORD: password,
      POSTGRES_DB: 'postgres',
      POSTGRES_INITDB_ARGS: '--auth-host=scram-sha-256'
    })
    .withCommand(['postgres', '-p', String(port), ...settingArguments(settings)])
    // The image starts it twice: the first time it sets it up and listens on a local socket only.
    .withWaitStrategy(Wait.forLogMessage(new RegExp(READY), 2))
    .withStartupTimeout(timeout)
    .start()

  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await started.stop({ timeout: STOP_TIMEOUT, removeVolumes: true })
    await rm(directory, { recursive: true, force: true })
  }
  return {
    url,
    runtime: 'docker',
    pid: undefined,
    logFile: undefined,
    async restart() {
      await started.restart({ timeout: STOP_TIMEOUT })
    },
    async kill() {
      const client = await getContainerRuntimeClient()
      await client.container.getById(started.getId()).kill({ signal: 'SIGKILL' })
    },
    stop,
    [Symbol.asyncDispose]: stop
  }
}

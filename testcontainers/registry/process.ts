import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Server } from '../server.ts'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { startLocalServer } from '../support/local-server.ts'
import { javaCommand } from '../support/tools.ts'
import type { RegistryPlan } from './plan.ts'

const STOP_TIMEOUT = 20_000

/**
 * Starts Apicurio Registry as a local Java process that keeps its data in a database file.
 * @param files folder with the jars
 * @throws StartError with the end of the log when it does not come up
 */
export async function startRegistryProcess(plan: RegistryPlan, files: string): Promise<Server> {
  const { directory, url, tls } = plan
  const logFile = join(directory, 'server.log')
  const start = async (): Promise<GuardedProcess> => {
    const order = {
      command: javaCommand(),
      args: [
        ...[`-Xmx${plan.heap}`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
        ...['-cp', join(files, '*'), 'io.quarkus.runner.GeneratedMain']
      ],
      environment: settings(plan),
      logFile,
      ready: 'Using the following RegistryStorage',
      removeWhenOrphaned: [directory]
    }
    const started = await startGuarded(order, plan.timeout)
    await served(plan, () => started.pid !== undefined)
    return started
  }
  const options = { title: 'Apicurio Registry', url, directory, logFile, stopTimeout: STOP_TIMEOUT, start }
  return Object.assign(await startLocalServer(options), { tls })
}

function settings({ directory, port, tls, keyPath, certificatePath }: RegistryPlan): Record<string, string> {
  const database = join(directory, 'registry')
  return {
    QUARKUS_HTTP_HOST: tls.host,
    QUARKUS_HTTP_PORT: String(port),
    QUARKUS_HTTP_SSL_PORT: String(tls.port),
    QUARKUS_HTTP_SSL_CERTIFICATE_FILES: certificatePath,
    QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES: keyPath,
    QUARKUS_HTTP_INSECURE_REQUESTS: 'enabled',
    APICURIO_STORAGE_KIND: 'sql',
    APICURIO_STORAGE_SQL_KIND: 'h2',
    // Written through, so that what was answered survives a crash.
    APICURIO_DATASOURCE_URL: `jdbc:h2:file:${database};WRITE_DELAY=0`
  }
}

/** Resolves when the API answers, with the rule for all subjects that Confluent starts with. */
async function served({ url, timeout }: RegistryPlan, isUp: () => boolean): Promise<void> {
  const deadline = performance.now() + timeout
  for (;;) {
    const answer = await fetch(`${url}/config`, { signal: AbortSignal.timeout(10_000) }).then(
      async response => (response.ok ? ((await response.json()) as { compatibilityLevel?: string }) : undefined),
      () => undefined
    )
    if (answer && answer.compatibilityLevel !== 'NONE') return
    if (answer)
      await fetch(`${url}/config`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ compatibility: 'BACKWARD' }),
        signal: AbortSignal.timeout(10_000)
      })
    if (!isUp()) throw new Error('Apicurio Registry ended while it was starting')
    if (performance.now() > deadline) throw new Error(`Apicurio Registry was not ready after ${timeout} ms`)
    await delay(50)
  }
}

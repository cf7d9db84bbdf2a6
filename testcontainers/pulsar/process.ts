import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Server } from '../server.ts'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { startLocalServer } from '../support/local-server.ts'
import { javaCommand } from '../support/tools.ts'
import { JAVA_ARGUMENTS, QUICK_START, READY, standaloneConf } from './configuration.ts'
import type { PulsarPlan } from './plan.ts'

const STOP_TIMEOUT = 30_000

/** A server that also speaks the binary protocol. */
export interface PulsarServer extends Server {
  /** Address for native clients, without encryption: `pulsar://127.0.0.1:20124`. It never changes. */
  readonly serviceUrl: string
}

/**
 * Starts Pulsar as a local Java process.
 * @param files folder with the jars and `standalone.conf`
 * @throws StartError with the end of the log when it does not come up
 */
export async function startPulsarProcess(plan: PulsarPlan, files: string): Promise<PulsarServer> {
  const { directory, url, tls } = plan
  const file = (name: string): string => join(directory, name)
  const layout = { ...plan, bind: '127.0.0.1', webTlsPort: tls.port, caPath: tls.caPath }
  const shipped = await readFile(join(files, 'standalone.conf'), 'utf8')
  await writeFile(file('standalone.conf'), standaloneConf(shipped, layout, plan.properties))

  const start = async (): Promise<GuardedProcess> => {
    const order = {
      command: javaCommand(),
      args: [
        ...['-cp', join(files, '*'), `-Xmx${plan.heap}`, `-XX:MaxDirectMemorySize=${plan.heap}`, ...JAVA_ARGUMENTS],
        ...(plan.optimised ? [] : [QUICK_START]),
        `-Dlog4j.configurationFile=${file('log4j2.properties')}`,
        `-Dpulsar.config.file=${file('standalone.conf')}`,
        'org.apache.pulsar.PulsarStandaloneStarter',
        ...['--config', file('standalone.conf'), '--no-functions-worker', '--no-stream-storage'],
        ...['--metadata-dir', file('metadata'), '--bookkeeper-dir', file('bookkeeper')]
      ],
      environment: {},
      logFile: file('server.log'),
      ready: READY,
      removeWhenOrphaned: [directory]
    }
    const started = await startGuarded(order, plan.timeout)
    await served(plan, () => started.pid !== undefined)
    return started
  }

  const options = { title: 'Pulsar', url, directory, logFile: file('server.log'), stopTimeout: STOP_TIMEOUT, start }
  return Object.assign(await startLocalServer(options), { serviceUrl: `pulsar://127.0.0.1:${plan.brokerPort}`, tls })
}

/** Resolves when the namespace that clients use by default is there and served. */
export async function served({ webPort, adminToken, timeout }: PulsarPlan, isUp: () => boolean): Promise<void> {
  const headers = adminToken === undefined ? {} : { authorization: `Bearer ${adminToken}` }
  const deadline = performance.now() + timeout
  for (;;) {
    // The health check writes and reads a message; the list needs the namespace.
    const answers = await Promise.all(
      ['brokers/health', 'persistent/public/default'].map(path =>
        fetch(`http://127.0.0.1:${webPort}/admin/v2/${path}`, { headers, signal: AbortSignal.timeout(10_000) }).then(
          async answer => (await answer.text(), answer.ok),
          () => false
        )
      )
    )
    if (answers.every(Boolean)) return
    if (!isUp()) throw new Error('Pulsar ended while it was starting')
    if (performance.now() > deadline) throw new Error(`Pulsar was not ready after ${timeout} ms`)
    await delay(100)
  }
}

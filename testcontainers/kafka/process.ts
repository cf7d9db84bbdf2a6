import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from '../server.ts'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { startLocalServer } from '../support/local-server.ts'
import { run } from '../support/run.ts'
import { javaCommand } from '../support/tools.ts'
import { formatArguments, kafkaProperties, READY } from './configuration.ts'
import type { KafkaPlan } from './plan.ts'

const STOP_TIMEOUT = 30_000

/**
 * Starts Kafka as a local Java process.
 * @param jars folder with Kafka and what it needs
 * @throws StartError with the end of the log when it does not come up
 */
export async function startKafkaProcess(plan: KafkaPlan, jars: string): Promise<Server> {
  const { directory, url, tls } = plan
  const file = (name: string): string => join(directory, name)
  const java = javaCommand()
  const common = ['-cp', join(jars, '*'), '-XX:+UseSerialGC', '-XX:-UsePerfData']
  const logging = `-Dlog4j2.configurationFile=${file('log4j2.properties')}`

  await writeFile(file('server.properties'), properties(plan))
  // Short-lived: the quick compiler alone is faster.
  const format = [...common, '-XX:TieredStopAtLevel=1', logging, 'kafka.tools.StorageTool']
  await run(java, [...format, ...formatArguments(plan.clusterId, file('server.properties'))], { timeout: plan.timeout })

  const start = (): Promise<GuardedProcess> => {
    const order = {
      command: java,
      args: [...common, `-Xmx${plan.heap}`, logging, 'kafka.Kafka', file('server.properties')],
      environment: {},
      logFile: file('server.log'),
      ready: READY,
      removeWhenOrphaned: [directory]
    }
    return startGuarded(order, plan.timeout)
  }

  const options = { title: 'Kafka', url, directory, logFile: file('server.log'), stopTimeout: STOP_TIMEOUT, start }
  return Object.assign(await startLocalServer(options), { tls })
}

function properties(plan: KafkaPlan): string {
  const { plainPort, controllerPort, directory, certificates } = plan
  const layout = {
    bind: '127.0.0.1',
    plainPort,
    securePort: plan.tls.port,
    controllerPort,
    data: join(directory, 'data'),
    certificates
  }
  return kafkaProperties(layout, plan.properties)
}

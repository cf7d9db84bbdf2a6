import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from '../server.ts'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { startLocalServer } from '../support/local-server.ts'
import { run } from '../support/run.ts'
import { javaCommand } from '../support/tools.ts'
import {
  controllerProperties,
  FENCED,
  formatArguments,
  type KafkaLayout,
  kafkaProperties,
  READY
} from './configuration.ts'
import type { KafkaPlan } from './plan.ts'

const STOP_TIMEOUT = 30_000
/** The quick compiler alone is faster. */
const SHORT_LIVED = '-XX:TieredStopAtLevel=1'

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

  const layout = layoutOf(plan)
  await writeFile(file('server.properties'), kafkaProperties(layout, plan.properties))
  await writeFile(file('controller.properties'), controllerProperties(layout))
  const format = [...common, SHORT_LIVED, logging, 'kafka.tools.StorageTool']
  await run(java, [...format, ...formatArguments(plan.clusterId, file('server.properties'))], { timeout: plan.timeout })

  const launch = (settings: string, ready: string, ...tuning: readonly string[]): Promise<GuardedProcess> => {
    const order = {
      command: java,
      args: [...common, ...tuning, `-Xmx${plan.heap}`, logging, 'kafka.Kafka', file(settings)],
      environment: {},
      logFile: file('server.log'),
      ready,
      removeWhenOrphaned: [directory]
    }
    return startGuarded(order, plan.timeout)
  }

  /**
   * A broker that is back before the controller has noticed that it was gone takes its partitions up, loses all of them when
   * its old session ends, and leaves out the markers of every transaction whose end was decided: these records stay hidden
   * for ever (Kafka 4.3, `addTxnMarkersToBrokerQueue`). With more than one replica another one leads by then; here there is one,
   * and the controller comes back together with it. So the controller goes first.
   */
  const start = async (crashed: boolean): Promise<GuardedProcess> => {
    // Ended, not killed: what it has decided must be on its disk.
    if (crashed) await (await launch('controller.properties', FENCED, SHORT_LIVED)).terminate(STOP_TIMEOUT)
    return launch('server.properties', READY)
  }

  const options = { title: 'Kafka', url, directory, logFile: file('server.log'), stopTimeout: STOP_TIMEOUT, start }
  return Object.assign(await startLocalServer(options), { tls })
}

function layoutOf({ plainPort, controllerPort, directory, certificates, tls }: KafkaPlan): KafkaLayout {
  return {
    bind: '127.0.0.1',
    plainPort,
    securePort: tls.port,
    controllerPort,
    data: join(directory, 'data'),
    certificates
  }
}

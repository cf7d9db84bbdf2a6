import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import type { Server } from '../server.ts'
import { formatArguments, kafkaProperties, READY } from './configuration.ts'
import type { KafkaPlan } from './plan.ts'

const HOME = '/tidemark'
const STOP_TIMEOUT = 30_000

/** Publishes ports on the loopback address only, under the same number inside and outside. */
export class LoopbackContainer extends GenericContainer {
  withLoopbackPorts(...ports: readonly number[]): this {
    const names = ports.map(port => `${port}/tcp`)
    this.createOpts.ExposedPorts = Object.fromEntries(names.map(name => [name, {}]))
    this.hostConfig.PortBindings = Object.fromEntries(
      names.map((name, index) => [name, [{ HostIp: '127.0.0.1', HostPort: String(ports[index]) }]])
    )
    return this
  }
}

/**
 * Starts Kafka as a container, with the settings of the local process. The data lives in the container's own layer.
 * This path follows the documentation of the `apache/kafka` image and of `testcontainers`; it has not been run yet.
 */
export async function startKafkaContainer(plan: KafkaPlan, version: string): Promise<Server> {
  const { url, tls, directory, plainPort, controllerPort } = plan
  const inside = (name: string): string => `${HOME}/${name}`
  const layout = {
    bind: '0.0.0.0',
    plainPort,
    securePort: tls.port,
    controllerPort,
    data: '/tmp/kafka-data',
    certificates: inside('server.pem')
  }
  // Formatting what is formatted already does nothing, so that the same command serves restarts.
  const command = `/opt/kafka/bin/kafka-storage.sh "$@" && exec /opt/kafka/bin/kafka-server-start.sh ${inside('server.properties')}`
  const started = await new LoopbackContainer(`apache/kafka:${version}`)
    .withLoopbackPorts(plainPort, tls.port)
    .withEnvironment({
      KAFKA_HEAP_OPTS: `-Xmx${plan.heap}`,
      KAFKA_LOG4J_OPTS: `-Dlog4j2.configurationFile=${inside('log4j2.properties')}`
    })
    .withCopyContentToContainer([
      { content: kafkaProperties(layout, plan.properties), target: inside('server.properties'), mode: 0o644 }
    ])
    .withCopyFilesToContainer([
      { source: plan.certificates, target: inside('server.pem'), mode: 0o644 },
      { source: join(directory, 'log4j2.properties'), target: inside('log4j2.properties'), mode: 0o644 }
    ])
    .withEntrypoint(['/bin/bash', '-c', command, 'kafka'])
    .withCommand(formatArguments(plan.clusterId, inside('server.properties')))
    .withWaitStrategy(Wait.forLogMessage(READY))
    .withStartupTimeout(plan.timeout)
    .start()

  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await started.stop({ timeout: STOP_TIMEOUT })
    await rm(directory, { recursive: true, force: true })
  }
  return {
    url,
    tls,
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

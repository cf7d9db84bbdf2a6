/**
 * Apache Kafka for tests and experiments: one broker in KRaft mode, on the loopback address, gone with its data when
 * the process that started it ends.
 *
 * ```ts
 * import { kafkaAvailable, startKafka } from '../testcontainers/kafka.ts'
 *
 * const reason = await kafkaAvailable()        // undefined, or the sentence that says what is missing
 * await using kafka = await startKafka()       // stops and removes it at the end of the block; or call stop()
 * kafka.url                                    // kafka://127.0.0.1:20123: no encryption, no user
 * kafka.tls                                    // { host, port, address, ca, caPath, users }: the SASL_SSL listener
 * await kafka.restart()                        // gracefully, same data, same ports
 * await kafka.kill()                           // like a crash; it stays down until restart()
 * ```
 *
 * In a test file prefer the server that the whole run shares: `inject('kafka')`, see `test/global-setup.ts`. From a
 * shell: `npm run up -- kafka`. Topics are not created by using them: create them first.
 *
 * With a Docker daemon at hand it is a container (`kafka/container.ts`; that path follows the documentation of the
 * image and has not been run yet). Otherwise it is a local process: Java 17 or later, openssl, and Maven for the first
 * start, which fetches the jars into the cache (`support/cache.ts`).
 */
import { rm } from 'node:fs/promises'
import { makePlan, type KafkaOptions } from './kafka/plan.ts'
import { startKafkaProcess } from './kafka/process.ts'
import type { Server } from './server.ts'
import { isCached } from './support/cache.ts'
import { hasDocker } from './support/docker.ts'
import { onFreePorts } from './support/local-server.ts'
import { mavenJars, type MavenDownload } from './support/maven.ts'
import { missingJava, missingMaven, missingOpenssl } from './support/tools.ts'

export { KAFKA_USERS } from './kafka/configuration.ts'
export type { KafkaOptions } from './kafka/plan.ts'
export type { SecureListener, Server, ServerUser } from './server.ts'

/** The version of the server. */
export const KAFKA_VERSION = '4.3.1'

const JARS: MavenDownload = {
  name: `kafka-${KAFKA_VERSION}`,
  title: `Apache Kafka ${KAFKA_VERSION} (about 55 MB)`,
  artifacts: [
    `org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`,
    `org.apache.kafka:kafka-tools:${KAFKA_VERSION}`,
    'org.apache.logging.log4j:log4j-slf4j-impl:2.26.1'
  ]
}
const JAVA_VERSION = 17

/** Says in one sentence why no Kafka can be started on this machine; undefined when one can. */
export async function kafkaAvailable(): Promise<string | undefined> {
  if (await hasDocker()) return missingOpenssl()
  const reason = await missingForProcess()
  return reason && `Kafka ${KAFKA_VERSION} cannot be started: no Docker daemon answers, and ${reason}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up
 */
export async function startKafka(options: KafkaOptions = {}): Promise<Server> {
  const docker = options.runtime ? options.runtime === 'docker' : await hasDocker()
  const reason = docker ? await missingOpenssl() : await missingForProcess()
  if (reason) throw new Error(`Kafka ${KAFKA_VERSION} cannot be started: ${reason}`)
  const jars = docker ? '' : await mavenJars(JARS)
  return onFreePorts(options.port !== undefined, async () => {
    const plan = await makePlan(options)
    try {
      if (!docker) return await startKafkaProcess(plan, jars)
      // Loaded late: it brings the Docker client.
      const { startKafkaContainer } = await import('./kafka/container.ts')
      return await startKafkaContainer(plan, KAFKA_VERSION)
    } catch (error) {
      await rm(plan.directory, { recursive: true, force: true })
      throw error
    }
  })
}

async function missingForProcess(): Promise<string | undefined> {
  const reason = (await missingOpenssl()) ?? (await missingJava(JAVA_VERSION))
  return reason ?? ((await isCached(JARS.name)) ? undefined : missingMaven())
}

/**
 * Amazon DynamoDB for tests and experiments, on the loopback address, gone with its data when the process that started it
 * ends.
 *
 * ```ts
 * import { dynamodbAvailable, startDynamodb } from '../testcontainers/dynamodb.ts'
 *
 * const reason = await dynamodbAvailable()     // undefined, or the sentence that says what is missing
 * await using server = await startDynamodb()   // stops and removes it at the end of the block; or call stop()
 * server.url                                   // dynamodb://us-east-1/tidemark?endpoint=http://127.0.0.1:20123
 * server.endpoint                              // for AWS clients, with any keys
 * await server.restart()                       // same data, same port
 * await server.kill()                          // like a crash; it stays down until restart()
 * ```
 *
 * It is AWS's own DynamoDB local, from Maven (51 MB, fetched once into the cache, `support/cache.ts`): a JDK 17 or later, and
 * Maven for the first start. It checks the sizes of items and transactions and all conditions as on AWS. What it has not:
 * limits of throughput, permissions, several copies of the data that are read before they are up to date.
 *
 * In a test file prefer the server that the whole run shares: `inject('dynamodb')`. From a shell: `npm run up -- dynamodb`.
 */
import { type DynamodbServer, type DynamodbServerOptions, runDynamodb } from './dynamodb/process.ts'
import { isCached } from './support/cache.ts'
import { mavenJars, type MavenDownload } from './support/maven.ts'
import { javaCommand, missingJava, missingMaven } from './support/tools.ts'
import { run } from './support/run.ts'

export type { DynamodbServer, DynamodbServerOptions } from './dynamodb/process.ts'

/** The version of the server. */
export const DYNAMODB_VERSION = '2.6.1'

const JARS: MavenDownload = {
  name: `dynamodb-local-${DYNAMODB_VERSION}`,
  title: `DynamoDB local ${DYNAMODB_VERSION} (51 MB)`,
  artifacts: [`com.amazonaws:DynamoDBLocal:${DYNAMODB_VERSION}`]
}
const JAVA_VERSION = 17

/** Says in one sentence why no DynamoDB can be started on this machine; undefined when one can. */
export async function dynamodbAvailable(): Promise<string | undefined> {
  const reason = (await missingJava(JAVA_VERSION)) ?? (await missingCompiler())
  const missing = reason ?? ((await isCached(JARS.name)) ? undefined : await missingMaven())
  return missing && `DynamoDB local ${DYNAMODB_VERSION} cannot be started: ${missing}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing, or with the end of the server's log when it does not come up
 */
export async function startDynamodb(options: DynamodbServerOptions = {}): Promise<DynamodbServer> {
  const reason = await dynamodbAvailable()
  if (reason) throw new Error(reason)
  return runDynamodb(options, await mavenJars(JARS))
}

/** The few lines that keep it on the loopback address are compiled at each start. */
async function missingCompiler(): Promise<string | undefined> {
  const { stdout } = await run(javaCommand(), ['--list-modules']).catch(() => ({ stdout: '' }))
  return stdout.includes('jdk.compiler') ? undefined : `${javaCommand()} has no compiler: a JDK is needed, not a JRE`
}

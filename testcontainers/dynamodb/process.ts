import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type GuardedProcess, startGuarded } from '../support/guarded-process.ts'
import { type LocalServer, onFreePorts, startLocalServer } from '../support/local-server.ts'
import { freePorts, isFree } from '../support/ports.ts'
import { javaCommand } from '../support/tools.ts'

export interface DynamodbServer extends LocalServer {
  /** `http://127.0.0.1:8000`, as AWS clients want it for their endpoint. It never changes. */
  readonly endpoint: string
}

export interface DynamodbServerOptions {
  /** A free one when left out. */
  readonly port?: number | undefined
  /** Milliseconds that a start or restart may take; a minute when left out. */
  readonly timeout?: number | undefined
}

const HOST = '127.0.0.1'
const STOP_TIMEOUT = 10_000
const launcher = fileURLToPath(new URL('./Loopback.java', import.meta.url))

/**
 * Runs DynamoDB local as a Java process. What it has acknowledged survives `kill`.
 *
 * @param jars folder with it and what it needs
 * @throws StartError with the end of the log when it does not come up
 */
export async function runDynamodb(options: DynamodbServerOptions, jars: string): Promise<DynamodbServer> {
  const { port: wanted, timeout = 60_000 } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  return onFreePorts(wanted !== undefined, async () => {
    const port = wanted ?? (await freePorts(1))[0]!
    const directory = await mkdtemp(join(tmpdir(), 'tidemark-dynamodb-'))
    await mkdir(join(directory, 'data'))
    const logFile = join(directory, 'server.log')
    const order = {
      command: javaCommand(),
      args: [
        ...['-Xmx256m', '-XX:+UseSerialGC', '-XX:-UsePerfData', '-XX:TieredStopAtLevel=1'],
        ...[`-Djava.library.path=${jars}`, '-cp', join(jars, '*'), launcher],
        ...['-port', String(port), '-dbPath', join(directory, 'data'), '-sharedDb', '-disableTelemetry']
      ],
      environment: {},
      logFile,
      ready: 'listening on 127.0.0.1',
      removeWhenOrphaned: [directory]
    }
    const start = (): Promise<GuardedProcess> => startGuarded(order, timeout)
    const endpoint = `http://${HOST}:${port}`
    const url = `dynamodb://us-east-1/tidemark?endpoint=${endpoint}`
    try {
      const common = { title: 'DynamoDB', url, directory, logFile, stopTimeout: STOP_TIMEOUT, start }
      return Object.assign(await startLocalServer(common), { endpoint })
    } catch (error) {
      await rm(directory, { recursive: true, force: true })
      throw error
    }
  })
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { type LocalServer, startLocalServer } from '../support/local-server.ts'
import { freePorts, isFree } from '../support/ports.ts'

/** A server without TLS and users: neither the fake nor the emulator has them. */
export interface PubsubServer extends LocalServer {
  /** `host:port`, as client libraries want it in `PUBSUB_EMULATOR_HOST`. It never changes. */
  readonly address: string
}

export interface PubsubServerOptions {
  /** A free one when left out. */
  readonly port?: number | undefined
  /** Milliseconds that a start or restart may take, downloads and the build not counted; a minute when left out. */
  readonly timeout?: number | undefined
}

/** What to run. */
export interface PubsubCommand {
  readonly title: string
  readonly command: string
  /** The arguments for a host and a port. */
  args(host: string, port: number): readonly string[]
  /** Regular expression for the text in the output that says the server accepts clients. */
  readonly ready: string
}

const HOST = '127.0.0.1'
const STOP_TIMEOUT = 10_000

/**
 * Runs one of the servers as a local process. Its data is in its memory: a restart begins with nothing.
 * @throws StartError with the end of the log when it does not come up
 */
export async function runPubsub(command: PubsubCommand, options: PubsubServerOptions): Promise<PubsubServer> {
  const { port: wanted, timeout = 60_000 } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  const port = wanted ?? (await freePorts(1))[0]!
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-pubsub-'))
  const logFile = join(directory, 'server.log')
  const start = (): Promise<GuardedProcess> => {
    const { command: program, ready } = command
    const order = {
      command: program,
      args: command.args(HOST, port),
      environment: {},
      logFile,
      ready,
      removeWhenOrphaned: [directory]
    }
    return startGuarded(order, timeout)
  }
  const url = `pubsub://tidemark-test?emulator=${HOST}:${port}`
  try {
    const server = { title: command.title, url, directory, logFile, stopTimeout: STOP_TIMEOUT, start }
    return Object.assign(await startLocalServer(server), { address: `${HOST}:${port}` })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

import { rm } from 'node:fs/promises'
import type { Server } from '../server.ts'
import { type GuardedProcess, StartError } from './guarded-process.ts'

/** What the servers that run as local processes have in common. */
export type LocalServer = Omit<Server, 'tls'>

export interface LocalServerOptions {
  /** As messages call it: `Kafka`. */
  readonly title: string
  readonly url: string
  /** All that is its own: data and log. It goes away with `stop`. */
  readonly directory: string
  readonly logFile: string
  /** Milliseconds that a graceful end may take. */
  readonly stopTimeout: number
  /**
   * Resolves when clients can connect; called again after each end.
   * @param crashed the one before was killed
   */
  start(crashed: boolean): Promise<GuardedProcess>
}

/** The lifecycle of a server process. Add what is special to one with `Object.assign`, which keeps `pid` alive. */
export async function startLocalServer(options: LocalServerOptions): Promise<LocalServer> {
  const { title, url, directory, logFile, stopTimeout, start } = options
  let current = await start(false)
  let crashed = false
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await current.terminate(stopTimeout)
    await rm(directory, { recursive: true, force: true })
  }
  return {
    url,
    runtime: 'process',
    get pid() {
      return current.pid
    },
    logFile,
    async restart() {
      if (stopped) throw new Error(`the ${title} of ${url} was stopped and its data removed: start a new one`)
      await current.terminate(stopTimeout)
      current = await start(crashed)
      crashed = false
    },
    async kill() {
      crashed = true
      await current.kill()
    },
    stop,
    [Symbol.asyncDispose]: stop
  }
}

const attempts = 3

/**
 * Starts a server on ports that were free a moment ago, again on others when somebody else took one of them before it.
 * @param fixed the port was given: then there is no other to try
 */
export async function onFreePorts<Started>(fixed: boolean, start: () => Promise<Started>): Promise<Started> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start()
    } catch (error) {
      const lostRace =
        error instanceof StartError && /address already in use|BindException|EADDRINUSE/i.test(error.exit.tail)
      if (!lostRace || fixed || attempt === attempts) throw error
    }
  }
}

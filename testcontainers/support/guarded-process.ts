import { fork, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** What the guard is told to do. Plain data. */
export interface GuardOrder {
  readonly command: string
  readonly args: readonly string[]
  /** Added to our own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** File that output and errors of the server are appended to. */
  readonly logFile: string
  /** Regular expression for the text in the output that says the server accepts clients. */
  readonly ready: string
  /** Files and folders to remove when we are gone without having stopped the server. */
  readonly removeWhenOrphaned: readonly string[]
  /** Runs it as somebody else; only root can. */
  readonly user?: { readonly uid: number; readonly gid: number }
}

/** What the guard reports. Plain data. */
export type GuardMessage = { readonly type: 'started'; readonly pid: number } | { readonly type: 'ready' } | Exit

/** How a server ended. `tail` is the end of what it wrote. */
export interface Exit {
  readonly type: 'exited'
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly tail: string
}

/** A server process that cannot outlive this one. */
export interface GuardedProcess {
  /** Process id of the server itself; undefined once it ended. */
  readonly pid: number | undefined
  /** Ends it with SIGKILL and waits until it is gone. */
  kill(): Promise<Exit>
  /** Asks it to end with SIGTERM, and kills it after `grace` milliseconds. Waits until it is gone. */
  terminate(grace: number): Promise<Exit>
}

/** Says that a server ended before it was ready. `exit.tail` is the end of its log. */
export class StartError extends Error {
  readonly exit: Exit

  constructor(message: string, exit: Exit) {
    super(message)
    this.exit = exit
  }
}

const guard = fileURLToPath(new URL('./guard.ts', import.meta.url))

/**
 * Starts a server and resolves when its output shows that it is ready. From then on it does not keep our process alive.
 * @param timeout milliseconds to become ready; then it is killed
 * @throws StartError when it ended before, or was too slow
 */
export async function startGuarded(order: GuardOrder, timeout: number): Promise<GuardedProcess> {
  const { NODE_OPTIONS: _, ...environment } = process.env
  const keeper = fork(guard, [JSON.stringify(order)], {
    detached: true,
    env: environment,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc']
  })
  let pid: number | undefined
  const ready = Promise.withResolvers<void>()
  const exited = Promise.withResolvers<Exit>()
  keeper.on('message', (message: GuardMessage) => {
    if (message.type === 'started') pid = message.pid
    if (message.type === 'ready') ready.resolve()
    if (message.type === 'exited') exited.resolve(message)
  })
  keeper.once('error', error => exited.resolve({ type: 'exited', code: null, signal: null, tail: error.message }))
  keeper.once('exit', (code, signal) => {
    // The guard itself was killed: nobody else is left to end the server.
    if (code !== 0) signalProcess(pid, 'SIGKILL')
    const finish = (): void => exited.resolve({ type: 'exited', code, signal, tail: 'the guard of the server ended' })
    // Its last message may still be unread in the channel.
    if (keeper.connected) keeper.once('disconnect', finish)
    else finish()
  })
  const ended = exited.promise.then(exit => {
    pid = undefined
    return exit
  })

  const end = async (signal: NodeJS.Signals, grace: number): Promise<Exit> => {
    hold(keeper, true)
    signalProcess(pid, signal)
    const cancel = new AbortController()
    const late = delay(grace, undefined, { signal: cancel.signal }).then(
      () => signalProcess(pid, 'SIGKILL'),
      () => {}
    )
    const exit = await ended
    cancel.abort()
    await late
    return exit
  }

  const timer = AbortSignal.timeout(timeout)
  const tooSlow = Promise.withResolvers<'too slow'>()
  timer.addEventListener('abort', () => tooSlow.resolve('too slow'), { once: true })
  const outcome = await Promise.race([ready.promise, ended, tooSlow.promise])
  if (outcome === 'too slow') {
    const exit = await end('SIGKILL', timeout)
    throw new StartError(`${order.command} was not ready after ${timeout} ms. Its last output:\n${exit.tail}`, exit)
  }
  if (outcome) {
    const status = outcome.signal ?? `status ${outcome.code}`
    throw new StartError(`${order.command} ended with ${status} while starting:\n${outcome.tail}`, outcome)
  }
  hold(keeper, false)

  return {
    get pid() {
      return pid
    },
    kill: () => end('SIGKILL', 10_000),
    terminate: grace => end('SIGTERM', grace)
  }
}

function hold(keeper: ChildProcess, held: boolean): void {
  if (held) keeper.ref()
  else keeper.unref()
  if (held) keeper.channel?.ref()
  else keeper.channel?.unref()
}

function signalProcess(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import { type LocalServer, startLocalServer } from '../support/local-server.ts'
import { run } from '../support/run.ts'
import { unpackPostgres } from './download.ts'
import { type PostgresPlan, READY, settingArguments } from './plan.ts'

const STOP_TIMEOUT = 20_000

interface User {
  readonly uid: number
  readonly gid: number
}

/**
 * Starts PostgreSQL as a local process, as `nobody` when we are root.
 * @throws StartError with the end of the log when it does not come up
 */
export async function startPostgresProcess(plan: PostgresPlan): Promise<LocalServer> {
  const { directory, url, port, settings, timeout } = plan
  const program = (name: string): string => join(directory, 'server', 'bin', name)
  const data = join(directory, 'data')
  await unpackPostgres(join(directory, 'server'))
  const user = process.getuid?.() === 0 ? await nobody() : undefined
  await mkdir(data, { mode: 0o700 })
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, plan.password, { mode: 0o600 })
  if (user) for (const path of [directory, data, passwordFile]) await chown(path, user.uid, user.gid)
  const initialize = ['-D', data, '-U', plan.user, `--pwfile=${passwordFile}`, '--auth=scram-sha-256']
  // Nobody looks at the data before the server does, which writes it out when it starts.
  await run(program('initdb'), [...initialize, '--encoding=UTF8', '--locale=C', '--no-sync'], { timeout, ...user })
  await rm(passwordFile)

  const start = async (): Promise<GuardedProcess> => {
    const order = {
      command: program('postgres'),
      args: ['-D', data, '-h', '127.0.0.1', '-p', String(port), '-k', '', ...settingArguments(settings)],
      environment: {},
      logFile: join(directory, 'server.log'),
      ready: READY,
      removeWhenOrphaned: [directory],
      ...(user && { user })
    }
    return asServer(await startGuarded(order, timeout))
  }
  const options = { title: 'PostgreSQL', url, directory, logFile: join(directory, 'server.log') }
  return startLocalServer({ ...options, stopTimeout: STOP_TIMEOUT, start })
}

/** The first process starts one for each client: a crash ends them all, and a graceful end must not wait for clients. */
function asServer(first: GuardedProcess): GuardedProcess {
  return {
    get pid() {
      return first.pid
    },
    async kill() {
      const workers = first.pid === undefined ? [] : await childrenOf(first.pid)
      const ended = first.kill()
      for (const worker of workers) signal(worker, 'SIGKILL')
      return ended
    },
    terminate(grace) {
      // SIGTERM alone would wait until all clients have gone.
      if (first.pid !== undefined) signal(first.pid, 'SIGINT')
      return first.terminate(grace)
    }
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const listed =
    process.platform === 'linux'
      ? await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
      : // Those that are not found end by themselves as soon as they see that the first one is gone.
        await run('pgrep', ['-P', String(pid)]).then(
          ({ stdout }) => stdout,
          () => ''
        )
  return listed.split(/\s+/).filter(Boolean).map(Number)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function nobody(): Promise<User> {
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, 'nobody'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

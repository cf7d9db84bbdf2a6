import { execFile } from 'node:child_process'

/** What a finished command left behind. */
export interface Output {
  readonly stdout: string
  readonly stderr: string
}

/** Says that a command could not be run, failed or took too long. */
export class CommandError extends Error {
  /** True when there is no such command. */
  readonly missing: boolean
  /** Output and errors together. */
  readonly output: string

  constructor(message: string, missing: boolean, output: string) {
    super(message)
    this.missing = missing
    this.output = output
  }
}

/** How to run a command. */
export interface RunOptions {
  readonly directory?: string
  /** Added to our own environment. */
  readonly environment?: Readonly<Record<string, string>>
  /** Milliseconds; one minute when left out. */
  readonly timeout?: number
  /** Runs it as somebody else; only root can. */
  readonly uid?: number
  readonly gid?: number
}

/**
 * Runs a command to its end, without a shell.
 * @throws CommandError with the end of the output when the status is not zero
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
  const settings = {
    cwd: options.directory,
    env: { ...process.env, ...options.environment },
    timeout: options.timeout ?? 60_000,
    uid: options.uid,
    gid: options.gid,
    maxBuffer: 64 * 1_024 * 1_024
  }
  return new Promise((resolve, reject) => {
    execFile(command, args, settings, (error, stdout, stderr) => {
      if (!error) return resolve({ stdout, stderr })
      const output = `${stdout}${stderr}`
      const reason = error.killed ? `took longer than ${settings.timeout} ms` : `failed (${error.code ?? error.signal})`
      const tail = output.trim().split('\n').slice(-20).join('\n')
      reject(new CommandError(`${command} ${reason}${tail && `:\n${tail}`}`, error.code === 'ENOENT', output))
    })
  })
}

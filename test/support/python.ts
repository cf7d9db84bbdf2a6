import { spawn } from 'node:child_process'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from '../../testcontainers/support/cache.ts'
import { withLock } from '../../testcontainers/support/lock.ts'
import { CommandError, run } from '../../testcontainers/support/run.ts'

const command = process.platform === 'win32' ? 'python' : 'python3'

/** Says in a sentence why there is no Python; `undefined` when there is one. */
export async function missingPython(): Promise<string | undefined> {
  try {
    await run(command, ['-c', 'import venv, sys; sys.exit(sys.version_info < (3, 9))'])
    return undefined
  } catch (error) {
    const missing = error instanceof CommandError && error.missing
    return `Python 3.9 or later with venv is needed, but ${missing ? `${command} was not found` : 'it is older or has no venv'}`
  }
}

/**
 * The Python of an environment in the cache with these packages, made once.
 * @param requirements pinned, the one that names the environment first: `boto3==1.44.5`
 */
export async function pythonWith(requirements: readonly string[]): Promise<string> {
  const root = cacheDirectory()
  const directory = join(root, `python-${requirements[0]!.replace('==', '-')}`)
  const executable = join(directory, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const complete = join(directory, 'complete')
  await mkdir(root, { recursive: true })
  return withLock(`${directory}.lock`, async () => {
    const there = await access(complete).then(
      () => true,
      () => false
    )
    if (there) return executable
    await rm(directory, { recursive: true, force: true })
    await run(command, ['-m', 'venv', directory], { timeout: 120_000 })
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:']
    await run(executable, [...install, ...requirements], { timeout: 300_000 })
    await writeFile(complete, requirements.join('\n'))
    return executable
  })
}

/** Runs a script with these words, gives it the input, and resolves with its output. */
export async function runPython(
  executable: string,
  script: string,
  words: readonly string[],
  input: string
): Promise<string> {
  // A script that never ends must not outlive the run.
  const child = spawn(executable, [script, ...words], { stdio: ['pipe', 'pipe', 'pipe'], timeout: 120_000 })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  // When it ends before it has read all, its exit code says so.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise(resolve => child.once('close', resolve))
  if (code !== 0) throw new Error(`${script} ${words.join(' ')} ended with ${String(code)}: ${errors.slice(-2_000)}`)
  return output
}

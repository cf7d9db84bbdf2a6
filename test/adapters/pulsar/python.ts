import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheDirectory } from '../../../testcontainers/support/cache.ts'
import { withLock } from '../../../testcontainers/support/lock.ts'
import { CommandError, run } from '../../../testcontainers/support/run.ts'

/** The client that Python services use, pinned. */
const requirement = 'pulsar-client==3.7.0'
const command = process.platform === 'win32' ? 'python' : 'python3'
const script = fileURLToPath(new URL('./interop.py', import.meta.url))

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

/** The Python of an environment in the cache that has the client; made once. */
async function python(): Promise<string> {
  const root = cacheDirectory()
  const directory = join(root, `python-${requirement.replace('==', '-')}`)
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
    const install = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--only-binary',
      ':all:',
      requirement
    ]
    await run(executable, install, { timeout: 300_000 })
    await writeFile(complete, requirement)
    return executable
  })
}

/** What `interop.py` works with: bytes in base64. */
export interface PythonMessage {
  readonly value: string
  readonly key?: string | undefined
  readonly properties?: Readonly<Record<string, string>> | undefined
  readonly eventTime?: number | undefined
}

export async function writeWithPython(
  serviceUrl: string,
  topic: string,
  messages: readonly PythonMessage[]
): Promise<void> {
  await interop(['write', serviceUrl, topic], messages.map(message => JSON.stringify(message)).join('\n'))
}

export async function readWithPython(
  serviceUrl: string,
  topic: string,
  count: number
): Promise<Required<PythonMessage>[]> {
  const output = await interop(['read', serviceUrl, topic, String(count)], '')
  const lines = output.split('\n').filter(line => line !== '')
  return lines.map(line => JSON.parse(line) as Required<PythonMessage>)
}

async function interop(words: readonly string[], input: string): Promise<string> {
  const child = spawn(await python(), [script, ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  child.stdin.end(input)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (code !== 0) throw new Error(`interop.py ${words.join(' ')} ended with ${code ?? signal}: ${errors.slice(-2_000)}`)
  return output
}

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** Runs an example as a user would: a process of its own, against the built package. */
export function runExample(
  name: string,
  args: readonly string[],
  broker: string | undefined,
  cwd: string
): Promise<Ended> {
  const { BROKER: _, ...env } = process.env
  const program = `${root}/examples/${name}/main.ts`
  const options = { cwd, env: { ...env, ...(broker && { BROKER: broker }) }, timeout: 100_000 }
  return new Promise(resolve => {
    const child = execFile(process.execPath, [program, ...args], options, (_error, output, errors) =>
      resolve({ code: child.exitCode, output, errors })
    )
  })
}

export function textOf(path: string): Promise<string> {
  return readFile(`${root}/${path}`, 'utf8')
}

import { run } from '../../src/cli/run.ts'

/** Runs a command of `tidemark`, with what it wrote; without variables. */
export async function command(
  words: readonly string[]
): Promise<{ readonly code: number; readonly out: string[]; readonly error: string[] }> {
  const out: string[] = []
  const error: string[] = []
  const terminal = {
    out: (line: string) => void out.push(line),
    error: (line: string) => void error.push(line),
    variables: {}
  }
  return { code: await run([...words], terminal), out, error }
}

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function run(script: string, ...words: string[]): Promise<Ended> {
  const file = fileURLToPath(new URL(`../../${script}`, import.meta.url))
  return new Promise(resolve =>
    execFile(process.execPath, [file, ...words], (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err })
    )
  )
}

it('a command tells its usage when it is asked', async () => {
  const { code, out } = await run('scripts/models.ts', '--help')
  expect(code).toBe(0)
  expect(out).toMatch(/^`npm run models \[-- --deep\]/)
})

it.each([
  ['scripts/models.ts', '--nope', /^Unknown option '--nope'\n\n`npm run models /],
  ['scripts/models.ts', 'C0', /^Unexpected argument 'C0'/],
  ['bench/main.ts', '--json', /^Option '--json <value>' argument missing/]
])('%s %s: what is wrong, and the usage, without a stack', async (script, word, message) => {
  const { code, err } = await run(script, word)
  expect(code).toBe(2)
  expect(err).toMatch(message)
  expect(err).not.toContain('    at ')
})

import { execFile, type ExecFileException } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { databaseFile, rowsOf } from './fixture.ts'

const program = fileURLToPath(new URL('worker.ts', import.meta.url))

/** Runs `worker.ts` to its end, however that comes. */
function worker(...args: string[]): Promise<{ error: ExecFileException | null; output: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [program, ...args], { timeout: 25_000 }, (error, output, errors) => {
      if (errors !== '') console.error(errors)
      resolve({ error, output })
    })
  })
}

test('a process that dies inside the transaction leaves neither rows nor the commit of that moment', async () => {
  const file = await databaseFile()
  const { error } = await worker(file, 'crash')
  expect(error?.signal).toBe('SIGKILL')
  expect(rowsOf(file, 'SELECT n FROM numbers')).toEqual([{ n: 1 }])
  expect(rowsOf(file, 'SELECT number FROM tidemark_head')).toEqual([{ number: 1 }])
})

test('processes that take one task from each other write each row once', async () => {
  const file = await databaseFile()
  const ends = await Promise.all([1, 2, 3].map(() => worker(file, 'count', '150', '3')))
  for (const { error } of ends) expect(error).toBe(null)
  const rows = rowsOf(file, 'SELECT n, owner FROM numbers ORDER BY rowid')
  expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 150 }, (_, index) => index + 1))
  expect(rowsOf(file, 'SELECT number FROM tidemark_head')).toEqual([{ number: 150 }])
  // Else nobody was fenced, and nothing was tested.
  expect(ends.reduce((sum, { output }) => sum + Number(output), 0)).toBeGreaterThan(0)
}, 40_000)

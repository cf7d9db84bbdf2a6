import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { postgres } from '../../src/postgres.ts'
import { postgresAvailable, startPostgres } from '../../testcontainers/postgres.ts'
import { asked, withOptions } from '../support/postgres.ts'
import { destination, notRun, running } from './fixture.ts'

const program = fileURLToPath(new URL('worker.ts', import.meta.url))
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
})

interface Worker {
  readonly child: ChildProcess
  readonly committed: number[]
  fenced: number
}

function start(url: string, table: string, most: number, keyed: boolean): Worker {
  const args = [url, table, String(most), String(keyed)]
  const child = fork(program, args, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.push(child)
  const worker: Worker = { child, committed: [], fenced: 0 }
  child.on('message', (message: { committed?: number; fenced?: number }) => {
    if (message.committed !== undefined) worker.committed.push(message.committed)
    worker.fenced += message.fenced ?? 0
  })
  return worker
}

const upTo = (most: number): number[] => Array.from({ length: most }, (_, index) => index + 1)

describe.skipIf(!running)(`workers that write one table${notRun}`, () => {
  test.each([false, true])(
    'write each row once, whoever takes the task from whom (with a key: %s)',
    async keyed => {
      const to = destination()
      const create = to.create(keyed ? 'n integer PRIMARY KEY, count integer' : 'n integer, count integer')
      await (await postgres({ url: to.url, table: to.table, create }).open()).close()
      const workers = [1, 2, 3].map(() => start(to.url, to.table, 200, keyed))
      await Promise.all(workers.map(({ child }) => once(child, 'exit')))
      expect(workers.map(({ child }) => child.exitCode)).toEqual([0, 0, 0])
      const counts = (await to.rows('SELECT count FROM % ORDER BY count')).map(({ count }) => count)
      expect(counts).toEqual(keyed ? upTo(200).slice(-10) : upTo(200))
      expect(await to.rows('SELECT number::int FROM @.head')).toEqual([{ number: 200 }])
      // Else nobody was fenced, and nothing was tested.
      expect(workers.reduce((sum, { fenced }) => sum + fenced, 0)).toBeGreaterThan(2)
    },
    60_000
  )
})

const reason = inject('backends').includes('postgres') ? await postgresAvailable() : 'BACKENDS leaves out postgres'

describe.skipIf(reason)(`a destination that crashes${reason ? ` (not run: ${reason})` : ''}`, () => {
  test('while workers are killed, too, holds each row once', async () => {
    await using server = await startPostgres()
    const url = withOptions(server.url, { schema: 'ours' })
    const create = 'CREATE TABLE numbers (n integer, count integer)'
    await (await postgres({ url, table: 'numbers', create }).open()).close()
    const most = 2_000
    const all: Worker[] = []
    const begin = (): void => void all.push(start(url, 'numbers', most, false))
    const told = (): number => Math.max(0, ...all.flatMap(({ committed }) => committed))
    begin()
    begin()
    for (let round = 1; round <= 6; round++) {
      const goal = told() + 40
      await expect.poll(told, { timeout: 30_000, interval: 5 }).toBeGreaterThan(goal)
      if (round % 2 === 0) await server.kill()
      const victim = all[round]!.child
      victim.kill('SIGKILL')
      await once(victim, 'exit')
      if (round % 2 === 0) await server.restart()
      const acknowledged = told()
      const [{ number }] = await asked('SELECT number::int FROM ours.head', [], server.url)
      expect(number).toBeGreaterThanOrEqual(acknowledged)
      begin()
    }
    const alive = all.filter(({ child }) => child.signalCode === null)
    await Promise.all(alive.filter(({ child }) => child.exitCode === null).map(({ child }) => once(child, 'exit')))
    expect(alive.map(({ child }) => child.exitCode)).toEqual(alive.map(() => 0))
    const rows = await asked('SELECT n FROM numbers ORDER BY n', [], server.url)
    expect(rows.map(({ n }) => n)).toEqual(upTo(most))
  }, 120_000)
})

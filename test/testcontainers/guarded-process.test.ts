import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startGuarded, StartError, type GuardOrder } from '../../testcontainers/support/guarded-process.ts'
import { isAlive } from './client.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tidemark-guard-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

function order(program: string): GuardOrder {
  return {
    command: process.execPath,
    args: ['-e', `${program}; setInterval(() => {}, 60_000)`],
    environment: { GREETING: 'here I am' },
    logFile: join(directory, 'log'),
    ready: 'here I am',
    removeWhenOrphaned: [directory]
  }
}

test('is ready when its output says so, and ends when it is asked to', async () => {
  const server = await startGuarded(order('console.error(process.env.GREETING)'), 10_000)
  expect(isAlive(server.pid!)).toBe(true)
  expect(await server.terminate(10_000)).toMatchObject({ code: null, signal: 'SIGTERM' })
  expect(server.pid).toBe(undefined)
  expect(await readFile(join(directory, 'log'), 'utf8')).toBe('here I am\n')
  expect(await server.kill()).toMatchObject({ signal: 'SIGTERM' })
})

test('is killed when it takes no notice of a request to end', async () => {
  const server = await startGuarded(order(`process.on('SIGTERM', () => {}); console.log('here I am')`), 10_000)
  expect(await server.terminate(200)).toMatchObject({ signal: 'SIGKILL' })
})

test('is an error with its output when it ends before it is ready', async () => {
  const start = startGuarded(order(`console.log('no disk'); process.exit(3)`), 10_000)
  await expect(start).rejects.toThrow(/ended with status 3 while starting:\nno disk/)
  await expect(start).rejects.toBeInstanceOf(StartError)
})

test('is an error when there is no such command', async () => {
  await expect(startGuarded({ ...order(''), command: 'no-such-command' }, 10_000)).rejects.toThrow(/ENOENT/)
})

test('is killed when it is not ready in time', async () => {
  const start = startGuarded(order('console.log(`pid ${process.pid}`)'), 500)
  const error = await start.then(undefined, (reason: StartError) => reason)
  expect(error).toMatchObject({
    message: expect.stringContaining('was not ready after 500 ms'),
    exit: { signal: 'SIGKILL' }
  })
  const pid = Number(/pid (\d+)/.exec((error as StartError).message)?.[1])
  expect(isAlive(pid)).toBe(false)
})

test.skipIf(process.platform === 'win32')('ends when its guard is killed', async () => {
  const server = await startGuarded(order(`console.log('here I am')`), 10_000)
  const { pid } = server
  const guard = Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)], { encoding: 'utf8' }))
  process.kill(guard, 'SIGKILL')
  await expect.poll(() => isAlive(pid!), { timeout: 5_000 }).toBe(false)
  await server.kill()
})

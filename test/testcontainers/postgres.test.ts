import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import {
  postgresAvailable,
  POSTGRES_VERSION,
  startPostgres,
  type PostgresServer
} from '../../testcontainers/postgres.ts'
import { isFree } from '../../testcontainers/support/ports.ts'
import { asked, connected } from '../support/postgres.ts'
import { firstLine, isAlive } from './client.ts'

const chosen = inject('backends').includes('postgres')
const reason = chosen ? await postgresAvailable() : 'BACKENDS leaves out postgres'
if (reason && process.env.CI && chosen) throw new Error(reason)

const up = fileURLToPath(new URL('../../scripts/up.ts', import.meta.url))
const portOf = (url: string): number => Number(new URL(url).port)

describe.skipIf(reason)(`a PostgreSQL of our own${reason ? ` (not run: ${reason})` : ''}`, () => {
  let server: PostgresServer
  const at = (text: string): Promise<any[]> => asked(text, [], server.url)

  beforeAll(async () => {
    server = await startPostgres()
    await at('CREATE TABLE kept (n integer)')
    await at('INSERT INTO kept VALUES (1)')
  })
  afterAll(() => server?.stop())

  test('is of the version it says, writes to its disk, and its role may do everything', async () => {
    const [found] = await at(
      "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync, rolsuper AS super FROM pg_roles WHERE rolname = current_user"
    )
    expect(found).toEqual({ version: expect.stringMatching(`^${POSTGRES_VERSION}\\b`), fsync: 'on', super: true })
  })

  test('asks for the password, which it stores as SCRAM', async () => {
    const wrong = new URL(server.url)
    wrong.password = 'wrong'
    await expect(asked('SELECT 1', [], wrong.href)).rejects.toThrow(/password authentication failed/)
    expect(await at("SELECT left(rolpassword, 5) AS kind FROM pg_authid WHERE rolname = 'tidemark'")).toEqual([
      { kind: 'SCRAM' }
    ])
  })

  test('is reached through the loopback address only', async context => {
    const outside = Object.values(networkInterfaces())
      .flat()
      .find(address => address?.family === 'IPv4' && !address.internal)
    if (!outside) return context.skip('this machine has the loopback address only')
    const socket = createConnection(portOf(server.url), outside.address)
    const [error] = await once(socket, 'error')
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('keeps its data over a restart, which does not wait for clients', async () => {
    const { url, pid } = server
    const client = await connected(url)
    await server.restart()
    await client.end().catch(() => {})
    expect(server.url).toBe(url)
    if (server.runtime === 'process') expect(server.pid).not.toBe(pid)
    expect(await at('SELECT n FROM kept')).toEqual([{ n: 1 }])
  })

  test('is killed with all its workers, stays down, and comes back with its data', async () => {
    const client = await connected(server.url)
    const [{ worker }] = (await client.query('SELECT pg_backend_pid() AS worker')).rows
    const { pid, runtime } = server
    const running = client.query('SELECT pg_sleep(60)').catch((error: Error) => error.message)
    await server.kill()
    expect(await running).toMatch(/terminated|ECONNRESET/)
    expect(server.pid).toBe(undefined)
    if (runtime === 'process') expect(isAlive(pid!)).toBe(false)
    // It is on its way out, not waiting for the end of its query.
    if (runtime === 'process') await expect.poll(() => isAlive(worker), { timeout: 5_000 }).toBe(false)
    await expect(at('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await server.restart()
    expect(await at('SELECT n FROM kept')).toEqual([{ n: 1 }])
  })

  test('runs beside another one with settings of its own, and stop() leaves nothing of it', async () => {
    const other = await startPostgres({ settings: { fsync: 'off' } })
    const found = await asked("SELECT current_setting('fsync') AS fsync, to_regclass('kept') AS kept", [], other.url)
    expect(found).toEqual([{ fsync: 'off', kept: null }])
    const { pid, logFile, url } = other
    await other.stop()
    await other.stop()
    if (pid !== undefined) expect(isAlive(pid)).toBe(false)
    if (logFile !== undefined) expect(existsSync(dirname(logFile))).toBe(false)
    expect(await isFree(portOf(url))).toBe(true)
    await expect(other.restart()).rejects.toThrow(/was stopped and its data removed|no such container/i)
  })

  test('says so when the port is taken, and shows the end of its log when it does not start', async () => {
    const port = portOf(server.url)
    await expect(startPostgres({ port })).rejects.toThrow(`port ${port} of 127.0.0.1 is taken`)
    const broken = startPostgres({ runtime: 'process', settings: { shared_buffers: 'much' } })
    await expect(broken).rejects.toThrow(/invalid value for parameter "shared_buffers"/)
  })

  test('is killed, and its data removed, when the process that started it is killed', async () => {
    const parent = spawn(process.execPath, [up, 'postgres'], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    parent.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
    const url = await firstLine(parent)
    const [{ folder }] = await asked("SELECT current_setting('data_directory') AS folder", [], url)
    await expect.poll(() => said).toMatch(/postgres is up/)
    const pid = /pid (\d+)/.exec(said)?.[1]
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    if (pid === undefined) return
    await expect.poll(() => isAlive(Number(pid)), { timeout: 5_000 }).toBe(false)
    await expect.poll(() => existsSync(dirname(folder)), { timeout: 5_000 }).toBe(false)
  })
})

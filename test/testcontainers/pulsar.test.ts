import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { get } from 'node:https'
import { createConnection } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type PulsarServer, pulsarAvailable, startPulsar } from '../../testcontainers/pulsar.ts'
import { isFree } from '../../testcontainers/support/ports.ts'
import { firstLine, isAlive } from './client.ts'

const chosen = inject('backends').includes('pulsar')
const reason = chosen ? await pulsarAvailable() : 'BACKENDS leaves out pulsar'
if (reason && process.env.CI && chosen) throw new Error(reason)

const host = (server: PulsarServer): string => new URL(server.url).host

/** The status of a request to the web port; the token of this user, if any. */
async function status(
  server: PulsarServer,
  method: string,
  path: string,
  body?: unknown,
  token?: string
): Promise<number> {
  const answer = await fetch(`http://${host(server)}/admin/v2/${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  await answer.text()
  return answer.status
}

const topics = async (server: PulsarServer): Promise<string[]> =>
  (await fetch(`http://${host(server)}/admin/v2/persistent/public/default/partitioned`)).json() as Promise<string[]>

async function connecting(port: number, address: string): Promise<string> {
  const socket = createConnection(port, address)
  try {
    await once(socket, 'connect')
    return 'connected'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  } finally {
    socket.destroy()
  }
}

/** The status over TLS, or the code of the error. */
function throughTls(server: PulsarServer, ca: string | undefined, token: string | undefined): Promise<number | string> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return new Promise(resolve => {
    const request = get(`https://${server.tls.address}/admin/v2/tenants`, { ca, headers, agent: false }, answer => {
      answer.resume()
      resolve(answer.statusCode!)
    })
    request.on('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
  })
}

describe.skipIf(reason)(
  reason ? `a Pulsar of our own (not run: ${reason})` : 'a Pulsar of our own',
  { timeout: 120_000 },
  () => {
    let server: PulsarServer
    const topic = 'persistent://public/default/trades'

    beforeAll(async () => {
      server = await startPulsar({ authentication: false })
      expect(await status(server, 'PUT', 'persistent/public/default/trades/partitions', 3)).toBe(204)
    })
    afterAll(() => server?.stop())

    test('has its default namespace and topics, with and without TLS', async () => {
      expect(server.url).toMatch(/^pulsar:\/\/127\.0\.0\.1:\d+$/)
      expect(server.serviceUrl).toMatch(/^pulsar:\/\/127\.0\.0\.1:\d+$/)
      expect(await topics(server)).toEqual([topic])
      expect(await throughTls(server, server.tls.ca, undefined)).toBe(200)
      expect(await throughTls(server, undefined, undefined)).toMatch(/SELF_SIGNED|UNABLE_TO/)
      expect(await connecting(Number(new URL(server.serviceUrl).port), '127.0.0.1')).toBe('connected')
    })

    test('is reached through the loopback address only', async context => {
      const outside = Object.values(networkInterfaces())
        .flat()
        .find(address => address?.family === 'IPv4' && !address.internal)
      if (!outside) return context.skip('this machine has the loopback address only')
      for (const port of [new URL(server.url).port, new URL(server.serviceUrl).port, server.tls.port])
        expect(await connecting(Number(port), outside.address)).toBe('ECONNREFUSED')
    })

    test('stays down after kill, and comes back with its topics on the same ports', async () => {
      const { pid, url, serviceUrl, tls } = server
      await server.kill()
      if (pid !== undefined) expect(isAlive(pid)).toBe(false)
      expect(server.pid).toBe(undefined)
      expect(await connecting(Number(new URL(url).port), '127.0.0.1')).toBe('ECONNREFUSED')
      await server.restart()
      expect({ url: server.url, serviceUrl: server.serviceUrl, tls: server.tls }).toEqual({ url, serviceUrl, tls })
      expect(await topics(server)).toEqual([topic])
      await server.restart()
      expect(await topics(server)).toEqual([topic])
    })

    // 4.0.8 left alone loses its storage after one kill in three: see `autoRecoveryDaemonEnabled` in its settings.
    test('has its storage again when it is ready after a kill', async () => {
      await server.kill()
      await server.restart()
      const name = 'persistent/public/default/after-kill'
      expect(await status(server, 'PUT', `${name}/partitions`, 8)).toBe(204)
      const ends = Array.from({ length: 8 }, (_, index) => `${name}-partition-${index}/lastMessageId`)
      expect(await Promise.all(ends.map(path => status(server, 'GET', path)))).toEqual(Array(8).fill(200))
      expect(await status(server, 'DELETE', `${name}/partitions?force=true`)).toBe(204)
      if (server.logFile) {
        const log = await readFile(server.logFile, 'utf8')
        expect(log.match(/Lock on resource \/ledgers\/available\/\S+ was invalidated/g) ?? []).toEqual([])
      }
    })

    test('with users runs beside it, lets in whoever has a token, and leaves nothing behind', async () => {
      const other = await startPulsar({ authentication: true })
      const [admin, guest] = other.tls.users.map(({ password }) => password)
      expect(await status(other, 'GET', 'tenants')).toBe(401)
      expect(await status(other, 'GET', 'tenants', undefined, 'x.y.z')).toBe(401)
      expect(await status(other, 'GET', 'tenants', undefined, admin)).toBe(200)
      expect(await status(other, 'PUT', 'namespaces/public/mine', undefined, guest)).toBeGreaterThanOrEqual(401)
      expect(await throughTls(other, other.tls.ca, admin)).toBe(200)
      const { pid, tls, url } = other
      await other.stop()
      await other.stop()
      if (pid !== undefined) expect(isAlive(pid)).toBe(false)
      expect(existsSync(dirname(tls.caPath))).toBe(false)
      expect(await isFree(Number(new URL(url).port))).toBe(true)
      expect(await topics(server)).toEqual([topic])
    })

    test('says so when the port that it was asked for is taken', async () => {
      const port = Number(new URL(server.url).port)
      await expect(startPulsar({ port })).rejects.toThrow(`port ${port} of 127.0.0.1 is taken`)
    })

    test('shows the end of its log when it does not start', async () => {
      const broken = startPulsar({ runtime: 'process', properties: { numIOThreads: 'many' } })
      await expect(broken).rejects.toThrow(/numIOThreads/)
    })

    test('is run in the foreground by the up script, and ends with it', async () => {
      const script = fileURLToPath(new URL('../../scripts/up.ts', import.meta.url))
      const up = spawn(process.execPath, [script, 'pulsar'], { stdio: ['ignore', 'pipe', 'pipe'] })
      let errors = ''
      up.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
      const url = await firstLine(up)
      expect(url).toMatch(/^pulsar:\/\/127\.0\.0\.1:\d+$/)
      await expect.poll(() => errors).toMatch(/pid \d+/)
      const pid = Number(/pid (\d+)/.exec(errors)![1])
      expect(isAlive(pid)).toBe(true)
      // Killed, not stopped: the guard ends the server and removes its data.
      up.kill('SIGKILL')
      await once(up, 'exit')
      await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false)
      const caPath = /authority (\S+)/.exec(errors)?.[1]
      if (caPath) await expect.poll(() => existsSync(dirname(caPath)), { timeout: 10_000 }).toBe(false)
    })
  }
)

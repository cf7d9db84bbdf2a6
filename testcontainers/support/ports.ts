import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Where ports are drawn from. It lies below the range that Linux and macOS take outgoing ports from: while a server is
 * down, a client that keeps reconnecting on that range could be given the server's own port and block its restart.
 */
const FIRST = 20_000
const LAST = 32_000

/** Finds `count` different ports on 127.0.0.1 that nobody listens on now. Another process may still be faster. */
export async function freePorts(count: number, taken?: number): Promise<number[]> {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries++) {
    if (tries > 1_000) throw new Error(`no ${count} free ports between ${FIRST} and ${LAST} on 127.0.0.1`)
    const port = randomInt(FIRST, LAST)
    if (port !== taken && (await isFree(port))) found.add(port)
  }
  return [...found]
}

/** Says whether we could listen on this port of 127.0.0.1. */
export function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

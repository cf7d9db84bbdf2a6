import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Bytes as they came through, on their way. */
export interface Chunk {
  readonly from: 'client' | 'server'
  readonly bytes: Buffer
  /** Counts the connections from 1. */
  readonly connection: number
}

/**
 * What becomes of a chunk. `cut`: it does not arrive, and the connection breaks. `half`: half of it arrives, and the connection
 * breaks. `pass-cut`: it arrives, and the connection breaks. `hold`: it does not arrive, the client's connection breaks, and
 * the server's stays: `deliver` lets it arrive after all. `silence`: nothing arrives any more, on a connection that stays.
 */
export type Verdict = 'pass' | 'cut' | 'half' | 'pass-cut' | 'hold' | 'silence'

interface Pair {
  readonly client: Socket
  readonly server: Socket
  silent: boolean
  /** Chunks that are on their way slowly, in order, each way. */
  readonly slow: { client: Promise<void> | undefined; server: Promise<void> | undefined }
}

/** A network between a client and a server on this machine, with faults. */
export class TcpProxy implements AsyncDisposable {
  readonly port: number
  /** Judges every chunk; without it, all pass. */
  judge: ((chunk: Chunk) => Verdict) | undefined
  /** Connections that were tried. */
  opened = 0
  /** Every chunk takes so many ms longer, each way. */
  delay = 0
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  readonly #held: { readonly socket: Socket; readonly bytes: Buffer }[] = []
  #down = false
  #outages = 0

  private constructor(listener: Server, target: number) {
    this.#listener = listener
    this.port = (listener.address() as AddressInfo).port
    listener.on('connection', client => this.#open(client, target))
  }

  /** @param target port on 127.0.0.1 */
  static async start(target: number): Promise<TcpProxy> {
    const listener = createServer()
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new TcpProxy(listener, target)
  }

  /** Connections that are open. */
  get open(): number {
    return this.#pairs.size
  }

  /** Breaks every connection and lets no new one through. */
  cut(): void {
    this.#down = true
    for (const pair of [...this.#pairs]) this.#break(pair)
  }

  restore(): void {
    this.#down = false
  }

  /** Cut while `work` goes on, and while that of any other such call does. */
  async cutDuring(work: () => Promise<void>): Promise<void> {
    this.#outages++
    this.cut()
    try {
      await work()
    } finally {
      if (--this.#outages === 0) this.restore()
    }
  }

  /** What was held arrives at the server; its answer goes nowhere. */
  async deliver(): Promise<void> {
    for (const { socket, bytes } of this.#held.splice(0)) {
      if (socket.destroyed) continue
      socket.write(bytes)
      await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {})
      socket.destroy()
    }
  }

  async close(): Promise<void> {
    this.cut()
    for (const { socket } of this.#held) socket.destroy()
    this.#listener.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #open(client: Socket, target: number): void {
    const connection = ++this.opened
    client.on('error', () => {})
    if (this.#down) {
      client.resetAndDestroy()
      return
    }
    const server = connect(target, '127.0.0.1')
    server.on('error', () => {})
    const pair: Pair = {
      client,
      server,
      silent: false,
      slow: { client: undefined, server: undefined }
    }
    this.#pairs.add(pair)
    client.on('data', bytes => this.#pass(pair, { from: 'client', bytes, connection }))
    server.on('data', bytes => this.#pass(pair, { from: 'server', bytes, connection }))
    client.on('close', () => this.#break(pair))
    server.on('close', () => this.#break(pair))
  }

  #pass(pair: Pair, chunk: Chunk): void {
    const before = pair.slow[chunk.from]
    if (this.delay === 0 && !before) return this.#deliver(pair, chunk)
    const arrived = (before ?? Promise.resolve()).then(() => sleep(this.delay)).then(() => this.#deliver(pair, chunk))
    pair.slow[chunk.from] = arrived
    void arrived.then(() => {
      if (pair.slow[chunk.from] === arrived) pair.slow[chunk.from] = undefined
    })
  }

  #deliver(pair: Pair, chunk: Chunk): void {
    if (pair.silent || !this.#pairs.has(pair)) return
    const to = chunk.from === 'client' ? pair.server : pair.client
    const verdict = this.judge?.(chunk) ?? 'pass'
    if (verdict === 'silence') pair.silent = true
    else if (verdict === 'hold') {
      this.#held.push({ socket: to, bytes: chunk.bytes })
      this.#pairs.delete(pair)
      pair.client.resetAndDestroy()
    } else if (verdict === 'cut') this.#break(pair)
    else {
      const bytes = verdict === 'half' ? chunk.bytes.subarray(0, chunk.bytes.length >> 1) : chunk.bytes
      to.write(bytes, () => {
        if (verdict !== 'pass') this.#break(pair)
      })
    }
  }

  #break(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return
    pair.client.resetAndDestroy()
    // What it was sent may still be read: a reset would take it back.
    pair.server.end()
  }
}

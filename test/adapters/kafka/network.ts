import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import type { KafkaClient, KafkaModule } from '../../../src/adapters/kafka/index.ts'
import { broker } from './server.ts'

const { Kafka } = createRequire(import.meta.url)('kafkajs') as KafkaModule

/** Numbers of requests, which stand in the third pair of bytes of each. */
export const api = {
  produce: 0,
  fetch: 1,
  metadata: 3,
  join: 11,
  heartbeat: 12,
  leave: 13,
  endTransaction: 26
} as const

/**
 * What becomes of a request: it does not arrive; it is done and its answer does not come (the connection breaks); half of
 * its answer comes; its answer never comes, on a connection that stays.
 */
type Fault = 'request' | 'answer' | 'half' | 'silence'

const reset = (): Error => Object.assign(new Error('reset'), { code: 'ECONNRESET' })

/** The network between a client and the broker, with faults. */
export class Network {
  readonly #sockets = new Set<Socket>()
  #down = false
  #lost: { readonly apiKey: number; readonly what: Fault } | undefined
  readonly #awaited = new Map<number, () => void>()
  /** Requests that were let through or lost, by number. */
  readonly seen: Map<number, number> = new Map()
  /** Connections that were tried. */
  opened = 0

  /** A kafkajs client on this network. */
  client(options: object = {}): KafkaClient {
    return new Kafka({
      brokers: [broker],
      clientId: 'faulty',
      requestTimeout: 1500,
      connectionTimeout: 1000,
      retry: { retries: 1, initialRetryTime: 30 },
      logCreator: () => () => undefined,
      socketFactory: ({ host, port, onConnect }: { host: string; port: number; onConnect: () => void }) =>
        this.#open(host, port, onConnect),
      ...options
    })
  }

  /** Breaks every connection and lets no new one through. */
  cut(): void {
    this.#down = true
    for (const socket of this.#sockets) socket.destroy(reset())
  }

  restore(): void {
    this.#down = false
  }

  /** Breaks some connections, each in one of the ways in which connections end. */
  shake(): void {
    for (const socket of this.#sockets) {
      const dice = Math.random()
      if (dice < 0.3) socket.destroy(reset())
      else if (dice < 0.5) socket.destroy()
      else if (dice < 0.7) socket.emit('end')
    }
  }

  /** The next request of the kind. */
  lose(apiKey: number, what: Fault): void {
    this.#lost = { apiKey, what }
  }

  /** The next request of the kind is on its way. */
  sent(apiKey: number): Promise<void> {
    return new Promise(resolve => this.#awaited.set(apiKey, resolve))
  }

  #open(host: string, port: number, onConnect: () => void): Socket {
    this.opened++
    const socket = connect({ host, port: this.#down ? 1 : port }, onConnect)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const write = socket.write.bind(socket) as (bytes: Buffer) => boolean
    socket.write = ((bytes: Buffer) => {
      const apiKey = bytes.readInt16BE(4)
      this.seen.set(apiKey, (this.seen.get(apiKey) ?? 0) + 1)
      this.#awaited.get(apiKey)?.()
      if (this.#lost?.apiKey !== apiKey) return write(bytes)
      const { what } = this.#lost
      this.#lost = undefined
      if (what === 'half') halve(socket)
      else if (what !== 'request') socket.pause()
      if (what !== 'request') write(bytes)
      if (what === 'request' || what === 'answer') setTimeout(() => socket.destroy(reset()), 300)
      return true
    }) as Socket['write']
    return socket
  }
}

/** Breaks off in the middle of what comes next. */
function halve(socket: Socket): void {
  const emit = socket.emit.bind(socket)
  socket.emit = ((event: string, ...values: unknown[]) => {
    if (event !== 'data') return emit(event, ...values)
    const bytes = values[0] as Buffer
    socket.emit = emit
    emit('data', bytes.subarray(0, bytes.length >> 1))
    socket.destroy(reset())
    return true
  }) as Socket['emit']
}

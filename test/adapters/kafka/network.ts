import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import type { KafkaClient, KafkaModule } from '../../../src/adapters/kafka/index.ts'
import { broker } from './server.ts'

const { Kafka } = createRequire(import.meta.url)('kafkajs') as KafkaModule

/** Numbers of requests, which stand in the third pair of bytes of each. */
export const api = { produce: 0, endTransaction: 26, heartbeat: 12 } as const

/** The network between a client and the broker, with faults. */
export class Network {
  readonly #sockets = new Set<Socket>()
  #down = false
  #lost: { readonly apiKey: number; readonly what: 'request' | 'answer' } | undefined
  /** Requests that were let through or lost, by number. */
  readonly seen: Map<number, number> = new Map()

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
    for (const socket of this.#sockets) socket.destroy(Object.assign(new Error('cut'), { code: 'ECONNRESET' }))
  }

  restore(): void {
    this.#down = false
  }

  /** The next request of the kind does not arrive, or is done and its answer does not: the connection breaks. */
  lose(apiKey: number, what: 'request' | 'answer'): void {
    this.#lost = { apiKey, what }
  }

  #open(host: string, port: number, onConnect: () => void): Socket {
    const socket = connect({ host, port: this.#down ? 1 : port }, onConnect)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const write = socket.write.bind(socket) as (bytes: Buffer) => boolean
    socket.write = ((bytes: Buffer) => {
      const apiKey = bytes.readInt16BE(4)
      this.seen.set(apiKey, (this.seen.get(apiKey) ?? 0) + 1)
      if (this.#lost?.apiKey !== apiKey) return write(bytes)
      const { what } = this.#lost
      this.#lost = undefined
      if (what === 'answer') {
        socket.pause()
        write(bytes)
      }
      setTimeout(() => socket.destroy(Object.assign(new Error('lost'), { code: 'ECONNRESET' })), 300)
      return true
    }) as Socket['write']
    return socket
  }
}

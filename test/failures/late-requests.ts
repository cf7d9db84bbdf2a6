import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import type { KafkaClient, KafkaModule } from '../../src/adapters/kafka/index.ts'
import { broker } from '../adapters/kafka/server.ts'

const { Kafka } = createRequire(import.meta.url)('kafkajs') as KafkaModule

/** Numbers of requests, which stand in the third pair of bytes of each. */
export const api = { produce: 0, endTransaction: 26 } as const

/**
 * A network in which a request can be late: it is held back, its connection breaks, and it arrives when the test says so, after
 * whatever was done meanwhile. That is what a router, a proxy or a client that repeats a request can do.
 */
export class LateRequests {
  readonly #held: Buffer[] = []
  #next: number | undefined
  /** Called before a request of that kind is let through. */
  before: { readonly apiKey: number; readonly act: () => Promise<void> } | undefined

  client(): KafkaClient {
    return new Kafka({
      brokers: [broker],
      clientId: 'late',
      requestTimeout: 1_500,
      connectionTimeout: 1_000,
      retry: { retries: 1, initialRetryTime: 30 },
      logCreator: () => () => undefined,
      socketFactory: ({ host, port, onConnect }: { host: string; port: number; onConnect: () => void }) =>
        this.#open(host, port, onConnect)
    })
  }

  /** The next request of the kind is late. */
  hold(apiKey: number): void {
    this.#next = apiKey
  }

  get held(): number {
    return this.#held.length
  }

  /** What was held arrives, on a connection of its own, and is answered. Gives the code of each answer. */
  async arrive(): Promise<number[]> {
    const codes: number[] = []
    for (const bytes of this.#held.splice(0)) {
      const [host, port] = broker.split(':')
      const socket = connect(Number(port), host)
      await once(socket, 'connect')
      socket.write(bytes)
      const [answer] = (await once(socket, 'data')) as [Buffer]
      socket.destroy()
      // EndTxn, up to version 2: length, correlation, throttle time, error.
      codes.push(bytes.readInt16BE(4) === api.endTransaction ? answer.readInt16BE(12) : 0)
    }
    return codes
  }

  #open(host: string, port: number, onConnect: () => void): Socket {
    const socket = connect({ host, port }, onConnect)
    const write = socket.write.bind(socket) as (bytes: Buffer) => boolean
    socket.write = ((bytes: Buffer) => {
      const apiKey = bytes.readInt16BE(4)
      if (this.#next === apiKey) {
        this.#next = undefined
        this.#held.push(Buffer.from(bytes))
        setTimeout(() => socket.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' })), 50)
        return true
      }
      const { before } = this
      if (before?.apiKey !== apiKey) return write(bytes)
      this.before = undefined
      void before.act().then(() => write(bytes))
      return true
    }) as Socket['write']
    return socket
  }
}

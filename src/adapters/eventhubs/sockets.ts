import type { HubClient } from './client.ts'

/** Of a socket of Node, or of what stands for one over a WebSocket. */
interface Socket {
  destroy?(error?: Error): unknown
  end?(): unknown
  once?(event: 'close', listener: () => void): unknown
}

/** What the vendor's client has inside, none of it public: where it is not found, nothing is done. */
interface Inside {
  readonly _context?: { connection?: Connection }
}
interface Connection {
  readonly _connection?: { init?(socket: Socket): unknown }
}

/**
 * The sockets of a vendor's client, of which only the newest is of use. The client loses sight of others: one that was being
 * connected when its connection was lost and replaced, or when it was closed, stays open, and with it the process and a
 * place at the service. An old connection that connects late is told that it is lost, so that nobody waits for it.
 */
export class Sockets {
  readonly #open = new Set<Socket>()
  #current: Connection | undefined
  #closed = false

  constructor(client: HubClient) {
    const { _context: context } = client as Inside
    if (!context) return
    this.#follow(context.connection)
    Object.defineProperty(context, 'connection', {
      configurable: true,
      enumerable: true,
      get: () => this.#current,
      set: (connection: Connection | undefined) => {
        this.#follow(connection)
      }
    })
  }

  /** Nothing stays, and nothing comes. */
  close(): void {
    this.#closed = true
    // It must hear of it: its heartbeats would go on, and hold the process.
    this.#destroyAll(new Error('the client is closed'))
  }

  #follow(connection: Connection | undefined): void {
    this.#current = connection
    // Those of the connection before are closed by now, or forgotten.
    this.#destroyAll()
    const inner = connection?._connection
    const init = inner?.init
    if (!inner || !init) return
    inner.init = socket => {
      const result: unknown = init.call(inner, socket)
      if (this.#closed || this.#current !== connection) destroy(socket, new Error('the connection was replaced'))
      else {
        // The client has connected twice: it listens to both, and knows of one.
        this.#destroyAll()
        this.#open.add(socket)
        socket.once?.('close', () => this.#open.delete(socket))
      }
      return result
    }
  }

  #destroyAll(error?: Error): void {
    for (const socket of this.#open) destroy(socket, error)
    this.#open.clear()
  }
}

/** Without an error nobody is told. */
function destroy(socket: Socket, error?: Error): void {
  if (socket.destroy) socket.destroy(error)
  else socket.end?.()
}

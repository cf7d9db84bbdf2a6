import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { VendorConnection } from './client.ts'

/**
 * Makes a connection of kafkajs survive the loss of its socket. As it comes, it
 * - counts as connected while it is disconnecting, so that requests go to a dead socket and hold up the reconnect;
 * - opens a socket per caller when several find it disconnected, and then mixes them up;
 * - waits for answers before it lets go of a socket that will never bring them;
 * - leaves a caller of `connect` waiting for ever when the socket ends before it is open, and one that logs in when it
 *   breaks; it does not look at `close` at all.
 */
export function mendConnection(connection: VendorConnection, environment: Environment): void {
  const isOpen = connection.isConnected.bind(connection)
  const open = connection.connect.bind(connection)
  const end = connection.disconnect.bind(connection)
  const makeSocket = connection.socketFactory
  let opening: Promise<unknown> | undefined
  let ending: Promise<unknown> | undefined

  connection.isConnected = () => isOpen() && !ending && connection.socket?.destroyed === false

  connection.disconnect = () => {
    connection.requestQueue.rejectAll(lost(connection))
    if (opening) connection.socket?.destroy()
    // Nothing to end: kafkajs would add a listener to the dead socket at every call.
    if (!ending && !isOpen() && connection.socket?.destroyed !== false) return Promise.resolve()
    return (ending ??= end().finally(() => (ending = undefined)))
  }

  connection.connect = () => (opening ??= connect().finally(() => (opening = undefined)))

  async function connect(): Promise<unknown> {
    await ending
    const limit = connection.connectionTimeout + 500
    return new Promise((resolve, reject) => {
      const timer = environment.timer(limit, () => {
        connection.socket?.destroy()
        reject(lost(connection))
      })
      open()
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }

  connection.socketFactory = options => {
    const socket = makeSocket(options)
    socket.once('close', () => {
      if (connection.socket !== socket) return
      connection.authHandlers?.onError()
      connection.disconnect().catch(() => undefined)
    })
    return socket
  }
}

function lost({ broker }: VendorConnection): StreamError {
  return new StreamError('connection', `the connection to ${broker} is lost`, { adapter: 'kafka', retryable: true })
}

import type { Environment } from '../../core/environment.ts'
import type { VendorConnection } from './client.ts'

/**
 * Makes a connection of kafkajs survive the loss of its socket. As it comes, it
 * - counts as connected while it is disconnecting, so that requests go to a dead socket and hold up the reconnect;
 * - opens a socket per caller when several find it disconnected, and then mixes them up;
 * - takes the beginning of an answer that the old socket left for the beginning of the new one's: then nothing is ever
 *   understood again; and keeps a socket on which an answer is overdue;
 * - waits for answers before it lets go of a socket that will never bring them;
 * - leaves a caller of `connect` waiting for ever when the socket ends before it is open, and one that logs in when it
 *   breaks; it does not look at `close` at all.
 */
export function mendConnection(connection: VendorConnection, environment: Environment): void {
  const isOpen = connection.isConnected.bind(connection)
  const open = connection.connect.bind(connection)
  const end = connection.disconnect.bind(connection)
  const send = connection.send.bind(connection)
  const makeSocket = connection.socketFactory
  let opening: Promise<unknown> | undefined
  let ending: Promise<unknown> | undefined

  connection.isConnected = () => isOpen() && !ending && connection.socket?.destroyed === false

  connection.disconnect = () => {
    connection.requestQueue.rejectAll(lost(connection))
    if (opening) connection.socket?.destroy()
    // Nothing to end: kafkajs would add a listener to the dead socket at every call.
    if (!ending && !isOpen() && connection.socket?.destroyed !== false) return Promise.resolve()
    const { socket } = connection
    return (ending ??= end().finally(() => {
      socket?.destroy()
      ending = undefined
    }))
  }

  connection.send = async request => {
    try {
      return await send(request)
    } catch (error) {
      if ((error as Error).name === 'KafkaJSRequestTimeoutError') connection.disconnect().catch(() => undefined)
      throw error
    }
  }

  connection.connect = () => (opening ??= connect().finally(() => (opening = undefined)))

  async function connect(): Promise<unknown> {
    await ending
    connection.chunks = []
    connection.bytesBuffered = 0
    connection.bytesNeeded = 4 // the length of an answer
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

/** By this name kafkajs knows that another broker is to be tried. */
function lost({ broker }: VendorConnection): Error {
  const error = new Error(`the connection to ${broker} is lost`)
  return Object.assign(error, { name: 'KafkaJSConnectionError', retriable: true, broker })
}

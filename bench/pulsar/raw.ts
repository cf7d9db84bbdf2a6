/**
 * The loops that a careful user of `ws` would write against Pulsar's WebSocket API, tuned: what ours is compared with. One
 * socket for each partition, compression off, a window of 1,000, nothing around it. Like ours it does not let the server
 * batch: what is cut into other batches when it is sent again is lost to deduplication.
 */
import { once } from 'node:events'
import WebSocket from 'ws'
import { Clock, type Run } from '../measure.ts'
import { partitions, recordAt, valueBytes } from '../records.ts'

const window = 1_000

/** `what` is `producer` or `reader`. */
function connect(url: string, what: string, topic: string, partition: number, query: string): WebSocket {
  const path = `${what}/persistent/public/default/${topic}-partition-${partition}`
  return new WebSocket(`${url.replace(/^pulsar/, 'ws')}/ws/v2/${path}?${query}`, { perMessageDeflate: false })
}

/** Every record to the next partition, each answer read, never more than the window without one. */
export async function rawProduce(url: string, topic: string, count: number): Promise<Run> {
  const query = `batchingEnabled=false&maxPendingMessages=${window}`
  const sockets = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const socket = connect(url, 'producer', topic, partition, query)
      await once(socket, 'open')
      return socket
    })
  )
  const clock = new Clock()
  clock.start()
  await Promise.all(sockets.map((socket, partition) => fill(socket, partition, count)))
  clock.stop(count)
  for (const socket of sockets) socket.terminate()
  return clock.run
}

function fill(socket: WebSocket, partition: number, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = partition
    let open = 0
    const pump = (): void => {
      for (; open < window && next < count; next += partitions, open++) {
        const { key, value } = recordAt(next)
        const message = { payload: value.toString('base64'), key: key.toString(), context: String(next) }
        socket.send(JSON.stringify(message))
      }
      if (open === 0) resolve()
    }
    socket.on('message', data => {
      const { result } = JSON.parse(String(data)) as { result: string }
      if (result !== 'ok') return reject(new Error(String(data)))
      open--
      // Not one by one: what is sent together goes out together.
      if (open <= window / 2) pump()
    })
    socket.on('close', () => reject(new Error('the socket was closed')))
    pump()
  })
}

/** A reader for each partition, from the first message to the last. An acknowledgement lets the server send one more. */
export async function rawConsume(url: string, topic: string, count: number): Promise<Run> {
  const clock = new Clock()
  let seen = 0
  const sockets: WebSocket[] = []
  await new Promise<void>((resolve, reject) => {
    for (let partition = 0; partition < partitions; partition++) {
      const query = `messageId=earliest&receiverQueueSize=${window}`
      const socket = connect(url, 'reader', topic, partition, query)
      sockets.push(socket)
      socket.on('error', reject)
      socket.on('message', data => {
        clock.start()
        const { messageId, payload } = JSON.parse(String(data)) as { messageId: string; payload: string }
        if (Buffer.from(payload, 'base64').length !== valueBytes) return reject(new Error(`strange: ${String(data)}`))
        socket.send(`{"messageId":"${messageId}"}`)
        if (++seen === count) resolve()
      })
    }
  })
  clock.stop(count)
  for (const socket of sockets) socket.terminate()
  return clock.run
}

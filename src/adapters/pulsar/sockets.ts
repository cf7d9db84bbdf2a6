import type { Environment, Timer } from '../../core/environment.ts'
import { createConnection, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { WebSocketClass, WebSocketLike } from './client.ts'
import { answerError, connectionError } from './errors.ts'

export interface SocketSettings {
  readonly webSocket: WebSocketClass
  readonly environment: Environment
  /** `http://host:8080`. */
  readonly webUrl: string
  readonly token: string | undefined
  readonly tls: Readonly<Record<string, unknown>>
  /** Ms for the handshake. */
  readonly requestTimeout: number
  /** Ms between pings. Without an answer for two of them the connection counts as lost. */
  readonly pingInterval: number
}

export interface SocketHandlers {
  readonly message: (data: Buffer) => void
  /** Called once when the socket is lost, or closed by the server. Not after `close`. */
  readonly lost: (error: unknown) => void
}

/** One WebSocket to Pulsar: opened with the token in a header, kept alive by pings, closed once. */
export class PulsarSocket {
  readonly #socket: WebSocketLike
  readonly #raw: () => Socket | undefined
  readonly #environment: Environment
  readonly #ended: Promise<void>
  #beat: Timer | undefined
  #heard = true
  #paused = false
  #closing = false

  private constructor(
    socket: WebSocketLike,
    raw: () => Socket | undefined,
    environment: Environment,
    ended: Promise<void>
  ) {
    this.#socket = socket
    this.#raw = raw
    this.#environment = environment
    this.#ended = ended
  }

  /** @param path behind `/ws/v2/`. Rejects with what the server answered to the handshake, or `connection`. */
  static open(settings: SocketSettings, what: string, path: string, handlers: SocketHandlers): Promise<PulsarSocket> {
    const { webSocket: WebSocket, environment, token, tls, requestTimeout } = settings
    let raw: Socket | undefined
    const socket = new WebSocket(`${settings.webUrl.replace(/^http/, 'ws')}/ws/v2/${path}`, {
      // Negotiated compression makes it five to fifteen times slower.
      perMessageDeflate: false,
      handshakeTimeout: requestTimeout,
      maxPayload: 64 * 1024 * 1024,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      createConnection: options => {
        const secure = settings.webUrl.startsWith('https:')
        const host = (options as { host: string }).host
        raw = secure
          ? connectTls({ ...options, ...(isIP(host) ? {} : { servername: host }), ...tls })
          : createConnection(options)
        return raw
      }
    })
    const ended = new Promise<void>(resolve => socket.on('close', () => resolve()))
    return new Promise((resolve, reject) => {
      let opened: PulsarSocket | undefined
      let failure: unknown
      socket.on('open', () => {
        opened = new PulsarSocket(socket, () => raw, environment, ended)
        opened.#keepAlive(settings.pingInterval, error => {
          failure = error
          socket.terminate()
        })
        resolve(opened)
      })
      socket.on('message', (data: Buffer) => {
        if (opened) opened.#heard = true
        handlers.message(data)
      })
      socket.on('pong', () => {
        if (opened) opened.#heard = true
      })
      socket.on(
        'unexpected-response',
        (_request: unknown, response: AsyncIterable<Buffer> & { statusCode: number }) => {
          void textOf(response).then(text => {
            failure = answerError(what, response.statusCode, text)
            reject(failure)
            socket.terminate()
          })
        }
      )
      socket.on('error', (error: unknown) => (failure ??= connectionError(what, error)))
      socket.on('close', (code: number, reason: Buffer) => {
        if (opened) opened.#beat?.cancel()
        const said = reason.length > 0 ? `, ${reason.toString()}` : ''
        failure ??= connectionError(what, new Error(`the connection was closed with ${code}${said}`))
        reject(failure)
        if (opened && !opened.#closing) handlers.lost(failure)
      })
    })
  }

  /** Never throws: a frame that cannot be sent any more is followed by `lost`. */
  send(frame: string): void {
    // 1: open. Otherwise `ws` throws or calls back with an error, and `lost` is on its way.
    if (this.#socket.readyState === 1) this.#socket.send(frame, { binary: false })
  }

  /** Many frames in one write. */
  sendAll(frames: Iterable<string>): void {
    const raw = this.#raw()
    raw?.cork()
    for (const frame of frames) this.send(frame)
    raw?.uncork()
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#paused = false
    this.#socket.resume()
  }

  /** Resolves when it is gone. A server that does not answer the goodbye is not waited for. */
  async close(): Promise<void> {
    if (this.#closing) return this.#ended
    this.#closing = true
    this.#beat?.cancel()
    // What is paused would never read the answer.
    if (this.#paused) this.#socket.terminate()
    else this.#socket.close(1000)
    const timer = this.#environment.timer(goodbye, () => this.#socket.terminate(), true)
    await this.#ended
    timer.cancel()
  }

  #keepAlive(interval: number, lost: (error: unknown) => void): void {
    this.#beat = this.#environment.timer(
      interval,
      () => {
        // While it is paused no answer is read.
        if (!this.#heard && !this.#paused)
          return lost(connectionError('a WebSocket to Pulsar', new Error(`no sign of life for ${interval} ms`)))
        this.#heard = false
        if (this.#socket.readyState === 1) this.#socket.ping()
        this.#keepAlive(interval, lost)
      },
      true
    )
  }
}

/** Ms that a server has to say goodbye. */
const goodbye = 500

async function textOf(response: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  try {
    for await (const chunk of response) if ((text += chunk.toString()).length > 16_384) break
  } catch {
    // The status alone says enough.
  }
  return text
}

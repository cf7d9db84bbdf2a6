import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { abortedError, type Environment } from '../../core/environment.ts'
import { answerError, closedError, connectionError, PulsarError } from './errors.ts'

export interface RestSettings {
  readonly environment: Environment
  readonly webUrl: string
  readonly token: string | undefined
  readonly tls: Readonly<Record<string, unknown>>
  /** Ms for one request. */
  readonly requestTimeout: number
}

/** Brokers send a request for a topic on to the broker that has it; no cluster needs more hops. */
const mostRedirects = 5
const mostBytes = 64 * 1024 * 1024

/**
 * Pulsar's admin API. Not `fetch`: it drops the token at a redirect to another broker, and takes no certificates.
 * Never retries.
 */
export class Rest {
  readonly #settings: RestSettings
  readonly #agent: HttpAgent | HttpsAgent
  readonly #http: HttpAgent
  readonly #running = new Set<AbortController>()
  #closed = false

  constructor(settings: RestSettings) {
    this.#settings = settings
    const keep = { keepAlive: true, maxSockets: 16 }
    this.#agent = new HttpsAgent({ ...keep, ...settings.tls })
    this.#http = new HttpAgent(keep)
  }

  /** The JSON of the answer, `undefined` where it is empty. Rejects with a {@link PulsarError}. */
  async get<Answer>(what: string, path: string, signal?: AbortSignal): Promise<Answer> {
    return (await this.#send(what, 'GET', path, undefined, signal)) as Answer
  }

  /** The answer as it is, for what is not JSON. */
  async text(what: string, path: string): Promise<string> {
    return (await this.#send(what, 'GET', path, undefined, undefined, text => text)) as string
  }

  async put(what: string, path: string, body: unknown): Promise<void> {
    await this.#send(what, 'PUT', path, body)
  }

  async post(what: string, path: string, body: unknown): Promise<void> {
    await this.#send(what, 'POST', path, body)
  }

  async delete(what: string, path: string): Promise<void> {
    await this.#send(what, 'DELETE', path, undefined)
  }

  close(): void {
    this.#closed = true
    for (const controller of this.#running) controller.abort()
    this.#agent.destroy()
    this.#http.destroy()
  }

  async #send(
    what: string,
    method: string,
    path: string,
    body: unknown,
    signal?: AbortSignal,
    read: (text: string) => unknown = JSON.parse
  ): Promise<unknown> {
    const { environment, webUrl, requestTimeout } = this.#settings
    if (this.#closed) throw closedError()
    if (signal?.aborted) throw abortedError(signal)
    const stop = new AbortController()
    this.#running.add(stop)
    let late = false
    const timer = environment.timer(requestTimeout, () => {
      late = true
      stop.abort()
    })
    const onAbort = (): void => stop.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      let address = `${webUrl}/admin/v2/${path}`
      for (let hop = 0; ; hop++) {
        const { status, text, location } = await this.#request(address, method, body, stop.signal)
        if (status >= 300 && status < 400 && location !== undefined && hop < mostRedirects) {
          address = new URL(location, address).href
          continue
        }
        if (status < 200 || status >= 300) throw answerError(what, status, text)
        return text === '' ? undefined : read(text)
      }
    } catch (error) {
      if (error instanceof PulsarError) throw error
      if (this.#closed) throw closedError()
      if (signal?.aborted) throw abortedError(signal)
      if (late)
        throw new PulsarError({ code: 'timeout', retryable: true }, `${what}: no answer within ${requestTimeout} ms`)
      throw connectionError(`${what} at ${webUrl}`, error)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      this.#running.delete(stop)
    }
  }

  #request(
    address: string,
    method: string,
    body: unknown,
    signal: AbortSignal
  ): Promise<{ status: number; text: string; location: string | undefined }> {
    const { token, tls } = this.#settings
    const secure = address.startsWith('https:')
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    const options: RequestOptions = {
      method,
      agent: secure ? this.#agent : this.#http,
      signal,
      headers: {
        accept: 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(data && { 'content-type': 'application/json', 'content-length': data.length })
      }
    }
    return new Promise((resolve, reject) => {
      const onAnswer = (answer: IncomingMessage): void => {
        readAll(answer).then(text => {
          const { location } = answer.headers
          resolve({ status: answer.statusCode ?? 0, text, location })
        }, reject)
      }
      const request = secure
        ? httpsRequest(address, { ...options, ...tls }, onAnswer)
        : httpRequest(address, options, onAnswer)
      request.on('error', reject)
      request.end(data)
    })
  }
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    if ((bytes += chunk.length) > mostBytes) throw new Error(`an answer of more than ${mostBytes} bytes`)
  }
  return Buffer.concat(chunks).toString()
}

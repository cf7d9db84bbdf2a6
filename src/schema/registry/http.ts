import { setMaxListeners } from 'node:events'
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { sleep, type Environment } from '../../core/environment.ts'
import { messageOf, StreamError } from '../../core/errors.ts'

/** Headers that prove who asks, made anew for each request when it is a function: tokens expire. */
export type HeaderSource =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>)

export interface HttpOptions {
  /** As messages call the server. */
  readonly name: string
  /** Tried in turn, starting with the one that answered last. */
  readonly urls: readonly URL[]
  readonly headers: HeaderSource
  /** Passed on to `node:tls`. */
  readonly tls: Readonly<Record<string, unknown>> | undefined
  /** Milliseconds for one attempt, from its start to the last byte of the answer. */
  readonly timeout: number
  readonly attempts: number
  readonly environment: Environment
  /** The media type of requests and answers. Default: that of Confluent's API. */
  readonly mediaType?: string
}

export interface Answer {
  readonly status: number
  /** Parsed JSON, or the text when it is none. */
  readonly body: unknown
  readonly text: string
  readonly headers: IncomingHttpHeaders
  /** Milliseconds that the server asks to wait, 0 when it does not. */
  readonly retryAfter: number
}

export interface Http {
  /**
   * Attempts are repeated while the server cannot be reached, is too slow, or says that it is not up to it (408, 429,
   * 5xx); after the last, `connection`. `unauthorized` for 401 and 403. Every other answer is the caller's.
   *
   * @param body sent as JSON; a text with a media type of its own as it is
   */
  request(method: string, path: string, body?: unknown, mediaType?: string): Promise<Answer>
  close(): void
}

const confluentType = 'application/vnd.schemaregistry.v1+json'
/** Milliseconds before the second attempt, and the most there are between two. */
const firstDelay = 100
const longestDelay = 5_000
/** No schema is as long. */
const answerLimit = 16 * 1024 * 1024

export function createHttp(options: HttpOptions): Http {
  const { name, urls, environment, attempts, mediaType: usual = confluentType } = options
  const agents = {
    'http:': new HttpAgent({ keepAlive: true, maxSockets: 8 }),
    'https:': new HttpsAgent({ keepAlive: true, maxSockets: 8, ...options.tls })
  }
  let current = 0
  const closing = new AbortController()
  // A listener for each request under way.
  setMaxListeners(0, closing.signal)

  const attempt = async (
    method: string,
    path: string,
    body: string | undefined,
    mediaType: string
  ): Promise<Answer> => {
    const base = urls[current % urls.length]!
    const headers = typeof options.headers === 'function' ? await options.headers() : options.headers
    const given: RequestOptions = {
      method,
      agent: agents[base.protocol as keyof typeof agents],
      headers: {
        accept: usual === 'application/json' ? usual : `${usual}, application/json`,
        ...(body !== undefined && {
          'content-type': mediaType,
          'content-length': Buffer.byteLength(body)
        }),
        ...headers
      }
    }
    return send(new URL(base.pathname.replace(/\/$/, '') + path, base), given, body)
  }

  const send = (url: URL, given: RequestOptions, body: string | undefined): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, given, response => {
        read(response).then(answer => finish(() => resolve(answer)), failed)
      })
      const timer = environment.timer(options.timeout, () =>
        request.destroy(new Error(`no answer in ${options.timeout} ms`))
      )
      const stop = (): void => void request.destroy(new Error('closed'))
      const finish = (done: () => void): void => {
        timer.cancel()
        closing.signal.removeEventListener('abort', stop)
        done()
      }
      const failed = (error: unknown): void => finish(() => reject(error as Error))
      closing.signal.addEventListener('abort', stop, { once: true })
      request.on('error', failed)
      request.end(body)
    })

  return {
    async request(method, path, body, mediaType) {
      const text = body === undefined ? undefined : mediaType ? (body as string) : JSON.stringify(body)
      for (let count = 1; ; count++) {
        let trouble: string
        let wait = 0
        let cause: unknown
        try {
          if (closing.signal.aborted) throw new StreamError('closed', `${name} is closed`)
          const answer = await attempt(method, path, text, mediaType ?? usual)
          if (answer.status === 401 || answer.status === 403)
            throw new StreamError(
              'unauthorized',
              `${name} refuses the credentials (${answer.status}): see its option 'headers'`
            )
          if (!isTrouble(answer.status)) return answer
          trouble = `answered ${answer.status}`
          wait = answer.retryAfter
        } catch (error) {
          if (StreamError.is(error)) throw error
          cause = error
          trouble = messageOf(error) || ((error as { code?: string }).code ?? 'failed')
        }
        // The next one, for this and for all later requests.
        current++
        if (count >= attempts || closing.signal.aborted)
          throw new StreamError('connection', `${name}: ${trouble}, ${count} attempts`, { retryable: true, cause })
        const delay = Math.min(longestDelay, firstDelay * 2 ** (count - 1)) * (0.5 + environment.random() / 2)
        await sleep(environment, Math.max(wait, delay), closing.signal)
      }
    },
    close() {
      closing.abort()
      for (const agent of Object.values(agents)) agent.destroy()
    }
  }
}

async function read(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > answerLimit) {
      response.destroy()
      throw new Error(`the answer is longer than ${answerLimit} bytes`)
    }
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  // A date is not looked at.
  const seconds = Number(response.headers['retry-after'])
  return {
    status: response.statusCode ?? 0,
    body: parsed(text),
    text,
    headers: response.headers,
    retryAfter: Number.isFinite(seconds) ? Math.min(longestDelay, seconds * 1_000) : 0
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function isTrouble(status: number): boolean {
  return status === 408 || status === 429 || status >= 500
}

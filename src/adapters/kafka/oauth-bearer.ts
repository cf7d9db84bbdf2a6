import { messageOf, StreamError } from '../../core/errors.ts'
import type { KafkaSasl } from './options.ts'

/** What kafkajs hands to the provider of a login. */
interface Login {
  readonly saslAuthenticate: (exchange: {
    readonly request: { encode(): Promise<Buffer> }
    readonly response: { decode(bytes: Buffer): Promise<Buffer>; parse(refusal: Buffer): Promise<void> }
  }) => Promise<unknown>
}

/**
 * Logs in by a token. kafkajs does not look at the answer: a broker that refuses a token says why and waits for the client to give
 * up, which it takes for success. Source: RFC 7628, 3.1 and 3.2.2.
 */
export function bearerLogin(
  provider: NonNullable<KafkaSasl['oauthBearerProvider']>
): (login: Login) => { authenticate(): Promise<void> } {
  return ({ saslAuthenticate }) => ({
    async authenticate() {
      const token = await tokenOf(provider)
      await saslAuthenticate({
        request: { encode: async () => withLength(`n,,\u0001auth=Bearer ${token}\u0001\u0001`) },
        response: {
          decode: async bytes => bytes.subarray(4),
          parse: async refusal => {
            if (refusal.length > 0) throw refused(refusal)
          }
        }
      })
    }
  })
}

async function tokenOf(provider: NonNullable<KafkaSasl['oauthBearerProvider']>): Promise<string> {
  let token: unknown
  try {
    token = (await provider())?.value
  } catch (error) {
    // Whoever gives out tokens may be away for a while.
    throw new StreamError('connection', `'sasl.oauthBearerProvider' gave no token: ${messageOf(error)}`, {
      adapter: 'kafka',
      retryable: true,
      cause: error
    })
  }
  if (typeof token === 'string' && /^[\w.~+/=-]+$/.test(token)) return token
  throw new StreamError('unauthorized', "'sasl.oauthBearerProvider' must give { value: '<token>' }", {
    adapter: 'kafka'
  })
}

function withLength(text: string): Buffer {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(text))
  bytes.writeInt32BE(bytes.length - 4)
  bytes.write(text, 4)
  return bytes
}

function refused(refusal: Buffer): StreamError {
  const status = /"status"\s*:\s*"([\w ._-]{1,100})"/.exec(refusal.toString('utf8'))?.[1] ?? 'no reason given'
  return new StreamError('unauthorized', `the broker refuses the token: ${status}`, { adapter: 'kafka' })
}

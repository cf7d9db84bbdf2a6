import { startKafka } from './kafka.ts'
import type { SecureListener } from './server.ts'

/** A server that several users have in common. Plain data but for `stop`, which its starter alone calls. */
export interface SharedServer {
  readonly url: string
  /** The listener with TLS and users; undefined when the server was given by its url. */
  readonly tls: SecureListener | undefined
  /** Stops the server if it was started here; leaves a given one alone. */
  stop(): Promise<void>
}

/**
 * The Kafka of `TIDEMARK_KAFKA_URL` when that is set, else a new one. Set the variable to spend no time on starting one
 * in each of many short test runs: `npm run up -- kafka` prints what to set it to.
 * @throws Error saying why none can be started
 */
export async function sharedKafka(): Promise<SharedServer> {
  const given = process.env.TIDEMARK_KAFKA_URL
  if (given) return { url: given, tls: undefined, stop: async () => {} }
  return startKafka()
}

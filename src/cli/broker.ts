import { bytes, connect, optional, topic, type Client, type Topic } from '../index.ts'
import { UsageError, type Terminal } from './terminal.ts'

/** Options of commands that work on a broker. */
interface Named {
  readonly broker?: string | undefined
  readonly store?: string | undefined
}

/** Where the broker is that a command works on. Throws `UsageError` when nothing says so. */
export function brokerOf({ broker }: Named, { variables }: Terminal): string {
  const url = broker ?? variables['TIDEMARK_BROKERS__DEFAULT']
  if (url === undefined) throw new UsageError('neither --broker nor TIDEMARK_BROKERS__DEFAULT is given')
  return url
}

export function connectTo(url: string, { store }: Named, { variables }: Terminal): Promise<Client> {
  return connect({ brokers: { default: url }, variables, ...(store !== undefined && { store }) })
}

/** A topic by its name alone: keys and values as they are, with all that a broker may hold. */
export function rawTopic(name: string): Topic<string, Uint8Array | null, Uint8Array | null> {
  return topic(name, { key: optional(bytes), value: optional(bytes) })
}

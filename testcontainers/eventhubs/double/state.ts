import type { AmqpError } from './errors.ts'
import type { Hubs } from './log.ts'

/** What goes wrong on purpose, set over the control address. Counts go down with each use. */
export class Faults {
  /** Publications that are refused with server-busy, by hub. */
  readonly throttled: Map<string, number> = new Map()
  /** Publications that are stored, but never answered, by hub. */
  readonly unanswered: Map<string, number> = new Map()
  /** Links to a hub that are refused with this error. */
  readonly refused: Map<string, AmqpError> = new Map()

  /** Uses one up. */
  take(counts: Map<string, number>, hub: string): boolean {
    const left = counts.get(hub) ?? 0
    if (left > 0) counts.set(hub, left - 1)
    return left > 0
  }
}

export interface DoubleOptions {
  readonly port: number
  readonly managementPort: number
  /** SQLite file that outlives the process. */
  readonly file: string
  /** Bytes of the largest publication. */
  readonly maxMessageSize: number
  /** Receivers without an owner level of one partition in one consumer group. */
  readonly maxReceivers: number
  /** AMQP over WebSockets, with a certificate: files in PEM. */
  readonly webSocket: { readonly port: number; readonly pem: string } | undefined
}

export interface Namespace {
  readonly host: string
  readonly hubs: Hubs
  readonly faults: Faults
  readonly options: DoubleOptions
}

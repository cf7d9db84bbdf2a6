/** Largest value over the WebSocket API: a frame of 1 MiB holds it in base64 with room for key and properties. */
export const maxPayload: number = 760 * 1024

/** What Apache Pulsar can do through this adapter. The transports differ in speed, not in what they promise. */
export const pulsarCapabilities: {
  readonly positions: 'log'
  readonly order: 'partition'
  readonly duplicates: false
  readonly groups: false
  readonly transactions: false
  readonly readCommitted: false
  readonly headers: 'text'
  readonly tombstones: true
  readonly durable: true
  readonly scope: 'network'
  readonly seekToTime: true
  readonly maxRecord: number
  readonly lossy: { readonly compaction: false; readonly retention: true }
  readonly brokerTime: 'client'
} = {
  positions: 'log',
  order: 'partition',
  duplicates: false,
  // Positions are in the client's store, so are the leases: a Pulsar subscription would be a second truth beside them.
  groups: false,
  transactions: false,
  readCommitted: false,
  headers: 'text',
  tombstones: true,
  durable: true,
  scope: 'network',
  seekToTime: true,
  maxRecord: maxPayload,
  lossy: { compaction: false, retention: true },
  brokerTime: 'client'
}

export type PulsarCapabilities = typeof pulsarCapabilities

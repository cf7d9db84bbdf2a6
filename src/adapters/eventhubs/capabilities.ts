/** Largest publication in every tier but Basic, where it is 256 KiB; the service says its own with each link. */
export const defaultMaxMessageSize: number = 1024 * 1024

/** What Azure Event Hubs can do through this adapter. */
export const eventhubsCapabilities: {
  readonly positions: 'log'
  readonly order: 'partition'
  readonly duplicates: false
  readonly groups: false
  readonly transactions: false
  readonly readCommitted: false
  readonly headers: 'bytes'
  readonly tombstones: true
  readonly durable: true
  readonly scope: 'network'
  readonly seekToTime: true
  readonly maxRecord: number
  readonly lossy: { readonly compaction: false; readonly retention: true }
  readonly brokerTime: 'append'
} = {
  positions: 'log',
  order: 'partition',
  duplicates: false,
  // The service keeps no positions and shares out no partitions: both are in the client's store.
  groups: false,
  transactions: false,
  readCommitted: false,
  headers: 'bytes',
  tombstones: true,
  durable: true,
  scope: 'network',
  seekToTime: true,
  maxRecord: defaultMaxMessageSize,
  lossy: { compaction: false, retention: true },
  brokerTime: 'append'
}

export type EventhubsCapabilities = typeof eventhubsCapabilities

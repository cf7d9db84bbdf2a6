/** What the embedded log can do: everything but transactions, for the processes of one host. */
export const fileCapabilities: {
  readonly positions: 'log'
  readonly order: 'partition'
  readonly duplicates: false
  readonly groups: true
  readonly transactions: false
  readonly readCommitted: false
  readonly headers: 'bytes'
  readonly tombstones: true
  readonly durable: true
  readonly scope: 'host'
  readonly seekToTime: true
  readonly maxRecord: number
  readonly lossy: { readonly compaction: true; readonly retention: true }
  readonly brokerTime: 'client'
} = {
  positions: 'log',
  order: 'partition',
  duplicates: false,
  groups: true,
  transactions: false,
  readCommitted: false,
  headers: 'bytes',
  tombstones: true,
  durable: true,
  scope: 'host',
  seekToTime: true,
  // SQLite's limit for one row is 1,000,000,000 bytes; far below it a batch is still quick to write.
  maxRecord: 64 * 1024 * 1024,
  lossy: { compaction: true, retention: true },
  brokerTime: 'client'
}

export type FileCapabilities = typeof fileCapabilities

/** What the memory backend can do: everything that a log can, for as long as the process lives. */
export const memoryCapabilities: {
  readonly positions: 'log'
  readonly order: 'partition'
  readonly duplicates: false
  readonly groups: true
  readonly transactions: true
  readonly readCommitted: true
  readonly headers: 'bytes'
  readonly tombstones: true
  readonly durable: false
  readonly scope: 'process'
  readonly seekToTime: true
  readonly maxRecord: number
  readonly lossy: { readonly compaction: false; readonly retention: false }
  readonly brokerTime: 'client'
} = {
  positions: 'log',
  order: 'partition',
  duplicates: false,
  groups: true,
  transactions: true,
  readCommitted: true,
  headers: 'bytes',
  tombstones: true,
  durable: false,
  scope: 'process',
  seekToTime: true,
  maxRecord: Infinity,
  lossy: { compaction: false, retention: false },
  brokerTime: 'client'
}

export type MemoryCapabilities = typeof memoryCapabilities

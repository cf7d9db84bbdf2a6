/** Most bytes of a publish request, which is also the most for a message: 10 MB, counted in thousands. */
export const maxRequest = 10_000_000

/** Key and value of a record; the rest of the request is room for attributes and the name of the topic. */
export const maxRecord = 9_900_000

/** What Google Cloud Pub/Sub can do through this adapter. */
export const pubsubCapabilities: {
  readonly positions: 'none'
  readonly order: 'none'
  readonly duplicates: true
  readonly groups: false
  readonly transactions: false
  readonly readCommitted: false
  readonly headers: 'text'
  readonly tombstones: true
  readonly durable: true
  readonly scope: 'network'
  readonly seekToTime: false
  readonly maxRecord: number
  readonly lossy: { readonly compaction: false; readonly retention: true }
  readonly brokerTime: 'client'
} = {
  positions: 'none',
  // Ordering keys keep the order of first deliveries only, and a redelivery brings back what came after it.
  order: 'none',
  duplicates: true,
  groups: false,
  transactions: false,
  readCommitted: false,
  headers: 'text',
  tombstones: true,
  durable: true,
  scope: 'network',
  // A subscription can be sought to a time, for all of its readers at once: there is no reader that starts at one.
  seekToTime: false,
  maxRecord,
  lossy: { compaction: false, retention: true },
  brokerTime: 'client'
}

export type PubsubCapabilities = typeof pubsubCapabilities

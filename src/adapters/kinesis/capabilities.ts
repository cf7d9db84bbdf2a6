/** Most bytes of a record of Kinesis, data and partition key together, unless a stream allows more. */
export const maxKinesisRecord: number = 1024 * 1024

/** Value, key and headers of a record; the rest is for the aggregate that it travels in. */
export const maxRecord: number = maxKinesisRecord - 1024

/** What Amazon Kinesis Data Streams can do through this adapter. */
export const kinesisCapabilities: {
  readonly positions: 'log'
  readonly order: 'partition'
  readonly duplicates: true
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
  // A retry after a lost answer writes again: Kinesis knows no producers.
  duplicates: true,
  groups: false,
  transactions: false,
  readCommitted: false,
  headers: 'bytes',
  tombstones: true,
  durable: true,
  scope: 'network',
  seekToTime: true,
  maxRecord,
  lossy: { compaction: false, retention: true },
  // `ApproximateArrivalTimestamp`; the event time of our own records is in their stamps.
  brokerTime: 'append'
}

export type KinesisCapabilities = typeof kinesisCapabilities

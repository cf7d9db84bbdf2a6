import type { Capabilities } from '../../core/capabilities.ts'
import { maxRecord } from './records.ts'

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
  maxRecord,
  lossy: { compaction: true, retention: true },
  brokerTime: 'client'
} satisfies Capabilities

export type FileCapabilities = typeof fileCapabilities

import type { Capabilities } from '../../core/capabilities.ts'

/** Kafka 2.1 and later, by kafkajs. Each line is shown by a test on a real broker. */
export const kafkaCapabilities = {
  positions: 'log',
  order: 'partition',
  // A retry after a lost answer writes again: the plain producer has no identity at the broker.
  duplicates: true,
  groups: true,
  transactions: true,
  readCommitted: true,
  headers: 'bytes',
  tombstones: true,
  durable: true,
  scope: 'network',
  seekToTime: true,
  // The broker's largest request, `socket.request.max.bytes`. A topic's `max.message.bytes` is 1 MiB unless set.
  maxRecord: 104_000_000,
  lossy: { compaction: true, retention: true },
  brokerTime: 'client'
} as const

/** Of one server: not each that speaks the protocol has transactions. */
export type KafkaCapabilities = Omit<typeof kafkaCapabilities, 'transactions'> & { readonly transactions: boolean }

void (kafkaCapabilities satisfies Capabilities)

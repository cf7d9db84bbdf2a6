export { LeaseGroup, type LeaseListener } from './lease-group.ts'
export { balance, observe, presence, type Lease } from './leases.ts'
export { decodeHead, encodeHead, type Head } from './head.ts'
export { decodeOutbox, encodeOutbox } from './outbox.ts'
export { idle, step, type ProtocolEffect, type ProtocolEvent, type ProtocolState } from './protocol.ts'
export { commitToken } from './store.ts'
export type {
  AppendOutcome,
  ClientStore,
  Commit,
  CommitStore,
  LastCommit,
  LeaseStore,
  PositionStore,
  ReadBack,
  TaskLog,
  TaskName,
  UnsentOutputs
} from './store.ts'
export { GroupStore, OutputsFirst } from './stores/at-least-once.ts'
export { BrokerStore, changelogTopic } from './stores/broker.ts'
export { MemoryStore } from './stores/memory.ts'
export { SqliteStore, type WithCommit } from './stores/sqlite.ts'
